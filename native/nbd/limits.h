// Every limit of the NBD server but those of Limits and TimeLimits in server.h, and how they relate.
// docs/protocols/nbd.md repeats them for people.
#pragma once

#include <chrono>

#include "base/limits.h"
#include "frontend/handover_socket.h"
#include "frontend/limits.h"
#include "nbd/wire.h"

namespace cairn::nbd {

// ---- Handshake ----

/// The protocol's own limit on strings.
inline constexpr size_t name_length_max = 4096;
/// An option that is longer is skipped and answered NBD_REP_ERR_TOO_BIG; beyond the second limit the connection is
/// closed.
inline constexpr uint32_t option_length_max = 32 * kibibyte;
inline constexpr uint32_t option_skipped_max = 1 * mebibyte;
inline constexpr uint32_t options_per_connection_max = 1024;
inline constexpr size_t handshake_receive_size = 4 * kibibyte;
/// What a handshake has received and not consumed never exceeds this.
inline constexpr size_t handshake_buffer_max = sizeof(wire::OptionHeader) + option_length_max + handshake_receive_size;

/// Metadata contexts of one connection.
inline constexpr size_t contexts_selected_max = 16;
/// A snapshot with a longer name has no context.
inline constexpr size_t context_name_max = 1024;
/// As many are listed as fit; every other one can still be selected by its name.
inline constexpr size_t contexts_listed_bytes_max = 48 * kibibyte;

// ---- Connections ----

inline constexpr size_t connections_per_export_max = 256;

// ---- Transmission ----

/// Payload of one request. Smaller where the reactor's buffer pool is.
inline constexpr uint32_t request_length_max = 32 * mebibyte;
/// A longer payload than this is not read to its end to answer it, but ends the connection.
inline constexpr uint32_t skipped_payload_max = 64 * mebibyte;
inline constexpr size_t requests_in_flight_max = 256;
/// Request objects that a reactor keeps for reuse.
inline constexpr size_t requests_kept_max = 4096;
/// Payload held by the requests of one connection; one larger request runs alone. At most this share of the pool.
inline constexpr size_t bytes_in_flight_max = 16 * mebibyte;
inline constexpr size_t pool_share_divisor = 4;
/// What block status tells of one context, and the memory that it takes.
inline constexpr size_t block_status_extents_max = 500;
inline constexpr size_t block_status_context_bytes = 8 * kibibyte;
/// For all contexts together; with many of them, each tells less.
inline constexpr size_t block_status_bytes_max = 64 * kibibyte;
/// A read of at least this size leaves runs of zeros out of its reply when the client can take that. Looking for them
/// costs the smaller ones more than it saves.
inline constexpr uint32_t sparse_read_min = 64 * kibibyte;
/// A shorter run of zeros is sent as data.
inline constexpr uint32_t sparse_run_min = 16 * kibibyte;
inline constexpr size_t sparse_runs_max = 32;
/// NBD_CMD_CACHE reads at most so much of its range, in pieces.
inline constexpr uint64_t cache_bytes_max = 64 * mebibyte;
inline constexpr uint32_t cache_piece = 1 * mebibyte;
/// Chunks of one reply, and what each has before its data.
inline constexpr size_t reply_chunks_max = 32;
inline constexpr size_t reply_chunk_head_max = sizeof(wire::ExtendedReply) + sizeof(wire::OffsetHole);

/// What is missing of a payload is received straight into its aligned buffer when it is more than this part of the
/// connection's buffer; less comes with the requests that follow it, for one receive and a copy.
inline constexpr size_t direct_receive_divisor = 8;
/// After a payload of this size only a header is received, because what follows it is probably as large.
inline constexpr size_t large_payload_min = 64 * kibibyte;

/// A client that takes no reply for so many checks (TimeLimits) is disconnected: it holds buffers that others wait for.
inline constexpr unsigned stalled_checks_max = 3;

/// Buffers of what a client still sent that are thrown away before its connection is closed.
inline constexpr int goodbye_receives_max = 256;

// ---- TLS ----

/// What a pump takes at once, in either direction, before it goes on to the other side. It holds no more than this and
/// what OpenSSL needs for it.
inline constexpr size_t tls_piece = 32 * kibibyte;
inline constexpr size_t psk_file_max = 1 * mebibyte;
inline constexpr size_t psk_identity_max = 128;
inline constexpr size_t psk_key_min = 16;
inline constexpr size_t psk_key_max = 64;

static_assert(request_length_max <= io_buffer_max);
static_assert(skipped_payload_max >= request_length_max);  // the protocol: 32 MiB is never a denial of service
static_assert(option_skipped_max > option_length_max);
static_assert(option_length_max >= 2 * name_length_max + 64);
static_assert(block_status_extents_max * sizeof(wire::ExtendedDescriptor) <= block_status_context_bytes);
static_assert(block_status_bytes_max / contexts_selected_max >= io_buffer_min);
// A client's payload of block status fits what the reply is made in.
static_assert(sizeof(wire::BlockStatusPayload) + contexts_selected_max * sizeof(uint32_t) <= io_buffer_min);
static_assert(sparse_runs_max <= reply_chunks_max && contexts_selected_max <= reply_chunks_max);
// What a connection has received when its handshake ends fits the buffer that it goes on with.
static_assert(handshake_buffer_max <= receive_large_size);
// One message carries it to another process.
static_assert(sizeof(wire::HandoverHeader) + sizeof(uint32_t) + 2 * name_length_max +
                  contexts_selected_max * (sizeof(uint32_t) + context_name_max) + handshake_buffer_max <=
              handover_message_max);
static_assert(sizeof(wire::QuestionHeader) + 2 * name_length_max + option_length_max <= handover_message_max);
static_assert(sizeof(wire::AnswerHeader) + name_length_max + contexts_listed_bytes_max <= handover_message_max);
static_assert(send_pieces_max >= 2 * reply_chunks_max);

}  // namespace cairn::nbd
