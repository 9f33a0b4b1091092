// PDUs on their way out.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/intrusive_list.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

/// The digests of a session's PDUs (RFC 7143 section 13.1).
struct Digests {
  bool header = false;
  bool data = false;
};

/// A header segment as it is sent, and the digest of the data that follow it.
struct Frame {
  std::array<std::byte, wire::header_size + wire::digest_size> head;
  std::array<std::byte, wire::digest_size> data_digest;

  template <typename Pdu>
  Pdu& begin(wire::Opcode opcode) {
    head.fill(std::byte{});
    auto& pdu = reinterpret_cast<Pdu&>(*head.data());
    static_assert(sizeof pdu == wire::header_size);
    pdu.opcode_byte = opcode;
    return pdu;
  }
  wire::Header& header() { return reinterpret_cast<wire::Header&>(*head.data()); }
};

/// One or more whole PDUs, laid out for one send. Its memory is reused.
class Outgoing : public ListLink {
 public:
  enum class Kind : uint8_t { message, task };
  explicit Outgoing(Kind kind) : kind_(kind) {}

  Kind kind() const { return kind_; }
  void clear() {
    pieces_.clear();
    length_ = 0;
  }
  /// A PDU whose header is complete. `data` lie in memory that has zeros up to the next multiple of four bytes.
  void add(Frame& frame, std::span<const std::byte> data, Digests digests);

  std::span<const iovec> pieces() const { return pieces_; }
  size_t send_pieces() const { return pieces_.size(); }
  size_t send_length() const { return length_; }
  template <typename Visit>
  void for_each_piece(Visit visit) const {
    for (const iovec& piece : pieces_) visit(piece.iov_base, piece.iov_len);
  }

 private:
  void add_piece(const void* data, size_t length);

  Kind kind_;
  std::vector<iovec> pieces_;
  size_t length_ = 0;
};

/// A PDU that is no command's: it owns what it carries.
class Message final : public Outgoing {
 public:
  Message() : Outgoing(Kind::message) {}
  /// Data of the PDU: replaced, padded.
  void set_data(std::span<const std::byte> data);
  void set_data(std::string_view text) { set_data(std::as_bytes(std::span(text))); }
  std::span<const std::byte> data() const { return std::span(data_).first(data_length_); }

  Frame frame;
  bool ends_session = false;  // the connection is closed when it has left

 private:
  std::vector<std::byte> data_;
  size_t data_length_ = 0;
};

}  // namespace cairn::iscsi
