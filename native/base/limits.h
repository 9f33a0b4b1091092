// Every limit of the native code, and how they relate.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn {

inline constexpr uint64_t kibibyte = 1024;
inline constexpr uint64_t mebibyte = 1024 * kibibyte;
inline constexpr uint64_t gibibyte = 1024 * mebibyte;
inline constexpr uint64_t tebibyte = 1024 * gibibyte;

/// The unit of the store: maps and the read index know blocks of this size, whatever the logical block size.
inline constexpr uint32_t store_block_size = 4096;
/// Blocks in one entry of the first level of the read index (2 MiB).
inline constexpr uint32_t index_chunk_blocks = 512;
inline constexpr uint64_t volume_size_max = 64 * tebibyte;
/// A read source names its layer in 15 bits.
inline constexpr uint32_t layer_count_max = 16383;

/// Entries of the submission ring; completions have four times as many.
inline constexpr uint32_t ring_entries = 1024;
/// Slots of the registered file table; files beyond it are used by descriptor.
inline constexpr uint32_t fixed_files_max = 4096;
/// What one reactor's buffer pool hands out at most in one piece.
inline constexpr size_t io_buffer_max = 32 * mebibyte;
inline constexpr size_t io_buffer_min = 4096;

static_assert(io_buffer_max % io_buffer_min == 0);
static_assert(volume_size_max / store_block_size < (uint64_t{1} << 40));

}  // namespace cairn
