#include "iscsi/scsi/copy_list.h"

#include <algorithm>
#include <cstring>

#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/designator.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t usage_shift = 3;
constexpr uint8_t usage_mask = 0x03;
enum Usage : uint8_t { usage_held = 0, usage_reserved = 1, usage_not_held = 2, usage_none = 3 };

Outcome wrong_at(SenseCode code, size_t at) {
  Outcome outcome = illegal_request(code);
  outcome.sense.field = FieldPointer{.in_cdb = false, .byte = static_cast<uint16_t>(at)};
  return outcome;
}

/// The lists as the header divides what follows it.
struct Parts {
  size_t targets;
  size_t segments;
};

std::optional<Outcome> read_header(std::span<const std::byte> bytes, CopyList& list, Parts& parts) {
  if (bytes.size() < copy_list_header_length) return illegal_request(SenseCode::parameter_list_length_error);
  parts = {load_be16(&bytes[2]), load_be32(&bytes[8])};
  const uint64_t end = copy_list_header_length + parts.targets + uint64_t{parts.segments};
  if (parts.targets + uint64_t{parts.segments} > copy_descriptors_length_max || end > bytes.size())
    return illegal_request(SenseCode::parameter_list_length_error);
  if (load_be32(&bytes[12]) != 0) return wrong_at(SenseCode::inline_data_length_exceeded, 12);
  const uint8_t usage = static_cast<uint8_t>(bytes[1]) >> usage_shift & usage_mask;
  list.list_id = static_cast<uint8_t>(bytes[0]);
  list.is_held = usage == usage_held;
  list.is_identified = usage != usage_none;
  if (usage == usage_reserved) return invalid_parameter(1, usage_shift + 1);
  if (usage == usage_none && list.list_id != 0) return invalid_parameter(0);
  return {};
}

// ---- Target descriptors ----

/// Those designators of the unit for which a target descriptor has room.
bool names_unit(LogicalUnit& unit, std::span<const std::byte> descriptor) {
  constexpr size_t designator_at = 4;
  constexpr size_t room = 24;
  for (auto* put : {put_naa, put_uuid}) {
    ParameterData own;
    put(unit.identity(), own);
    CAIRN_ASSERT(own.size() <= room);
    if (std::memcmp(&own[0], &descriptor[designator_at], own.size()) == 0) return true;
  }
  return false;
}

CopyTarget target_of(LogicalUnit& unit, std::span<const std::byte> descriptor) {
  constexpr uint8_t device_type_mask = 0x1f;
  constexpr uint32_t block_length_mask = 0xffffff;
  if (!names_unit(unit, descriptor)) return CopyTarget::unreachable;
  const bool is_disk = (static_cast<uint8_t>(descriptor[1]) & device_type_mask) == 0;
  const uint32_t block_length = load_be32(&descriptor[28]) & block_length_mask;
  const bool fits = block_length == 0 || block_length == unit.block_size();
  return is_disk && fits ? CopyTarget::this_unit : CopyTarget::of_another_type;
}

std::optional<Outcome> read_targets(LogicalUnit& unit, std::span<const std::byte> bytes, CopyList& list) {
  if (bytes.size() > copy_targets_max * copy_target_length) return wrong_at(SenseCode::too_many_target_descriptors, 2);
  for (size_t at = 0; at < bytes.size(); at += copy_target_length) {
    if (static_cast<uint8_t>(bytes[at]) != identification_descriptor)
      return wrong_at(SenseCode::unsupported_target_descriptor, copy_list_header_length + at);
    if (bytes.size() - at < copy_target_length) return invalid_parameter(2);
    list.targets.push_back(target_of(unit, bytes.subspan(at, copy_target_length)));
  }
  return {};
}

// ---- Segment descriptors ----

CopySegment segment_of(std::span<const std::byte> descriptor) {
  return {.source_target = load_be16(&descriptor[4]),
          .destination_target = load_be16(&descriptor[6]),
          .source = {load_be64(&descriptor[12]), load_be16(&descriptor[10])},
          .destination = load_be64(&descriptor[20])};
}

std::optional<Outcome> read_segments(std::span<const std::byte> bytes, size_t offset, CopyList& list) {
  constexpr size_t head = 4;
  if (bytes.size() > copy_segments_max * copy_segment_length)
    return wrong_at(SenseCode::too_many_segment_descriptors, 8);
  for (size_t at = 0; at < bytes.size(); at += copy_segment_length) {
    if (static_cast<uint8_t>(bytes[at]) != block_to_block)
      return wrong_at(SenseCode::unsupported_segment_descriptor, offset + at);
    if (bytes.size() - at < copy_segment_length) return invalid_parameter(8);
    if (load_be16(&bytes[at + 2]) != copy_segment_length - head)
      return invalid_parameter(static_cast<uint16_t>(offset + at + 2));
    list.segments.push_back(segment_of(bytes.subspan(at, copy_segment_length)));
  }
  return {};
}

}  // namespace

std::optional<Outcome> read_copy_list(LogicalUnit& unit, std::span<const std::byte> bytes, CopyList& list) {
  Parts parts{};
  if (std::optional<Outcome> wrong = read_header(bytes, list, parts)) return wrong;
  const std::span<const std::byte> rest = bytes.subspan(copy_list_header_length);
  if (std::optional<Outcome> wrong = read_targets(unit, rest.first(parts.targets), list)) return wrong;
  return read_segments(rest.subspan(parts.targets, parts.segments), copy_list_header_length + parts.targets, list);
}

}  // namespace cairn::scsi
