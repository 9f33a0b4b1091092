// Limits of a logical unit. docs/protocols/iscsi.md repeats them for people.
#pragma once

#include "base/limits.h"

namespace cairn::scsi {

/// Bytes that one command reads or writes. Smaller where the reactor's buffer pool is.
inline constexpr size_t transfer_length_max = 16 * mebibyte;
/// The transfer length that is best (VPD page B0h).
inline constexpr size_t transfer_length_optimal = 1 * mebibyte;
/// WRITE SAME writes as many bytes and as many blocks at most. Its CDB of 10 bytes has no room for more blocks than
/// that, in whole store blocks; initiators find that what the other one says holds for both.
inline constexpr uint64_t write_same_max = 64 * mebibyte;
inline constexpr uint32_t write_same_blocks_max = 0xfff8;
/// Block descriptors of one UNMAP.
inline constexpr uint32_t unmap_descriptors_max = 256;
/// Blocks of one COMPARE AND WRITE, as its CDB has room for.
inline constexpr uint32_t compare_blocks_max = 255;
/// Memory of a command that reads or writes more of the medium than it transfers: it does so in pieces of this size.
inline constexpr size_t scratch_max = 1 * mebibyte;
/// PRE-FETCH reads at most so many bytes.
inline constexpr uint64_t prefetch_max = 64 * mebibyte;
/// GET LBA STATUS looks at as many bytes, so that it does not keep others waiting. Their blocks fit a descriptor.
inline constexpr uint64_t lba_status_bytes_max = 1 * tebibyte;
/// Ports that may be registered with a key.
inline constexpr size_t registrations_max = 256;
/// Target and segment descriptors of one EXTENDED COPY, their lengths, and those of both lists together.
inline constexpr size_t copy_targets_max = 8;
inline constexpr size_t copy_segments_max = 16;
inline constexpr size_t copy_target_length = 32;
inline constexpr size_t copy_segment_length = 28;
inline constexpr size_t copy_descriptors_length_max =
    copy_targets_max * copy_target_length + copy_segments_max * copy_segment_length;
/// Bytes that one segment of it copies: one command is not to keep a reset waiting for long.
inline constexpr uint32_t copy_segment_bytes_max = 64 * mebibyte;
/// Copies that one nexus may have running, and whose results are known for it.
inline constexpr size_t copies_max = 16;
/// Parameter data that a command gives back at most, but for the medium's.
inline constexpr size_t parameter_data_max = 64 * kibibyte;

}  // namespace cairn::scsi
