#include "qos/throttled_device.h"

namespace cairn::qos {
namespace {

Task<Status> nothing() { co_return Status(); }

}  // namespace

Task<Status> ThrottledDevice::in_turn(uint64_t bytes, Task<Status> operation) {
  if (throttle_.passes()) [[likely]]
    return operation;
  return throttle_.pass(bytes, std::move(operation));
}

Task<Status> ThrottledDevice::read(uint64_t offset, std::span<std::byte> into) {
  return in_turn(into.size(), below_.read(offset, into));
}

Task<Status> ThrottledDevice::write(uint64_t offset, std::span<const std::byte> from, Durability durability) {
  return in_turn(from.size(), below_.write(offset, from, durability));
}

Task<Status> ThrottledDevice::flush() { return below_.flush(); }

Task<Status> ThrottledDevice::trim(uint64_t offset, uint64_t length, Durability durability) {
  return in_turn(0, below_.trim(offset, length, durability));
}

Task<Status> ThrottledDevice::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) {
  return in_turn(0, below_.write_zeroes(offset, length, mode, durability));
}

Task<Status> ThrottledDevice::block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                           std::vector<Extent>& extents) {
  if (query.for_read && !throttle_.passing()) return status_for_read(offset, length, query, extents_max, extents);
  return below_.block_status(offset, length, query, extents_max, extents);
}

/// A read that ends here, for there are only zeros, counts like one that goes on.
Task<Status> ThrottledDevice::status_for_read(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                              std::vector<Extent>& extents) {
  const Status status = co_await below_.block_status(offset, length, query, extents_max, extents);
  if (!status.ok()) co_return status;
  uint64_t zeros = 0;
  for (const Extent& extent : extents) zeros += extent.zero ? extent.length : 0;
  if (zeros < length) co_return status;
  co_return co_await in_turn(length, nothing());
}

Task<Result<std::unique_ptr<BlockDevice>>> ThrottledSnapshots::open_snapshot(std::string name) {
  Result<std::unique_ptr<BlockDevice>> opened = co_await below_.open_snapshot(std::move(name));
  if (!opened.ok()) co_return opened.error();
  std::unique_ptr<BlockDevice> device = std::make_unique<ThrottledDevice>(std::move(opened.value()), throttle_);
  co_return device;
}

}  // namespace cairn::qos
