#pragma once

#include <functional>

#include "block/block_device.h"

namespace cairn {

/// Stands anywhere in a stack and fails what its rule says, before or after the operation below took effect.
class FaultDevice final : public BlockDevice {
 public:
  enum class Operation : uint8_t { read, write, flush, trim, write_zeroes, block_status };
  struct Fault {
    Status before;  // not ok: fails so, and nothing reaches the device below
    Status after;   // not ok: fails so although the device below has done it
  };
  using Rule = std::function<Fault(Operation operation, uint64_t offset, uint64_t length)>;

  FaultDevice(BlockDevice& below, Rule rule) : below_(below), rule_(std::move(rule)) {}

  Geometry geometry() const override { return below_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override;
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

 private:
  Task<Status> apply(Fault fault, Task<Status> operation);

  BlockDevice& below_;
  Rule rule_;
};

}  // namespace cairn
