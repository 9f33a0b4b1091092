#pragma once

#include "block/block_device.h"

namespace cairn {

/// Proves the contract of BlockDevice for the layers below, so that they need not check: a call out of range,
/// unaligned, empty or against a read-only device fails with EINVAL, ENOSPC (a write beyond the end) or EPERM, and goes
/// no further.
class CheckedDevice final : public BlockDevice {
 public:
  explicit CheckedDevice(BlockDevice& below) : below_(below) {}

  Geometry geometry() const override { return below_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override;
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

  /// What the call would fail with before it is made; frontends use it to refuse a request without its payload.
  Status check_range(uint64_t offset, uint64_t length, int beyond_end) const;
  Status check_write(uint64_t offset, uint64_t length) const;

 private:
  BlockDevice& below_;
};

}  // namespace cairn
