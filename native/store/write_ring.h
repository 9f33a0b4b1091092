// The ring: what the maps do not say durably yet. A record is in the page cache before the write it belongs to is
// acknowledged, so an acknowledged write survives the death of the process. After a power loss the ring counts for
// nothing: the maps, which are only written behind the data, tell what was flushed.
#pragma once

#include <vector>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "store/format.h"

namespace cairn::store {

/// The writing side, on the reactor. Records of one loop go out in one write. The numbers in the file are dense, so
/// that replay sees when one is damaged: a record that could not be written is written before the next, as one of no
/// blocks.
class WriteRing final : Deferred {
 public:
  WriteRing(Reactor& reactor, File file, uint64_t session);

  /// Takes the ring's space on the disk, all of it and once: a volume that nobody writes to has none, and on a disk
  /// that is full later a trim still finds room for its record. Before the first append.
  Task<Status> reserve();
  bool reserved() const { return reserved_; }
  /// Done when the record is in the file. The ring must not be full. What the record says must be in the index before
  /// the caller awaits anything else: the record counts as settled as soon as it returns.
  Task<Status> append(uint32_t layer, BlockState state, uint64_t first_block, uint64_t block_count,
                      bool uncovers = false);
  /// Every record up to this number is in the file and in the index, or its append has failed.
  uint64_t settled() const { return settled_; }
  /// The maps hold everything up to `sequence` durably: its slots are free again. Says so in the file too.
  void mark_synced(uint64_t sequence);
  bool full() const { return next_ - synced_ >= ring_slots; }
  /// Time for a sync in the background.
  bool nearly_full() const { return next_ - synced_ > ring_slots / 2; }
  /// Nothing is being written.
  bool idle() const { return !publishing_ && filling_.empty(); }
  Task<> wait_idle();

 private:
  struct Ticket;

  void add(RingRecord record);
  void seal(RingRecord& record) const;
  void put_failed_first();
  void keep_numbers_of_failed();
  void run_deferred() override;
  Detached publish();
  Task<Status> write_batch();

  Reactor& reactor_;
  File file_;
  uint64_t session_;
  uint64_t next_ = 1;  // the number of the next record
  uint64_t settled_ = 0;
  uint64_t synced_ = 0;
  uint64_t last_state_ = 0;  // the number of the last record that is not a synced one
  bool reserved_ = false;
  bool publishing_ = false;
  std::vector<RingRecord> filling_;
  std::vector<RingRecord> writing_;
  std::vector<RingRecord> failed_;  // could not be written; go before the next ones, saying nothing
  IntrusiveList<Ticket> filling_tickets_;
  WaitQueue idle_;
};

}  // namespace cairn::store
