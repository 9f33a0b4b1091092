// A target in memory, served by reactors of its own.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "block/checked_device.h"
#include "block/memory_device.h"
#include "iscsi/server.h"
#include "test/native/iscsi/support/initiator.h"
#include "test/native/nbd/support/gate_device.h"

namespace cairn::test {

struct RunningTargetOptions {
  uint64_t size = 16 * mebibyte;
  uint32_t block_size = 512;
  bool read_only = false;
  size_t reactors = 1;
  size_t buffer_bytes = 64 * mebibyte;
  iscsi::Access access;
  iscsi::Limits limits;
  std::string reservations_path;
};

inline iscsi::Credential credential(const std::string& user, const std::string& secret) {
  auto memory = std::make_shared<SecureMemory>(std::move(SecureMemory::create(secret.size()).value()));
  std::memcpy(memory->span().data(), secret.data(), secret.size());
  return {user, std::move(memory)};
}

class RunningTarget {
 public:
  using Options = RunningTargetOptions;
  static constexpr const char* name = "iqn.2026-11.io.cairn:disk";

  explicit RunningTarget(Options options = {}) : memory_(options.size, options.block_size) {
    std::vector<Reactor*> reactors;
    for (size_t i = 0; i < options.reactors; ++i) {
      threads_.push_back(std::move(ReactorThread::start({.buffer_bytes = options.buffer_bytes}).value()));
      reactors.push_back(&threads_.back()->reactor());
    }
    gate_ = std::make_unique<GateDevice>(checked_, *reactors.back());
    server_ = std::make_unique<iscsi::Server>(reactors, options.limits);
    EXPECT_TRUE(add(options, reactors.back()).ok());
    Result<TcpAddress> address = server_->listen_tcp("127.0.0.1", 0);
    EXPECT_TRUE(address.ok());
    address_ = address.value();
  }
  ~RunningTarget() { close(); }

  iscsi::Server& server() { return *server_; }
  MemoryDevice& memory() { return memory_; }
  GateDevice& gate() { return *gate_; }
  const TcpAddress& address() const { return address_; }

  Result<Unit> wait(const std::function<void(Completed)>& begin) {
    std::promise<Result<Unit>> done;
    begin([&done](Result<Unit> result) { done.set_value(std::move(result)); });
    return done.get_future().get();
  }
  Result<Unit> remove(bool force) {
    return wait([&](Completed done) { server_->remove_target(name, force, std::move(done)); });
  }
  void close() {
    if (server_ == nullptr) return;
    gate_->open_gate();
    server_.reset();
    threads_.clear();
  }

  /// Logged in, with the unit attentions of a new nexus behind it.
  std::unique_ptr<Initiator> log_in(const std::function<void(Initiator&)>& prepare = {}) {
    auto initiator = std::make_unique<Initiator>(address_);
    if (prepare) prepare(*initiator);
    EXPECT_EQ(initiator->log_in(), 0);
    initiator->forget_attentions();
    return initiator;
  }

 private:
  Result<Unit> add(const Options& options, Reactor* reactor) {
    iscsi::LocalTarget local{.reactor = reactor,
                             .device = gate_.get(),
                             .admission = nullptr,
                             .identity = {.uuid = {1, 2, 3}, .target_name = name, .volume_name = "disk"},
                             .reservations_path = options.reservations_path};
    return wait([&](Completed done) {
      server_->add_target({.name = name,
                           .alias = "a disk",
                           .read_only = options.read_only,
                           .access = options.access,
                           .target = std::move(local)},
                          std::move(done));
    });
  }

  MemoryDevice memory_;
  CheckedDevice checked_{memory_};
  std::vector<std::unique_ptr<ReactorThread>> threads_;
  std::unique_ptr<GateDevice> gate_;
  std::unique_ptr<iscsi::Server> server_;
  TcpAddress address_;
};

inline std::string pattern(size_t length, unsigned seed = 1) {
  std::string text(length, '\0');
  uint32_t state = seed * 2654435761U + 1;
  for (char& byte : text) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return text;
}

}  // namespace cairn::test
