#include "dmcrypt/crypt_device.h"

#include <algorithm>
#include <array>

namespace cairn::dmcrypt {
namespace {

constexpr uint64_t numbered_size = 512;  // what dm-crypt counts in
/// The reactor's other work waits no longer than it takes to decrypt so much.
constexpr size_t decrypted_at_once = 1 * mebibyte;
constexpr size_t zeroed_at_once = 256 * kibibyte;

alignas(64) constexpr std::array<std::byte, zeroed_at_once> zeros{};

Task<Status> unsupported() { co_return Status::from_errno(EOPNOTSUPP); }

}  // namespace

Result<std::shared_ptr<Crypt>> make_crypt(const CryptLayout& layout, VolumeKey key) {
  const Result<CipherPath> path = tested_cipher_path();
  if (!path.ok()) return path.error();
  Result<std::unique_ptr<SectorCipher>> cipher = SectorCipher::create(key, path.value());
  if (!cipher.ok()) return cipher.error();
  auto crypt = std::make_shared<Crypt>();
  crypt->layout = layout;
  crypt->cipher = std::move(cipher.value());
  return crypt;
}

Geometry CryptDevice::geometry() const {
  const CryptLayout& layout = crypt_->layout;
  Geometry geometry = below_.geometry();
  const uint64_t behind = geometry.size > layout.data_offset ? geometry.size - layout.data_offset : 0;
  const uint64_t size = layout.length == 0 ? behind : std::min(behind, layout.length);
  geometry.size = size - size % layout.sector_size;
  geometry.logical_block_size = std::max(geometry.logical_block_size, layout.sector_size);
  geometry.can_trim = geometry.can_trim && layout.allow_discards;
  geometry.fast_zeroes = false;
  geometry.fast_unmap = false;
  return geometry;
}

Sectors CryptDevice::sectors_at(uint64_t offset, size_t length) const {
  const CryptLayout& layout = crypt_->layout;
  const uint64_t unit = layout.iv_large_sectors ? layout.sector_size : numbered_size;
  return {layout.sector_size, offset / unit + layout.iv_offset, layout.sector_size / unit, length / layout.sector_size};
}

Task<> CryptDevice::decrypt(SectorCipher& cipher, uint64_t offset, std::span<std::byte> bytes) {
  for (;;) {
    const std::span<std::byte> piece = bytes.first(std::min(bytes.size(), decrypted_at_once));
    cipher.decrypt(piece.data(), piece.data(), sectors_at(offset, piece.size()));
    bytes = bytes.subspan(piece.size());
    if (bytes.empty()) co_return;
    offset += piece.size();
    co_await reactor_.sleep({});
  }
}

Task<Status> CryptDevice::read(uint64_t offset, std::span<std::byte> into) {
  while (held_) co_await released_.wait();
  if (given_up_) co_return Status::from_errno(EIO);
  const InFlightScope under_way(in_flight_);
  if (older_ != nullptr) co_return co_await read_either(offset, into);
  const Status status = co_await below_.read(place(offset), into);
  if (!status.ok()) co_return status;
  SectorCipher& cipher = *crypt_->cipher;
  if (into.size() <= decrypted_at_once)
    cipher.decrypt(into.data(), into.data(), sectors_at(offset, into.size()));
  else
    co_await decrypt(cipher, offset, into);
  co_return status;
}

Task<Status> CryptDevice::write(uint64_t offset, std::span<const std::byte> from, Durability durability) {
  while (!from.empty()) {
    while (held_) co_await released_.wait();
    if (given_up_) co_return Status::from_errno(EIO);
    const InFlightScope under_way(in_flight_);
    const std::span<const std::byte> piece = from.first(std::min(from.size(), CryptBuffers::piece_max));
    Status status;
    if (older_ != nullptr) {
      status = co_await write_changing(offset, piece, durability);
    } else {
      const IoBuffer buffer = co_await buffers_.acquire(piece.size());
      crypt_->cipher->encrypt(piece.data(), buffer.data(), sectors_at(offset, piece.size()));
      status = co_await below_.write(place(offset), buffer.first(piece.size()), durability);
    }
    if (!status.ok()) co_return status;
    from = from.subspan(piece.size());
    offset += piece.size();
  }
  co_return Status();
}

Task<Status> CryptDevice::trim(uint64_t offset, uint64_t length, Durability durability) {
  if (!crypt_->layout.allow_discards) return unsupported();
  return below_.trim(place(offset), length, durability);
}

Task<Status> CryptDevice::write_zeroes(uint64_t offset, uint64_t length, ZeroMode, Durability durability) {
  while (length > 0) {
    const size_t piece = std::min<uint64_t>(length, zeros.size());
    const Status status = co_await write(offset, std::span(zeros).first(piece), durability);
    if (!status.ok()) co_return status;
    offset += piece;
    length -= piece;
  }
  co_return Status();
}

/// No range is known to read as zeros.
Task<Status> CryptDevice::block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                       std::vector<Extent>& extents) {
  const size_t before = extents.size();
  const Status status = co_await below_.block_status(place(offset), length, query, extents_max, extents);
  for (size_t i = before; i < extents.size(); ++i) extents[i].zero = false;
  co_return status;
}

}  // namespace cairn::dmcrypt
