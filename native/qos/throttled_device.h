#pragma once

#include <memory>

#include "block/block_device.h"
#include "block/snapshot_set.h"
#include "qos/throttle.h"

namespace cairn::qos {

/// Passes on what the throttle lets through. While that has nothing to keep, an operation costs one branch more, and no
/// coroutine.
class ThrottledDevice final : public BlockDevice {
 public:
  ThrottledDevice(BlockDevice& below, Throttle& throttle) : below_(below), throttle_(throttle) {}
  ThrottledDevice(std::unique_ptr<BlockDevice> below, Throttle& throttle)
      : owned_(std::move(below)), below_(*owned_), throttle_(throttle) {}

  Geometry geometry() const override { return below_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override;
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

 private:
  Task<Status> in_turn(uint64_t bytes, Task<Status> operation);
  Task<Status> status_for_read(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                               std::vector<Extent>& extents);

  std::unique_ptr<BlockDevice> owned_;
  BlockDevice& below_;
  Throttle& throttle_;
};

/// A volume's snapshots share its throttle: who reads them uses the same disk.
class ThrottledSnapshots final : public SnapshotSet {
 public:
  ThrottledSnapshots(SnapshotSet& below, Throttle& throttle) : below_(below), throttle_(throttle) {}

  std::vector<SnapshotName> snapshots() const override { return below_.snapshots(); }
  std::vector<SnapshotName> ancestors(const std::string& of) const override { return below_.ancestors(of); }
  Task<Result<std::unique_ptr<BlockDevice>>> open_snapshot(std::string name) override;

 private:
  SnapshotSet& below_;
  Throttle& throttle_;
};

}  // namespace cairn::qos
