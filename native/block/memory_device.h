#pragma once

#include <memory>

#include "block/block_device.h"

namespace cairn {

/// A device in memory: the reference that others are compared with, and the bottom when a layer is tested alone.
/// Every operation completes at once.
class MemoryDevice final : public BlockDevice {
 public:
  MemoryDevice(uint64_t size, uint32_t logical_block_size);

  Geometry geometry() const override { return geometry_; }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override;
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

  std::span<const std::byte> content() const { return content_; }

 private:
  Geometry geometry_;
  std::vector<std::byte> content_;
};

}  // namespace cairn
