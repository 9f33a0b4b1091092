#pragma once

#include <cstdint>
#include <optional>

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

/// LOGICAL BLOCK ADDRESS OUT OF RANGE with the first such block as information.
std::optional<Outcome> check_range(LogicalUnit& unit, const BlockRange& range);
/// As check_range(), and INVALID FIELD IN CDB for more than one command transfers.
std::optional<Outcome> check_transfer(LogicalUnit& unit, const Cdb& cdb, const BlockRange& range);
/// WRITE PROTECTED.
std::optional<Outcome> check_writable(LogicalUnit& unit);

/// Bits of CDB byte 1 of reads and writes.
inline constexpr uint8_t cdb_fua = 0x08;
inline constexpr uint8_t cdb_dpo = 0x10;
/// FUA_NV, obsolete: looked at by nobody, and allowed.
inline constexpr uint8_t cdb_fua_nv = 0x02;

}  // namespace cairn::scsi
