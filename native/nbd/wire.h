// The NBD protocol's numbers and structures, as doc/proto.md of the reference implementation defines them. The only
// file of this folder that swaps bytes: every field is a BigEndian, which also has no alignment, so that a structure
// can be laid over received bytes.
#pragma once

#include <cstdint>

#include "base/big_endian.h"

namespace cairn::nbd::wire {

using u16 = BigEndian<uint16_t>;
using u32 = BigEndian<uint32_t>;
using u64 = BigEndian<uint64_t>;
using cairn::bytes_of;

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
  option_extended_headers = 11,
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
  reply_error_extended_headers_required = 0x8000000a,
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
inline constexpr uint32_t extended_request_magic = 0x21e41c71;
inline constexpr uint32_t simple_reply_magic = 0x67446698;
inline constexpr uint32_t structured_reply_magic = 0x668e33ef;
inline constexpr uint32_t extended_reply_magic = 0x6e8a278c;

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
  flag_send_cache = 1 << 10,
  flag_send_fast_zero = 1 << 11,
  flag_block_status_payload = 1 << 12,
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
  command_flag_payload_length = 1 << 5,  // extended headers: the length is that of a payload
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

/// Every request after NBD_OPT_EXTENDED_HEADERS.
struct ExtendedRequestHeader {
  u32 magic = extended_request_magic;
  u16 flags;
  u16 type;
  u64 cookie;
  u64 offset;
  u64 length;
};
static_assert(sizeof(ExtendedRequestHeader) == 32);

/// The payload of NBD_CMD_BLOCK_STATUS, followed by the contexts' ids.
struct BlockStatusPayload {
  u64 length;
};
static_assert(sizeof(BlockStatusPayload) == 8);

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
  reply_type_block_status_extended = 6,
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

/// Every chunk after NBD_OPT_EXTENDED_HEADERS.
struct ExtendedReply {
  u32 magic = extended_reply_magic;
  u16 flags;
  u16 type;
  u64 cookie;
  u64 offset;  // the request's
  u64 length;
};
static_assert(sizeof(ExtendedReply) == 32);

// What follows a chunk's header.

struct OffsetHole {
  u64 offset;
  u32 length;
};
static_assert(sizeof(OffsetHole) == 12);

struct ErrorReason {
  u32 error;
  u16 message_length;
};
static_assert(sizeof(ErrorReason) == 6);

struct BlockDescriptor {
  u32 length;
  u32 flags;
};
static_assert(sizeof(BlockDescriptor) == 8);

/// Of NBD_REPLY_TYPE_BLOCK_STATUS_EXT.
struct ExtendedStatus {
  u32 context;
  u32 count;
};
static_assert(sizeof(ExtendedStatus) == 8);

struct ExtendedDescriptor {
  u64 length;
  u64 flags;
};
static_assert(sizeof(ExtendedDescriptor) == 16);

/// Of base:allocation.
enum BlockState : uint32_t { state_hole = 1 << 0, state_zero = 1 << 1 };
/// Of cairn:changed-since.
enum ChangeState : uint32_t { state_changed = 1 << 0 };

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

// ---- Between processes of one host (not part of NBD) ----------------------------------------------------------------

/// How every message begins.
struct MessageStart {
  u32 magic;
  u16 version;
};
static_assert(sizeof(MessageStart) == 6);

inline constexpr uint32_t handover_magic = 0x43414e42;  // "CANB"
/// The first version knows structured replies and base:allocation; the second has contexts by name and more flags.
inline constexpr uint16_t handover_version_first = 1;
inline constexpr uint16_t handover_version = 2;

enum HandoverFlag : uint16_t {
  handover_client_fixed_newstyle = 1 << 0,
  handover_client_no_zeroes = 1 << 1,
  handover_structured_replies = 1 << 2,
  handover_base_allocation = 1 << 3,  // in the first version alone
  handover_extended_headers = 1 << 4,
  handover_tls = 1 << 5,
};

/// Followed, from version 2 on, by a 32-bit count of contexts; then by the default export's name, the name that the
/// metadata contexts are for, the contexts' names after their 32-bit lengths, and the unconsumed bytes.
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

inline constexpr uint32_t question_magic = 0x43414e51;  // "CANQ"
inline constexpr uint32_t answer_magic = 0x43414e41;    // "CANA"
inline constexpr uint16_t description_version = 1;

/// Followed by the export's name, the snapshot's, and the queries after their 32-bit lengths.
struct QuestionHeader {
  u32 magic = question_magic;
  u16 version = description_version;
  u16 contexts;  // DescriptionQuestion::Contexts
  u32 export_length;
  u32 snapshot_length;
  u32 query_count;
};
static_assert(sizeof(QuestionHeader) == 20);

enum AnswerFlag : uint16_t {
  answer_read_only = 1 << 0,
  answer_can_trim = 1 << 1,
  answer_can_write_zeroes = 1 << 2,
};

/// Followed by the description and the contexts' names after their 32-bit lengths.
struct AnswerHeader {
  u32 magic = answer_magic;
  u16 version = description_version;
  u16 outcome;  // DescriptionAnswer::Outcome
  u16 flags;
  u64 size;
  u32 block_minimum;
  u32 block_preferred;
  u32 payload_maximum;
  u32 description_length;
  u32 context_count;
};
static_assert(sizeof(AnswerHeader) == 38);

}  // namespace cairn::nbd::wire
