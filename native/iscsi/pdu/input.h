#pragma once

#include <functional>
#include <span>

#include "aio/reactor.h"
#include "base/crc32c.h"
#include "frontend/receive_buffer.h"
#include "iscsi/pdu/outgoing.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

/// PDUs of one connection on their way in: a header segment, then its data segment to where the session wants it.
class Input {
 public:
  Input(Reactor& reactor, const File& socket, ReceiveBufferShelf& shelf)
      : reactor_(reactor), socket_(socket), buffer_(shelf) {}

  void set_digests(Digests digests) { digests_ = digests; }
  /// What was received before this existed.
  void append(std::span<const std::byte> bytes) { buffer_.append(bytes); }

  /// How something was received. After anything but `ok` and `bad_data` the stream is of no use any more.
  enum class Received : uint8_t { ok, bad_data, bad_header, ended };

  /// A whole header segment is here: taken without waiting.
  bool has_header() const;
  /// The next header segment: header() is valid until the next call. Additional segments are left out: nothing that is
  /// supported needs one. `idle`: nothing else is under way, so that memory can go back.
  Task<Received> receive_header(bool idle);
  Received take_header();
  const wire::Header& header() const { return header_; }

  /// The data segment of the header that came last, of `length` bytes: as much as `into` has room for goes there, the
  /// rest nowhere. Nothing is waited for when all of it is here (has_segment()).
  bool has_segment(size_t length) const { return buffer_.unread().size() >= segment_size(length); }
  Received take_segment(std::span<std::byte> into, size_t length);
  Task<Received> receive_segment(std::span<std::byte> into, size_t length);

  /// Bytes received so far: whether an initiator says anything.
  uint64_t bytes_received() const { return bytes_received_; }
  /// A part of a PDU has been received.
  bool mid_pdu() const { return mid_pdu_; }

 private:
  size_t header_size() const { return wire::header_size + (digests_.header ? wire::digest_size : 0); }
  size_t segment_size(size_t length) const {
    return length == 0 ? 0 : wire::padded(length) + (digests_.data ? wire::digest_size : 0);
  }
  Task<bool> receive_more(bool idle);
  Task<bool> receive_directly(std::span<std::byte> into);
  /// Moves what has been received of the segment to its place.
  void land(std::span<std::byte>& into, size_t& left);
  bool take_digest(uint32_t expected);

  Reactor& reactor_;
  const File& socket_;
  ReceiveBuffer buffer_;
  Digests digests_;
  wire::Header header_;
  Crc32c crc_;
  bool expect_large_ = false;
  bool mid_pdu_ = false;
  uint64_t bytes_received_ = 0;
};

}  // namespace cairn::iscsi
