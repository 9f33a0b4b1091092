#include "iscsi/scsi/medium.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/limits.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

/// A part of one store block. Where it takes no space already it is left so: to write zeros would allocate it, and
/// would fail in a pool that is full.
Task<Status> zero_part(BlockDevice& device, uint64_t offset, uint64_t length) {
  if (length == 0) co_return Status();
  std::vector<Extent> extents;
  const Status asked = co_await device.block_status(offset, length, {}, 1, extents);
  if (!asked.ok()) co_return asked;
  const Extent& extent = extents.front();
  if (extent.hole && extent.zero && extent.length >= length) co_return Status();
  co_return co_await device.write_zeroes(offset, length, ZeroMode::may_unmap, Durability::buffered);
}

}  // namespace

size_t scratch_for(LogicalUnit& unit, uint64_t bytes) {
  return static_cast<size_t>(std::min<uint64_t>({bytes, scratch_max, unit.transfer_max()}));
}

Task<Status> read_through(BlockDevice& device, uint64_t offset, uint64_t length, std::span<std::byte> scratch) {
  Status status;
  for (uint64_t done = 0; done < length && status.ok(); done += scratch.size())
    status = co_await device.read(offset + done, scratch.first(std::min<uint64_t>(scratch.size(), length - done)));
  co_return status;
}

Task<Outcome> compare(BlockDevice& device, uint64_t offset, std::span<const std::byte> expected,
                      std::span<std::byte> scratch) {
  for (size_t done = 0; done < expected.size(); done += scratch.size()) {
    const std::span<std::byte> piece = scratch.first(std::min(scratch.size(), expected.size() - done));
    const Status status = co_await device.read(offset + done, piece);
    if (!status.ok()) co_return outcome_of(status, Access::reading);
    const size_t differs = first_difference(piece, expected.subspan(done, piece.size()));
    if (differs < piece.size()) co_return miscompare(done + differs);
  }
  co_return good();
}

size_t first_difference(std::span<const std::byte> one, std::span<const std::byte> other) {
  if (std::memcmp(one.data(), other.data(), one.size()) == 0) return one.size();
  return static_cast<size_t>(std::ranges::mismatch(one, other).in1 - one.begin());
}

bool all_zeros(std::span<const std::byte> data) {
  return data.empty() || (data[0] == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

Task<Status> unmap(BlockDevice& device, uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  const uint64_t first_whole = std::min((offset + store_block_size - 1) / store_block_size * store_block_size, end);
  const uint64_t end_whole = std::max(end / store_block_size * store_block_size, first_whole);
  Status status;
  if (first_whole < end_whole)
    status = co_await device.trim(first_whole, end_whole - first_whole, Durability::buffered);
  if (status.ok()) status = co_await zero_part(device, offset, first_whole - offset);
  if (status.ok()) status = co_await zero_part(device, end_whole, end - end_whole);
  co_return status;
}

}  // namespace cairn::scsi
