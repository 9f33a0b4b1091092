// The ring: a record of each write, there before the write begins. Its memory is the file's page cache, so it survives
// the death of the process: then it says what the maps do not know yet and which blocks were being written. After a
// power loss it counts for nothing; the activity log does.
//
// It has 65,536 slots, which a volume keeps for good. Writes that leave data in the page cache make it four times as
// large while they last: a slot is free when a sync has covered its write, and one sync for many of them is what makes
// them fast. It grows where every record that counts has the same slot in either size, and shrinks when none counts.
#pragma once

#include "aio/reactor.h"
#include "aio/wait.h"
#include "store/format.h"

namespace cairn::store {

/// The writing side, on the reactor. A record costs a copy of 64 bytes: no system call. Pages are brought in and kept
/// in memory before they are written to, away from the reactor's thread: no page fault waits for a disk, and a disk
/// that cannot give a page fails prepare(), not the process.
class WriteRing {
 public:
  struct Entry {
    uint32_t layer;
    BlockState state;  // of the blocks, once applied
    bool uncovers;     // the overlay gives them up
    uint64_t first_block;
    uint64_t block_count;
    Stamp stamp;
  };

  WriteRing(Reactor& reactor, File file, uint64_t session);
  ~WriteRing() { unmap(); }
  WriteRing(const WriteRing&) = delete;
  WriteRing& operator=(const WriteRing&) = delete;

  /// put() may be called now.
  bool ready() const { return next_ <= usable_through_ && !full(); }
  /// Space on the disk, once, and memory for the next records. The ring must not be full.
  Task<Status> prepare();
  /// A pending record; its number.
  uint64_t put(const Entry& entry);
  /// The write has ended. What it says must be where readers look already.
  void finish(uint64_t number, bool applied);

  /// Every record up to this one is finished.
  uint64_t settled();
  uint64_t last() const { return next_ - 1; }
  const RingRecord& record(uint64_t number) const;
  /// The maps hold everything up to `number` durably.
  void mark_maps(uint64_t number);
  uint64_t maps_through() const { return maps_through_; }
  /// So do the region stamps: the slots are free.
  void mark_done(uint64_t number);
  uint64_t done_through() const { return done_through_; }
  bool full() const { return next_ - 1 - done_through_ >= slots_; }
  /// Time to free some in the background.
  bool nearly_full() const { return next_ - 1 - done_through_ > slots_ / 8 * 5; }
  /// Resumes when a record is finished.
  Task<> wait_finish();
  /// Grows in the background if a quarter is in use.
  void want_room() {
    if (next_ - done_through_ > ring_slots_min / 4 && may_grow()) grow();
  }
  /// Gives the memory back until the next prepare(), and what has been grown. Every record is done.
  void release();
  /// No operation of the ring itself is under way.
  Task<> wait_idle() { return filling_.wait_idle(); }

 private:
  Task<Status> reserve();
  Task<Status> map();
  Task<Status> bring_in(uint64_t through);
  Detached bring_in_ahead();
  bool may_grow() const;
  Detached grow();
  Detached shrink();
  void unmap();
  void tell(const void* memory, size_t length) const;
  RingHeader& header() const { return *reinterpret_cast<RingHeader*>(memory_); }
  RingRecord& slot(uint64_t number) const {
    return reinterpret_cast<RingRecord*>(memory_ + ring_header_bytes)[number % slots_];
  }

  Reactor& reactor_;
  File file_;
  uint64_t session_;
  std::byte* memory_ = nullptr;
  uint64_t slots_ = ring_slots_min;
  bool growing_ = false;  // or it has failed
  bool reserved_ = false;
  bool started_ = false;  // the header is of this session
  uint64_t next_ = 1;
  uint64_t usable_through_ = 0;
  uint64_t settled_ = 0;
  uint64_t maps_through_ = 0;
  uint64_t done_through_ = 0;
  AsyncMutex preparing_;
  InFlight filling_;
  WaitQueue finished_;
};

/// The part of the header that does not change within a session.
uint32_t ring_header_checksum(RingHeader header);
uint32_t ring_record_checksum(const RingRecord& record);

}  // namespace cairn::store
