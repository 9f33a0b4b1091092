// The parameter list of EXTENDED COPY with a list identifier of one byte (SPC-4 section 6.4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {

class LogicalUnit;

inline constexpr size_t copy_list_header_length = 16;
/// Descriptor type codes that are known here.
inline constexpr uint8_t identification_descriptor = 0xe4;
inline constexpr uint8_t block_to_block = 0x02;

/// A target descriptor: whether it is this unit, and may be copied to and from.
enum class CopyTarget : uint8_t { this_unit, unreachable, of_another_type };

struct CopySegment {
  uint16_t source_target = 0;
  uint16_t destination_target = 0;
  BlockRange source;
  uint64_t destination = 0;  // the first block
};

struct CopyList {
  uint8_t list_id = 0;
  bool is_held = false;        // its results are asked for later
  bool is_identified = false;  // the identifier means something
  std::vector<CopyTarget> targets;
  std::vector<CopySegment> segments;
};

/// Reads a list into `list`, or says what is wrong with it. What a segment names is not looked at.
std::optional<Outcome> read_copy_list(LogicalUnit& unit, std::span<const std::byte> bytes, CopyList& list);

}  // namespace cairn::scsi
