// The NBD protocol's numbers and structures, as doc/proto.md of the reference implementation defines them. The only
// file of this folder that swaps bytes: every field is a BigEndian, which also has no alignment, so that a structure
// can be laid over received bytes.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "base/byte_order.h"

namespace cairn::nbd::wire {

template <typename T>
class BigEndian {
 public:
  BigEndian() = default;
  BigEndian(T value) { *this = value; }
  BigEndian& operator=(T value) {
    if constexpr (sizeof(T) == 2) store_be16(bytes_, value);
    if constexpr (sizeof(T) == 4) store_be32(bytes_, value);
    if constexpr (sizeof(T) == 8) store_be64(bytes_, value);
    return *this;
  }
  operator T() const {
    if constexpr (sizeof(T) == 2) return load_be16(bytes_);
    if constexpr (sizeof(T) == 4) return load_be32(bytes_);
    if constexpr (sizeof(T) == 8) return load_be64(bytes_);
  }

 private:
  uint8_t bytes_[sizeof(T)];
};
using u16 = BigEndian<uint16_t>;
using u32 = BigEndian<uint32_t>;
using u64 = BigEndian<uint64_t>;

template <typename T>
std::span<const std::byte> bytes_of(const T& structure) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
  return std::as_bytes(std::span(&structure, 1));
}

// ---- Handshake ------------------------------------------------------------------------------------------------------

inline constexpr uint64_t greeting_magic = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr uint64_t option_magic = 0x49484156454f5054;    // "IHAVEOPT"
inline constexpr uint64_t option_reply_magic = 0x0003e889045565a9;

enum HandshakeFlag : uint16_t { handshake_fixed_newstyle = 1 << 0, handshake_no_zeroes = 1 << 1 };
enum ClientFlag : uint32_t { client_fixed_newstyle = 1 << 0, client_no_zeroes = 1 << 1 };
inline constexpr uint32_t client_flags_known = client_fixed_newstyle | client_no_zeroes;

enum Option : uint32_t {
  option_export_name = 1,
  option_abort = 2,
  option_list = 3,
  option_starttls = 5,
  option_info = 6,
  option_go = 7,
  option_structured_reply = 8,
  option_list_meta_context = 9,
  option_set_meta_context = 10,
};

enum OptionReply : uint32_t {
  reply_ack = 1,
  reply_server = 2,
  reply_info = 3,
  reply_meta_context = 4,
  reply_error_unsupported = 0x80000001,
  reply_error_policy = 0x80000002,
  reply_error_invalid = 0x80000003,
  reply_error_platform = 0x80000004,
  reply_error_tls_required = 0x80000005,
  reply_error_unknown = 0x80000006,
  reply_error_shutdown = 0x80000007,
  reply_error_block_size_required = 0x80000008,
  reply_error_too_big = 0x80000009,
};

enum Info : uint16_t { info_export = 0, info_name = 1, info_description = 2, info_block_size = 3 };

struct Greeting {
  u64 magic = greeting_magic;
  u64 options = option_magic;
  u16 flags = handshake_fixed_newstyle | handshake_no_zeroes;
};
static_assert(sizeof(Greeting) == 18);

struct OptionHeader {
  u64 magic;
  u32 option;
  u32 length;
};
static_assert(sizeof(OptionHeader) == 16);

struct OptionReplyHeader {
  u64 magic = option_reply_magic;
  u32 option;
  u32 type;
  u32 length;
};
static_assert(sizeof(OptionReplyHeader) == 20);

/// The answer to NBD_OPT_EXPORT_NAME, followed by zeroes unless the client declined them.
struct ExportNameReply {
  u64 size;
  u16 flags;
};
static_assert(sizeof(ExportNameReply) == 10);
inline constexpr size_t export_name_zeroes = 124;

struct InfoExport {
  u16 type = info_export;
  u64 size;
  u16 flags;
};
static_assert(sizeof(InfoExport) == 12);

struct InfoBlockSize {
  u16 type = info_block_size;
  u32 minimum;
  u32 preferred;
  u32 maximum;
};
static_assert(sizeof(InfoBlockSize) == 14);

// ---- Transmission ---------------------------------------------------------------------------------------------------

inline constexpr uint32_t request_magic = 0x25609513;
inline constexpr uint32_t simple_reply_magic = 0x67446698;
inline constexpr uint32_t structured_reply_magic = 0x668e33ef;

enum TransmissionFlag : uint16_t {
  flag_has_flags = 1 << 0,
  flag_read_only = 1 << 1,
  flag_send_flush = 1 << 2,
  flag_send_fua = 1 << 3,
  flag_rotational = 1 << 4,
  flag_send_trim = 1 << 5,
  flag_send_write_zeroes = 1 << 6,
  flag_send_df = 1 << 7,
  flag_can_multi_conn = 1 << 8,
};

enum Command : uint16_t {
  command_read = 0,
  command_write = 1,
  command_disconnect = 2,
  command_flush = 3,
  command_trim = 4,
  command_cache = 5,
  command_write_zeroes = 6,
  command_block_status = 7,
};

enum CommandFlag : uint16_t {
  command_flag_fua = 1 << 0,
  command_flag_no_hole = 1 << 1,
  command_flag_df = 1 << 2,
  command_flag_req_one = 1 << 3,
  command_flag_fast_zero = 1 << 4,
};

struct RequestHeader {
  u32 magic = request_magic;
  u16 flags;
  u16 type;
  u64 cookie;
  u64 offset;
  u32 length;
};
static_assert(sizeof(RequestHeader) == 28);

struct SimpleReply {
  u32 magic = simple_reply_magic;
  u32 error;
  u64 cookie;
};
static_assert(sizeof(SimpleReply) == 16);

enum ReplyFlag : uint16_t { reply_flag_done = 1 << 0 };
enum ReplyType : uint16_t {
  reply_type_none = 0,
  reply_type_offset_data = 1,
  reply_type_offset_hole = 2,
  reply_type_block_status = 5,
  reply_type_error = 0x8001,
  reply_type_error_offset = 0x8002,
};

struct StructuredReply {
  u32 magic = structured_reply_magic;
  u16 flags;
  u16 type;
  u64 cookie;
  u32 length;
};
static_assert(sizeof(StructuredReply) == 20);

struct OffsetDataReply {
  StructuredReply header;
  u64 offset;
};
static_assert(sizeof(OffsetDataReply) == 28);

struct ErrorReply {
  StructuredReply header;
  u32 error;
  u16 message_length;
};
static_assert(sizeof(ErrorReply) == 26);

struct BlockStatusReply {
  StructuredReply header;
  u32 context;
};
static_assert(sizeof(BlockStatusReply) == 24);

struct BlockDescriptor {
  u32 length;
  u32 flags;
};
static_assert(sizeof(BlockDescriptor) == 8);

enum BlockState : uint32_t { state_hole = 1 << 0, state_zero = 1 << 1 };

enum ErrorNumber : uint32_t {
  error_none = 0,
  error_not_permitted = 1,
  error_io = 5,
  error_no_memory = 12,
  error_invalid = 22,
  error_no_space = 28,
  error_overflow = 75,
  error_not_supported = 95,
  error_shutdown = 108,
};

// ---- Hand-over between processes of one host (not part of NBD)
// -------------------------------------------------------

inline constexpr uint32_t handover_magic = 0x43414e42;  // "CANB"
inline constexpr uint16_t handover_version = 1;

enum HandoverFlag : uint16_t {
  handover_client_fixed_newstyle = 1 << 0,
  handover_client_no_zeroes = 1 << 1,
  handover_structured_replies = 1 << 2,
  handover_base_allocation = 1 << 3,
};

/// Followed by the default export's name, the name that the metadata contexts are for, and the unconsumed bytes.
struct HandoverHeader {
  u32 magic = handover_magic;
  u16 version = handover_version;
  u16 flags;
  u32 options_seen;
  u32 default_export_length;
  u32 meta_export_length;
  u32 unconsumed_length;
};
static_assert(sizeof(HandoverHeader) == 24);

}  // namespace cairn::nbd::wire
