// Stops the process when it is asked for what a checked device would refuse: whoever serves clients has to answer that
// itself.
#pragma once

#include "block/block_device.h"

namespace cairn::test {

class StrictDevice final : public BlockDevice {
 public:
  explicit StrictDevice(BlockDevice& below) : below_(below) {}
  Geometry geometry() const override { return below_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override {
    require(offset, into.size());
    return below_.read(offset, into);
  }
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override {
    require(offset, from.size());
    return below_.write(offset, from, durability);
  }
  Task<Status> flush() override { return below_.flush(); }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override {
    require(offset, length);
    return below_.trim(offset, length, durability);
  }
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override {
    require(offset, length);
    return below_.write_zeroes(offset, length, mode, durability);
  }
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override {
    require(offset, length);
    CAIRN_ASSERT(extents_max > 0);
    return below_.block_status(offset, length, query, extents_max, extents);
  }

 private:
  void require(uint64_t offset, uint64_t length) const {
    const Geometry geometry = below_.geometry();
    CAIRN_ASSERT(length > 0 && offset % geometry.logical_block_size == 0 && length % geometry.logical_block_size == 0);
    CAIRN_ASSERT(offset <= geometry.size && length <= geometry.size - offset);
  }
  BlockDevice& below_;
};

}  // namespace cairn::test
