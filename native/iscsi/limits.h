// Every limit of the iSCSI server but those of Limits and TimeLimits in server.h and those of the login phase, and how
// they relate. docs/protocols/iscsi.md repeats them for people.
#pragma once

#include "base/limits.h"
#include "frontend/limits.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

// ---- What a login offers ----

/// MaxRecvDataSegmentLength of the target.
inline constexpr uint32_t receive_segment_max = 256 * kibibyte;
/// Data that come without having been asked for may have to wait for a buffer in memory of their own.
inline constexpr uint32_t first_burst_max = 64 * kibibyte;
inline constexpr uint32_t burst_max = 16 * mebibyte - kibibyte;
inline constexpr uint16_t outstanding_r2t_max = 1;

// ---- Sessions ----

inline constexpr size_t sessions_per_target_max = 256;
/// Commands of one session that are under way: MaxCmdSN follows from it.
inline constexpr uint32_t command_window = 128;
/// What an initiator sends beyond the window, marked for immediate delivery.
inline constexpr uint32_t immediate_commands_max = 32;
/// Commands and answers that an initiator does not take: no more is received before it takes some.
inline constexpr size_t unsent_max = 2 * command_window;
/// Command objects that a reactor keeps for reuse, and messages.
inline constexpr size_t tasks_kept_max = 4096;
inline constexpr size_t messages_kept_max = 256;
/// Buffers held by the commands of one session; one larger command runs alone. At most this share of the pool.
inline constexpr size_t bytes_in_flight_max = 16 * mebibyte;
inline constexpr size_t pool_share_divisor = 4;
/// Data-In PDUs of one send; more follow when they have left.
inline constexpr size_t data_in_batch_max = 16;
inline constexpr size_t data_in_batch_bytes = 1 * mebibyte;
/// What is missing of a data segment is received straight into its place when it is more than this; less comes with
/// what follows it, for one receive and a copy.
inline constexpr size_t direct_receive_min = 16 * kibibyte;
/// After a data segment of this size only a header is received, because what follows it is probably as large.
inline constexpr size_t large_segment_min = 64 * kibibyte;
/// The longest header segment: with all the additional ones that its length can name, and a digest.
inline constexpr size_t header_max = wire::header_size + 255 * 4 + wire::digest_size;
/// Buffers of what an initiator still sent that are thrown away before its connection is closed.
inline constexpr int goodbye_receives_max = 256;

static_assert(first_burst_max <= receive_segment_max);
static_assert(data_in_batch_max * 3 <= send_pieces_max);
static_assert(header_max <= receive_small_size);

}  // namespace cairn::iscsi
