// Limits of sockets and buffers that every frontend has.
#pragma once

#include <chrono>

#include "base/limits.h"

namespace cairn {

inline constexpr int listen_backlog = 1024;
inline constexpr int unix_socket_buffer = 1 * mebibyte;

/// A connection receives into the small buffer that it owns, and under load into a large one that it borrows.
inline constexpr size_t receive_small_size = 8 * kibibyte;
inline constexpr size_t receive_large_size = 128 * kibibyte;
inline constexpr size_t receive_large_kept_max = 64;

/// A TCP peer that is gone is noticed after idle + count * interval.
inline constexpr int keepalive_idle_seconds = 60;
inline constexpr int keepalive_interval_seconds = 15;
inline constexpr int keepalive_count = 4;
/// And after this, when there is something that it does not acknowledge.
inline constexpr unsigned unacknowledged_milliseconds = 120'000;

/// One gathering send.
inline constexpr size_t send_pieces_max = 128;
inline constexpr size_t send_bytes_max = 1 * mebibyte;

/// After accept failed for want of descriptors or memory.
inline constexpr std::chrono::milliseconds accept_pause{100};
/// A hand-over that meets a full queue is tried again this often, and so far apart.
inline constexpr unsigned handover_attempts_max = 50;
inline constexpr std::chrono::milliseconds handover_pause{10};

}  // namespace cairn
