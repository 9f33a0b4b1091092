#include "block/checked_device.h"

namespace cairn {
namespace {

Task<Status> refused(Status status) { co_return status; }

}  // namespace

Status CheckedDevice::check_range(uint64_t offset, uint64_t length, int beyond_end) const {
  const Geometry geometry = below_.geometry();  // each time: a device may grow
  if (length == 0 || offset % geometry.logical_block_size != 0 || length % geometry.logical_block_size != 0)
    return Status::from_errno(EINVAL);
  if (offset > geometry.size || length > geometry.size - offset) return Status::from_errno(beyond_end);
  return Status();
}

Status CheckedDevice::check_write(uint64_t offset, uint64_t length) const {
  if (below_.geometry().read_only) return Status::from_errno(EPERM);
  return check_range(offset, length, ENOSPC);
}

// The layer below is awaited by the caller itself: checking costs no coroutine of its own.

Task<Status> CheckedDevice::read(uint64_t offset, std::span<std::byte> into) {
  const Status status = check_range(offset, into.size(), EINVAL);
  return status.ok() ? below_.read(offset, into) : refused(status);
}

Task<Status> CheckedDevice::write(uint64_t offset, std::span<const std::byte> from, Durability durability) {
  const Status status = check_write(offset, from.size());
  return status.ok() ? below_.write(offset, from, durability) : refused(status);
}

Task<Status> CheckedDevice::flush() { return below_.flush(); }

Task<Status> CheckedDevice::trim(uint64_t offset, uint64_t length, Durability durability) {
  const Status status = check_write(offset, length);
  return status.ok() ? below_.trim(offset, length, durability) : refused(status);
}

Task<Status> CheckedDevice::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) {
  const Status status = check_write(offset, length);
  return status.ok() ? below_.write_zeroes(offset, length, mode, durability) : refused(status);
}

Task<Status> CheckedDevice::block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                         std::vector<Extent>& extents) {
  const Status status = check_range(offset, length, EINVAL);
  return status.ok() ? below_.block_status(offset, length, query, extents_max, extents) : refused(status);
}

}  // namespace cairn
