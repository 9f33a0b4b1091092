#include <bit>
#include <initializer_list>

#include "iscsi/scsi/copy_list.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

/// Descriptor types (SPC-4 section 7.8.17).
enum Descriptor : uint16_t {
  supported_commands = 0x0001,
  parameter_data = 0x0004,
  supported_descriptors = 0x0008,
  supported_target_identifiers = 0x000c,
  general_copy_operations = 0x8001,
};

/// A descriptor's head; its length is set when what follows is there.
size_t begin(ParameterData& data, Descriptor type) {
  data.put16(type);
  data.put16(0);
  return data.size() - 2;
}

void end(ParameterData& data, size_t length_at) {
  while ((data.size() - length_at - 2) % 4 != 0) data.put8(0);
  data.set_length16(length_at);
}

void put_list(ParameterData& data, Descriptor type, std::initializer_list<uint8_t> list) {
  const size_t at = begin(data, type);
  data.put8(static_cast<uint8_t>(list.size()));
  for (const uint8_t each : list) data.put8(each);
  end(data, at);
}

void put_parameters(ParameterData& data) {
  const size_t at = begin(data, parameter_data);
  data.put32(0);
  data.put16(copy_targets_max);
  data.put16(copy_segments_max);
  data.put32(copy_descriptors_length_max);
  data.put32(0);  // inline data
  data.put_zeros(12);
  end(data, at);
}

void put_general(LogicalUnit& unit, ParameterData& data) {
  const size_t at = begin(data, general_copy_operations);
  data.put32(copies_max);
  data.put32(copies_max);
  data.put32(copy_segment_bytes_max);
  data.put8(static_cast<uint8_t>(std::countr_zero(unit.block_size())));
  data.put_zeros(19);
  end(data, at);
}

/// Commands are an opcode with how many service actions, and these.
void write(LogicalUnit& unit, ParameterData& data) {
  put_list(data, supported_commands, {0x83, 1, 0x00, 0x84, 4, 0x00, 0x01, 0x03, 0x04});
  put_parameters(data);
  put_list(data, supported_descriptors, {block_to_block, identification_descriptor});
  const size_t at = begin(data, supported_target_identifiers);
  data.put16(0);  // those in the list alone
  end(data, at);
  put_general(unit, data);
}

}  // namespace

const VpdPage vpd_third_party_copy{.code = 0x8f, .write = write};

}  // namespace cairn::scsi
