#include "block/fault_device.h"

namespace cairn {

Task<Status> FaultDevice::apply(Fault fault, Task<Status> operation) {
  if (!fault.before.ok()) co_return fault.before;
  const Status status = co_await std::move(operation);
  co_return status.ok() ? fault.after : status;
}

Task<Status> FaultDevice::read(uint64_t offset, std::span<std::byte> into) {
  return apply(rule_(Operation::read, offset, into.size()), below_.read(offset, into));
}

Task<Status> FaultDevice::write(uint64_t offset, std::span<const std::byte> from, Durability durability) {
  return apply(rule_(Operation::write, offset, from.size()), below_.write(offset, from, durability));
}

Task<Status> FaultDevice::flush() { return apply(rule_(Operation::flush, 0, 0), below_.flush()); }

Task<Status> FaultDevice::trim(uint64_t offset, uint64_t length, Durability durability) {
  return apply(rule_(Operation::trim, offset, length), below_.trim(offset, length, durability));
}

Task<Status> FaultDevice::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) {
  return apply(rule_(Operation::write_zeroes, offset, length), below_.write_zeroes(offset, length, mode, durability));
}

Task<Status> FaultDevice::block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                       std::vector<Extent>& extents) {
  return apply(rule_(Operation::block_status, offset, length),
               below_.block_status(offset, length, query, extents_max, extents));
}

}  // namespace cairn
