// A logical unit on a reactor of the calling thread, with commands run on it as whoever carries them would.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_order.h"
#include "block/memory_device.h"
#include "iscsi/scsi/logical_unit.h"
#include "test/native/support/on_reactor.h"

namespace cairn::test {

/// How a command ended.
struct Answer {
  scsi::Outcome outcome;
  std::string data_in;  // the bytes of it that count
  scsi::Needs needs;
  bool judged_only = false;  // refused before any data came

  bool good() const { return outcome.good(); }
  scsi::StatusCode status() const { return outcome.status; }
  const scsi::Sense& sense() const { return outcome.sense; }
};

/// An initiator's nexus. Its commands are not aborted: it counts who wanted to.
class TestNexus final : public scsi::Nexus::Tasks {
 public:
  TestNexus(scsi::LogicalUnit& unit, std::string initiator_port) : nexus_(unit, std::move(initiator_port), *this) {}
  void abort_all() override { ++aborts; }
  scsi::Nexus& operator*() { return nexus_; }
  scsi::Nexus* operator->() { return &nexus_; }
  void forget_attentions() {
    while (nexus_.attentive()) nexus_.take_attention();
  }

  int aborts = 0;

 private:
  scsi::Nexus nexus_;
};

struct UnitOptions {
  BlockDevice* device = nullptr;  // none: one in memory
  uint64_t size = 1 * mebibyte;   // of the one in memory
  uint32_t block_size = 512;
  bool read_only = false;
  std::string reservations_path;
  size_t buffer_bytes = 64 * mebibyte;
  Reactor* reactor = nullptr;  // none: one of its own
};

class Unit {
 public:
  explicit Unit(UnitOptions options = {}) {
    if (options.reactor == nullptr) own_reactor_ = std::make_unique<OnReactor>(options.buffer_bytes);
    if (options.device == nullptr) memory_ = std::make_unique<MemoryDevice>(options.size, options.block_size);
    Reactor& reactor = options.reactor == nullptr ? own_reactor_->reactor() : *options.reactor;
    unit_ = std::make_unique<scsi::LogicalUnit>(scsi::LogicalUnitOptions{
        .reactor = reactor,
        .device = options.device == nullptr ? *memory_ : *options.device,
        .blocking = blocking_,
        .identity = {.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
                     .target_name = "iqn.2026-11.io.cairn:disk",
                     .volume_name = "disk"},
        .read_only = options.read_only,
        .reservations_path = options.reservations_path,
    });
    first_ = add_nexus("iqn.2026-11.io.example:first,i,0x400001370000");
    first_->forget_attentions();
  }

  scsi::LogicalUnit& operator*() { return *unit_; }
  scsi::LogicalUnit* operator->() { return unit_.get(); }
  MemoryDevice& memory() { return *memory_; }
  /// That of the commands for which no nexus is named. It has been told that the power came on.
  TestNexus& first() { return *first_; }
  /// Not told of anything yet.
  std::unique_ptr<TestNexus> add_nexus(std::string initiator_port) {
    return std::make_unique<TestNexus>(*unit_, std::move(initiator_port));
  }

  /// Judges, gives the command its memory (full of what must not come out), and runs it.
  Task<Answer> start(TestNexus& nexus, scsi::Cdb cdb, std::string data_out = {}, uint64_t lun = 0) {
    const scsi::Demand demand = unit_->judge(*nexus, lun, cdb);
    if (demand.refusal) co_return Answer{*demand.refusal, {}, demand.needs, true};
    std::vector<std::byte> data_in(demand.needs.data_in, std::byte{0xa5});
    std::vector<std::byte> scratch(demand.needs.scratch, std::byte{0x5a});
    data_out.resize(std::min(data_out.size(), demand.needs.data_out));
    scsi::Command command{.cdb = cdb,
                          .nexus = *nexus,
                          .unit_exists = lun == 0,
                          .data_out = std::as_bytes(std::span(data_out)),
                          .data_in = data_in,
                          .scratch = scratch};
    const scsi::Outcome outcome = co_await unit_->run(*demand.row, command);
    CAIRN_ASSERT(outcome.data_in_length <= data_in.size());
    co_return Answer{outcome, std::string(reinterpret_cast<const char*>(data_in.data()), outcome.data_in_length),
                     demand.needs, false};
  }

  Answer execute(TestNexus& nexus, const scsi::Cdb& cdb, std::string data_out = {}, uint64_t lun = 0) {
    return wait(start(nexus, cdb, std::move(data_out), lun));
  }
  Answer execute(const scsi::Cdb& cdb, std::string data_out = {}) { return execute(*first_, cdb, std::move(data_out)); }

  template <typename T>
  T wait(Task<T> task) {
    std::optional<T> value;
    run_detached(std::move(task), [&](T result) { value.emplace(std::move(result)); });
    unit_->reactor().run([&] { return value.has_value(); });
    return std::move(*value);
  }

 private:
  std::unique_ptr<OnReactor> own_reactor_;
  std::unique_ptr<MemoryDevice> memory_;
  BlockingThread blocking_;
  std::unique_ptr<scsi::LogicalUnit> unit_;
  std::unique_ptr<TestNexus> first_;
};

/// What a command was refused with: for EXPECT_EQ with a readable difference.
inline std::string text_of(const scsi::Outcome& outcome) {
  char text[96];
  std::snprintf(text, sizeof(text), "status %02x key %x code %04x", static_cast<unsigned>(outcome.status),
                static_cast<unsigned>(outcome.sense.key), static_cast<unsigned>(outcome.sense.code));
  std::string line = text;
  if (outcome.sense.field) {
    line += outcome.sense.field->in_cdb ? " cdb byte " : " parameter byte ";
    line += std::to_string(outcome.sense.field->byte);
    if (outcome.sense.field->bit >= 0) line += " bit " + std::to_string(outcome.sense.field->bit);
  }
  if (outcome.sense.information) line += " information " + std::to_string(*outcome.sense.information);
  return line;
}
inline std::string text_of(const Answer& answer) { return text_of(answer.outcome); }

}  // namespace cairn::test
