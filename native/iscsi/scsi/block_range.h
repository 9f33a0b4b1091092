#pragma once

#include <cstdint>
#include <optional>

#include "block/block_device.h"
#include "iscsi/scsi/command.h"

namespace cairn::scsi {

/// Logical blocks that a CDB names.
struct BlockRange {
  uint64_t first = 0;
  uint64_t count = 0;

  uint64_t end() const { return first + count; }
};

/// The LOGICAL BLOCK ADDRESS and TRANSFER LENGTH (or its like) of a CDB of 6, 10, 12 or 16 bytes where most commands
/// have them. In one of 6 bytes no blocks means 256 (SBC-3 section 5.8).
BlockRange range_of(const Cdb& cdb);

/// As above, where no blocks mean all from the address to the end of the medium.
BlockRange range_to_end(LogicalUnit& unit, const Cdb& cdb);
/// The byte of a CDB of 10, 12 or 16 bytes in which the number of blocks begins.
uint16_t length_byte(const Cdb& cdb);

/// LOGICAL BLOCK ADDRESS OUT OF RANGE with the first such block as information.
std::optional<Outcome> check_range(LogicalUnit& unit, const BlockRange& range);
/// As check_range(), and INVALID FIELD IN CDB for more than one command transfers.
std::optional<Outcome> check_transfer(LogicalUnit& unit, const Cdb& cdb, const BlockRange& range);
/// WRITE PROTECTED, or SOFTWARE WRITE PROTECTED.
std::optional<Outcome> check_writable(LogicalUnit& unit);

/// FUA, which a CDB of 6 bytes has not.
Durability durability_of(const Cdb& cdb);
/// Blocks of one WRITE SAME.
uint32_t write_same_blocks(LogicalUnit& unit);
/// Blocks of one COMPARE AND WRITE, whose data are twice as many.
uint32_t compare_blocks(LogicalUnit& unit);

/// Bits of CDB byte 1 of reads and writes.
inline constexpr uint8_t cdb_fua = 0x08;
inline constexpr uint8_t cdb_dpo = 0x10;
/// FUA_NV, obsolete: looked at by nobody, and allowed.
inline constexpr uint8_t cdb_fua_nv = 0x02;
/// GROUP NUMBER: what belongs together in statistics, which nobody collects here.
inline constexpr uint8_t cdb_group = 0x1f;

}  // namespace cairn::scsi
