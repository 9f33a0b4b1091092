// The seam that every layer of the data path implements and is written against: a store, a cipher, an engine, a
// throttle, a fault. It moves bytes of one device and nothing else: no management call is ever added to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "aio/task.h"
#include "base/status.h"

namespace cairn {

struct Geometry {
  uint64_t size = 0;                // bytes, a multiple of logical_block_size
  uint32_t logical_block_size = 0;  // the unit of offsets and lengths: 512 or 4096
  uint32_t preferred_block_size = 4096;
  bool read_only = false;
  bool can_trim = true;
  bool can_write_zeroes = true;
  bool fast_zeroes = true;  // zeroes that keep their space are as fast as those that do not
  bool fast_unmap = true;   // those that do not are faster than writing
};

/// A run of blocks in one state, as block status reports it.
struct Extent {
  uint64_t length;       // bytes
  bool hole;             // takes no space
  bool zero;             // reads as zeros
  bool changed = false;  // only when changes are asked for: since that snapshot
  friend bool operator==(const Extent&, const Extent&) = default;
};

/// What block status tells of: allocation (hole, zero), or changes (changed) since a snapshot of
/// SnapshotSet::ancestors.
struct StatusQuery {
  std::optional<uint32_t> since;
  bool for_read = false;  // it is part of reading the range: what is all zeros is not read any more
};

enum class Durability : uint8_t {
  buffered,  // survives the death of the process; durable after the next flush
  durable,   // FUA: on stable storage before the operation completes
};

enum class ZeroMode : uint8_t {
  may_unmap,   // the space may be given back
  keep_space,  // the blocks stay allocated
};

/// One device. Calls come from the reactor that owns it. Ranges are checked by the caller (see CheckedDevice): within
/// the size, aligned to the logical block size, not empty. Buffers stay valid until the task is done. Operations
/// may run concurrently and finish in any order; two that overlap and are both in flight apply in either order,
/// block by block.
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual Geometry geometry() const = 0;

  virtual Task<Status> read(uint64_t offset, std::span<std::byte> into) = 0;
  virtual Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) = 0;
  /// Every write that completed before this call is on stable storage when it is done.
  virtual Task<Status> flush() = 0;
  /// Gives the space of whole store blocks in the range back; they read as zeros afterwards.
  virtual Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) = 0;
  /// The whole range reads as zeros afterwards.
  virtual Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) = 0;
  /// Appends extents that cover the range from its start: all of it, or the first `extents_max`. EINVAL for changes
  /// since what is no ancestor of this content.
  virtual Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                    std::vector<Extent>& extents) = 0;
};

}  // namespace cairn
