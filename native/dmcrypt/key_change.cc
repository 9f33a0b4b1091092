// A crypt device while its key is being changed: two keys in use, and what has the older one renewed piece by piece.
#include <algorithm>

#include "dmcrypt/crypt_device.h"

namespace cairn::dmcrypt {
namespace {

/// A client that meets the piece at hand waits for it.
constexpr uint64_t renewed_at_once = 256 * kibibyte;

uint64_t block_begin(uint64_t offset) { return offset / store_block_size * store_block_size; }
uint64_t block_end(uint64_t end) { return block_begin(end + store_block_size - 1); }

}  // namespace

Task<> CryptDevice::hold() {
  held_ = true;
  co_await in_flight_.wait_idle();
}

void CryptDevice::release() {
  held_ = false;
  released_.wake_all();
}

void CryptDevice::change_key(std::shared_ptr<Crypt> crypt, std::unique_ptr<OlderKey> older) {
  CAIRN_ASSERT(held_ && in_flight_.count() == 0);
  crypt_ = std::move(crypt);
  older_ = std::move(older);
}

RangeLock::Hold CryptDevice::lock(Range range, RangeLock::Mode mode) {
  return {lock_, range.offset / store_block_size, block_end(range.end()) / store_block_size, mode};
}

/// Whether what is at `offset` has the older key; shortens `length` to how far that is so.
Task<Result<bool>> CryptDevice::is_older(uint64_t offset, uint64_t& length) {
  std::vector<Extent> extents;
  const Status status = co_await below_.block_status(place(offset), length, {.since = older_->reference}, 1, extents);
  if (!status.ok()) co_return Error{errno_code(status.error()), "what has the older key cannot be told"};
  length = std::min(length, extents.front().length);
  co_return !extents.front().changed;
}

Task<Status> CryptDevice::read_either(uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    uint64_t length = into.size();
    const Result<bool> older = co_await is_older(offset, length);
    if (!older.ok()) co_return Status::from_errno(EIO);
    Task<Status> read =
        older.value() ? read_older(offset, into.first(length)) : read_present(offset, into.first(length));
    const Status status = co_await std::move(read);
    if (!status.ok()) co_return status;
    into = into.subspan(length);
    offset += length;
  }
  co_return Status();
}

Task<Status> CryptDevice::read_present(uint64_t offset, std::span<std::byte> into) {
  const Status status = co_await below_.read(place(offset), into);
  if (status.ok()) co_await decrypt(*crypt_->cipher, offset, into);
  co_return status;
}

/// From the snapshot, which does not change, whatever is written meanwhile.
Task<Status> CryptDevice::read_older(uint64_t offset, std::span<std::byte> into) {
  const uint64_t end = older_->snapshot->geometry().size;
  const uint64_t there = place(offset) < end ? std::min<uint64_t>(into.size(), end - place(offset)) : 0;
  Status status;
  if (there > 0) status = co_await older_->snapshot->read(place(offset), into.first(there));
  if (!status.ok()) co_return status;
  std::ranges::fill(into.subspan(there), std::byte{0});  // what the volume has grown by since
  co_await decrypt(*older_->crypt->cipher, offset, into);
  co_return status;
}

/// What is written has the present key. A part of a store block would give the rest of it the present key too, which it
/// has not: that block is renewed first.
Task<Status> CryptDevice::write_changing(uint64_t offset, std::span<const std::byte> piece, Durability durability) {
  const Range range{offset, piece.size()};
  const bool whole = offset == block_begin(offset) && range.end() == block_begin(range.end());
  RangeLock::Hold held = lock(range, whole ? RangeLock::Mode::shared : RangeLock::Mode::exclusive);
  co_await held;
  Status status;
  if (offset != block_begin(offset)) status = co_await renew({block_begin(offset), store_block_size}, durability);
  if (status.ok() && range.end() != block_begin(range.end()))
    status = co_await renew({block_begin(range.end()), store_block_size}, durability);
  if (!status.ok()) co_return status;
  const IoBuffer buffer = co_await buffers_.acquire(piece.size());
  crypt_->cipher->encrypt(piece.data(), buffer.data(), sectors_at(offset, piece.size()));
  co_return co_await below_.write(place(offset), buffer.first(piece.size()), durability);
}

Task<Result<uint64_t>> CryptDevice::renew_next(uint64_t offset) {
  CAIRN_ASSERT(older_ != nullptr);
  const Result<Range> next = co_await next_older(offset);
  if (!next.ok()) co_return next.error();
  if (next.value().length == 0) co_return next.value().offset;
  RangeLock::Hold held = lock(next.value(), RangeLock::Mode::exclusive);
  co_await held;
  const Status status = co_await renew(next.value(), Durability::buffered);
  if (!status.ok())
    co_return Error{errno_code(status.error()),
                    "what lies " + std::to_string(next.value().offset) +
                        " bytes behind its start could not be encrypted anew: " + status.message()};
  co_return next.value().end();
}

/// The next data of the snapshot that has not been written since, whole blocks; empty: how far there is none.
Task<Result<CryptDevice::Range>> CryptDevice::next_older(uint64_t offset) {
  const uint64_t size = geometry().size;
  const uint64_t snapshot_end = older_->snapshot->geometry().size;
  if (place(offset) >= snapshot_end || offset >= size) co_return Range{size, 0};
  uint64_t length = std::min(size - offset, snapshot_end - place(offset));
  const Result<bool> older = co_await is_older(offset, length);
  if (!older.ok()) co_return older.error();
  if (!older.value()) co_return Range{offset + length, 0};
  std::vector<Extent> extents;
  const Status status = co_await older_->snapshot->block_status(place(offset), length, StatusQuery{}, 1, extents);
  if (!status.ok()) co_return Error{errno_code(status.error()), "what the snapshot has cannot be told"};
  const uint64_t alike = std::min(length, extents.front().length);
  if (extents.front().hole) co_return Range{offset + alike, 0};
  co_return Range{offset, std::min(alike, renewed_at_once)};
}

/// Whole blocks, which are locked. What nobody has written has no key to change.
Task<Status> CryptDevice::renew(Range range, Durability durability) {
  while (range.length > 0) {
    uint64_t length = range.length;
    const Result<bool> older = co_await is_older(range.offset, length);
    if (!older.ok()) co_return Status::from_errno(EIO);
    if (older.value()) {
      const Result<Range> next = co_await next_older(range.offset);
      if (!next.ok()) co_return Status::from_errno(EIO);
      const bool hole = next.value().length == 0;
      length = std::min(length, hole ? next.value().offset - range.offset : next.value().length);
      Status status;
      if (!hole) status = co_await renew_data({range.offset, length}, durability);
      if (!status.ok()) co_return status;
    }
    range = {range.offset + length, range.length - length};
  }
  co_return Status();
}

Task<Status> CryptDevice::renew_data(Range range, Durability durability) {
  const IoBuffer buffer = co_await buffers_.acquire(range.length);
  const std::span<std::byte> bytes = buffer.first(range.length);
  const Status status = co_await read_older(range.offset, bytes);
  if (!status.ok()) co_return status;
  crypt_->cipher->encrypt(bytes.data(), bytes.data(), sectors_at(range.offset, bytes.size()));
  co_return co_await below_.write(place(range.offset), bytes, durability);
}

}  // namespace cairn::dmcrypt
