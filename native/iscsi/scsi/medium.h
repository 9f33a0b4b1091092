// What several commands do with the medium. Offsets and lengths are in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aio/task.h"
#include "block/block_device.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {

class LogicalUnit;

/// The scratch memory with which a command reads or writes so many bytes of the medium piece by piece.
size_t scratch_for(LogicalUnit& unit, uint64_t bytes);

/// Reads a range and drops what it read.
Task<Status> read_through(BlockDevice& device, uint64_t offset, uint64_t length, std::span<std::byte> scratch);
/// GOOD when the medium holds what is expected, else MISCOMPARE with the offset in it.
Task<Outcome> compare(BlockDevice& device, uint64_t offset, std::span<const std::byte> expected,
                      std::span<std::byte> scratch);
/// The first byte that differs in spans of one length; their length when none does.
size_t first_difference(std::span<const std::byte> one, std::span<const std::byte> other);
bool all_zeros(std::span<const std::byte> data);

/// The range reads as zeros afterwards (LBPRZ), and takes no space but for what it has of store blocks only in part.
Task<Status> unmap(BlockDevice& device, uint64_t offset, uint64_t length);

}  // namespace cairn::scsi
