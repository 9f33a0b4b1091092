#include "iscsi/pdu/input.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "iscsi/limits.h"

namespace cairn::iscsi {
namespace {

uint32_t load_digest(const std::byte* from) {
  uint32_t little;
  std::memcpy(&little, from, sizeof little);
  return le32toh(little);
}

size_t additional_length(std::span<const std::byte> unread) {
  return reinterpret_cast<const wire::Header*>(unread.data())->ahs_length();
}

}  // namespace

// ---- Header segments ------------------------------------------------------------------------------------------------

bool Input::has_header() const {
  const std::span<const std::byte> unread = buffer_.unread();
  return unread.size() >= header_size() && unread.size() >= header_size() + additional_length(unread);
}

Input::Received Input::take_header() {
  const std::span<const std::byte> unread = buffer_.unread();
  std::memcpy(&header_, unread.data(), sizeof header_);
  const size_t digested = sizeof header_ + header_.ahs_length();
  const bool intact = !digests_.header || load_digest(unread.data() + digested) == crc32c(unread.data(), digested);
  buffer_.consume(header_size() + header_.ahs_length());
  mid_pdu_ = false;
  return intact ? Received::ok : Received::bad_header;
}

Task<Input::Received> Input::receive_header(bool idle) {
  while (!has_header()) {
    const bool received = co_await receive_more(idle);
    if (!received) co_return Received::ended;
  }
  co_return take_header();
}

Task<bool> Input::receive_more(bool idle) {
  std::span<std::byte> room = buffer_.prepare(idle);
  if (std::exchange(expect_large_, false)) room = room.first(std::min(room.size(), header_size()));
  if (!buffer_.unread().empty()) mid_pdu_ = true;
  const int received = co_await reactor_.receive(socket_, room);
  if (received <= 0) co_return false;
  bytes_received_ += static_cast<size_t>(received);
  buffer_.received(static_cast<size_t>(received));
  co_return true;
}

// ---- Data segments --------------------------------------------------------------------------------------------------

void Input::land(std::span<std::byte>& into, size_t& left) {
  const std::span<const std::byte> here = buffer_.unread().first(std::min(left, buffer_.unread().size()));
  const size_t kept = std::min(here.size(), into.size());
  if (kept > 0) std::memcpy(into.data(), here.data(), kept);
  into = into.subspan(kept);
  left -= here.size();
  if (digests_.data) crc_.add(here.data(), here.size());
  buffer_.consume(here.size());
}

bool Input::take_digest(uint32_t expected) {
  if (!digests_.data) return true;
  const uint32_t digest = load_digest(buffer_.unread().data());
  buffer_.consume(wire::digest_size);
  return digest == expected;
}

Input::Received Input::take_segment(std::span<std::byte> into, size_t length) {
  if (length == 0) return Received::ok;
  crc_ = {};
  size_t left = wire::padded(length);
  into = into.first(std::min(into.size(), length));
  land(into, left);
  mid_pdu_ = false;
  return take_digest(crc_.value()) ? Received::ok : Received::bad_data;
}

Task<Input::Received> Input::receive_segment(std::span<std::byte> into, size_t length) {
  crc_ = {};
  mid_pdu_ = true;
  size_t left = wire::padded(length);
  into = into.first(std::min(into.size(), length));
  for (;;) {
    land(into, left);
    if (left == 0) break;
    if (left > direct_receive_min && into.size() > direct_receive_min) {
      const std::span<std::byte> place = into;
      const bool filled = co_await receive_directly(place);
      if (!filled) co_return Received::ended;
      if (digests_.data) crc_.add(place.data(), place.size());
      left -= place.size();
      into = {};
      expect_large_ = length >= large_segment_min && left == 0 && !digests_.data;
      continue;
    }
    const bool received = co_await receive_more(false);
    if (!received) co_return Received::ended;
  }
  while (digests_.data && buffer_.unread().size() < wire::digest_size) {
    const bool received = co_await receive_more(false);
    if (!received) co_return Received::ended;
  }
  mid_pdu_ = false;
  co_return take_digest(crc_.value()) ? Received::ok : Received::bad_data;
}

Task<bool> Input::receive_directly(std::span<std::byte> into) {
  while (!into.empty()) {
    const int received = co_await reactor_.receive(socket_, into, MSG_WAITALL);
    if (received <= 0) co_return false;
    bytes_received_ += static_cast<size_t>(received);
    into = into.subspan(static_cast<size_t>(received));
  }
  co_return true;
}

}  // namespace cairn::iscsi
