// What frontends ask about the snapshots of a volume's device: to serve them, and to tell what changed since one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aio/task.h"
#include "base/status.h"
#include "block/block_device.h"

namespace cairn {

struct SnapshotName {
  std::string name;
  uint32_t reference = 0;  // for StatusQuery::since
};

/// Calls come from the reactor that owns the volume's device.
class SnapshotSet {
 public:
  virtual ~SnapshotSet() = default;

  /// Every snapshot that can be opened, oldest first.
  virtual std::vector<SnapshotName> snapshots() const = 0;
  /// Those that the content of snapshot `of` descends from, oldest first; `of` empty: the volume itself.
  virtual std::vector<SnapshotName> ancestors(const std::string& of) const = 0;
  /// A read-only device of the snapshot's content. While it lives, the snapshot cannot be deleted, and merges that
  /// would touch its layers wait. SNAPSHOT_MISSING when there is none of that name.
  virtual Task<Result<std::unique_ptr<BlockDevice>>> open_snapshot(std::string name) = 0;
};

}  // namespace cairn
