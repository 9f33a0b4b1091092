#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include "aio/buffer_pool.h"
#include "aio/reactor.h"
#include "aio/wait.h"
#include "iscsi/limits.h"
#include "iscsi/pdu/outgoing.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::iscsi {

/// One SCSI command from its PDU to its answer. Tasks are reused, with their memory: a steady load allocates nothing.
class ScsiTask final : public Outgoing {
 public:
  explicit ScsiTask(ReadyQueue& ready) : Outgoing(Kind::task), changed(ready) {}

  /// For a new command.
  void begin(const wire::ScsiCommand& from);

  wire::ScsiCommand command;
  scsi::Demand demand;
  ScsiTask* next_in_bucket = nullptr;

  // Its memory: data at the beginning, scratch behind them.
  IoBuffer buffer;
  std::vector<std::byte> early;  // data that came before there was a buffer
  size_t buffer_length() const;
  std::span<std::byte> data_in() const;
  std::span<std::byte> scratch() const;

  // Data-out. An initiator sends what it announces or is asked for; what is not wanted of it is thrown away.
  uint32_t announced = 0;  // bytes that the initiator has
  uint32_t wanted = 0;     // of them
  uint32_t received = 0;   // in order
  uint32_t burst_end = 0;  // where the burst ends that it is in
  uint32_t data_sn = 0;    // of the next PDU of the burst
  uint32_t r2t_sn = 0;     // of the next R2T
  uint32_t transfer_tag = wire::no_tag;
  bool unsolicited = false;  // it comes without being asked for, and there is more
  /// What came cannot be used: a digest did not match, or a PDU is missing. The rest is not asked for.
  bool damaged = false;
  bool landing = false;  // some of it is being received into this task's memory
  Reactor::Clock::time_point waiting_since;

  /// Where data at an offset go; what lies beyond the wanted ones goes nowhere.
  std::span<std::byte> place(uint32_t offset, size_t length);
  bool has_all() const { return !unsolicited && (damaged ? transfer_tag == wire::no_tag : received >= wanted); }

  bool aborted = false;
  bool counted = false;  // in the unit's aborted()
  /// Something of the above has changed.
  WaitQueue changed;
  std::optional<scsi::TaskSet::Place> turn;  // from its arrival to its answer

  // The answer.
  std::vector<Frame> frames;
  std::array<std::byte, wire::padded(2 + scsi::sense_length_max)> sense;
  scsi::StatusCode status = scsi::StatusCode::good;
  uint32_t data_at = 0;
  uint32_t data_end = 0;
  uint32_t residual = 0;
  uint8_t residual_flag = 0;

  bool touches_medium() const;
  scsi::TaskAttribute attribute() const;
};

/// Tasks of one session that have not been answered, by their initiator task tags.
class TaskTable {
 public:
  ScsiTask* find(uint32_t tag) const;
  void add(ScsiTask* task);
  void remove(ScsiTask* task);
  size_t count() const { return count_; }
  template <typename Visit>
  void for_each(Visit visit) {
    for (ScsiTask* task : buckets_)
      while (task != nullptr) {
        ScsiTask* next = task->next_in_bucket;
        visit(task);
        task = next;
      }
  }

 private:
  static constexpr size_t bucket_count = 256;
  static size_t bucket_of(uint32_t tag) { return (tag ^ tag >> 8 ^ tag >> 16 ^ tag >> 24) % bucket_count; }
  std::array<ScsiTask*, bucket_count> buckets_{};
  size_t count_ = 0;
};

/// Objects of one reactor that are not in use.
template <typename Item, size_t kept_max>
class Spare {
 public:
  ~Spare() {
    while (Item* item = free_.pop_front()) delete item;
  }
  template <typename... Arguments>
  Item* take(Arguments&... arguments) {
    Item* item = free_.pop_front();
    if (item == nullptr) return new Item(arguments...);
    --count_;
    return item;
  }
  void put_back(Item* item) {
    if (count_ >= kept_max) {
      delete item;
      return;
    }
    ++count_;
    free_.push_front(item);  // the one that is still in the processor's cache goes first
  }

 private:
  IntrusiveList<Item> free_;
  size_t count_ = 0;
};
using TaskPool = Spare<ScsiTask, tasks_kept_max>;
using MessagePool = Spare<Message, messages_kept_max>;

}  // namespace cairn::iscsi
