// The activity log: which extents may hold what no sync covers. An extent is hot, durably, before the first write into
// it; it cools when everything in it has long been synced. After a power loss the hot extents are suspect: all that
// this replica cannot vouch for.
#pragma once

#include <span>
#include <string>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/aligned_memory.h"
#include "store/format.h"

namespace cairn::store {

class ActivityLog {
 public:
  using Bitmap = std::array<uint8_t, activity_bitmap_bytes>;

  /// `slot` is what the file holds.
  ActivityLog(Reactor& reactor, File file, const ActivitySlot& slot);

  /// Marks the blocks as written in this epoch. True when their extents are hot already: the write may begin.
  bool touch(uint64_t first_block, uint64_t block_count);
  /// Makes them hot; they may have cooled again when it returns: touch() decides.
  Task<Status> heat(uint64_t first_block, uint64_t block_count);
  bool any_hot() const;

  void end_epoch();
  /// Cools all that was touched neither in the epoch that ended last nor since. Everything written before that epoch
  /// must be synced.
  Task<Status> cool();
  /// The volume has grown: extents may have to be larger.
  void grow(uint64_t volume_bytes);

 private:
  struct Extents {
    uint32_t first;
    uint32_t last;
  };
  Extents extents(uint64_t first_block, uint64_t block_count) const;
  bool written() const { return slot_.hot == durable_; }
  Task<Status> write(Purpose purpose);

  Reactor& reactor_;
  File file_;
  ActivitySlot slot_;  // as it is to be
  int shift_;          // of slot_.extent_bytes
  Bitmap durable_{};   // hot for sure, in extents of slot_
  Bitmap touched_{};   // since the epoch began
  Bitmap previous_{};  // in the epoch before
  AlignedMemory image_{activity_slot_size};
  bool writing_ = false;
  uint64_t layout_ = 0;  // changes when extents get larger
  WaitQueue progress_;
};

/// Blocking: a file with both slots, nothing hot.
Result<Unit> create_activity(const std::string& directory, uint64_t volume_bytes);
/// Blocking. The newer valid slot; damaged in both, or missing, all of it is hot and `damaged` says so.
struct LoadedActivity {
  UniqueFd file;
  ActivitySlot slot;
  bool damaged = false;
};
Result<LoadedActivity> load_activity(const std::string& directory, uint64_t volume_bytes);
/// Blocking and durable: nothing is hot any more, in both slots.
Result<Unit> clear_activity(int fd, const std::string& directory, ActivitySlot& slot);

}  // namespace cairn::store
