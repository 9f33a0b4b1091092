#include "iscsi/pdu/outgoing.h"

#include <cstring>

#include "base/crc32c.h"

namespace cairn::iscsi {
namespace {

/// Digests go least significant byte first: the order in which the CRC's bits are sent (RFC 7143 section 13.1).
void store_digest(std::byte* to, uint32_t crc) {
  const uint32_t little = htole32(crc);
  std::memcpy(to, &little, sizeof little);
}

}  // namespace

void Outgoing::add_piece(const void* data, size_t length) {
  pieces_.push_back({const_cast<void*>(data), length});
  length_ += length;
}

void Outgoing::add(Frame& frame, std::span<const std::byte> data, Digests digests) {
  frame.header().data_length = static_cast<uint32_t>(data.size());
  if (digests.header) store_digest(frame.head.data() + wire::header_size, crc32c(frame.head.data(), wire::header_size));
  add_piece(frame.head.data(), wire::header_size + (digests.header ? wire::digest_size : 0));
  if (data.empty()) return;
  const size_t length = wire::padded(data.size());
  add_piece(data.data(), length);
  if (!digests.data) return;
  store_digest(frame.data_digest.data(), crc32c(data.data(), length));
  add_piece(frame.data_digest.data(), wire::digest_size);
}

void Message::set_data(std::span<const std::byte> data) {
  data_.assign(data.begin(), data.end());
  data_.resize(wire::padded(data.size()));
  data_length_ = data.size();
}

}  // namespace cairn::iscsi
