// How a SCSI command ends: its status, and the sense data that say why (SPC-4 section 4.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/status.h"

namespace cairn::scsi {

/// SAM-5 section 5.3.
enum class StatusCode : uint8_t {
  good = 0x00,
  check_condition = 0x02,
  condition_met = 0x04,
  busy = 0x08,
  reservation_conflict = 0x18,
  task_set_full = 0x28,
  task_aborted = 0x40,
};

/// SPC-4 section 4.5.6.
enum class SenseKey : uint8_t {
  none = 0x0,
  recovered_error = 0x1,
  not_ready = 0x2,
  medium_error = 0x3,
  hardware_error = 0x4,
  illegal_request = 0x5,
  unit_attention = 0x6,
  data_protect = 0x7,
  blank_check = 0x8,
  copy_aborted = 0xa,
  aborted_command = 0xb,
  miscompare = 0xe,
};

/// Additional sense code in the upper byte, its qualifier in the lower one (SPC-4 annex F).
enum class SenseCode : uint16_t {
  none = 0x0000,
  operation_in_progress = 0x0016,
  not_ready_cause_not_reportable = 0x0400,
  not_ready_initializing_command_required = 0x0402,
  threshold_reached = 0x3807,
  copy_target_unreachable = 0x0d02,
  incorrect_copy_target_type = 0x0d03,
  third_party_device_failure = 0x0d01,
  write_error = 0x0c00,
  invalid_field_in_information_unit = 0x0e03,
  unrecovered_read_error = 0x1100,
  parameter_list_length_error = 0x1a00,
  miscompare_during_verify = 0x1d00,
  invalid_operation_code = 0x2000,
  block_address_out_of_range = 0x2100,
  invalid_field_in_cdb = 0x2400,
  logical_unit_not_supported = 0x2500,
  invalid_field_in_parameter_list = 0x2600,
  parameter_not_supported = 0x2601,
  parameter_value_invalid = 0x2602,
  invalid_release_of_reservation = 0x2604,
  too_many_target_descriptors = 0x2606,
  unsupported_target_descriptor = 0x2607,
  too_many_segment_descriptors = 0x2608,
  unsupported_segment_descriptor = 0x2609,
  unexpected_inexact_segment = 0x260a,
  inline_data_length_exceeded = 0x260b,
  copy_operation_failed = 0x260c,
  write_protected = 0x2700,
  software_write_protected = 0x2702,
  space_allocation_failed = 0x2707,
  power_on_or_reset = 0x2900,
  device_reset = 0x2903,
  nexus_loss = 0x2907,
  mode_parameters_changed = 0x2a01,
  reservations_preempted = 0x2a03,
  reservations_released = 0x2a04,
  registrations_preempted = 0x2a05,
  capacity_changed = 0x2a09,
  command_sequence_error = 0x2c00,
  commands_cleared = 0x2f00,
  saving_not_supported = 0x3900,
  internal_target_failure = 0x4400,
  protocol_service_crc_error = 0x4705,
  data_phase_error = 0x4b00,
  overlapped_commands = 0x4e00,
  insufficient_resources = 0x5503,
  insufficient_registration_resources = 0x5504,
};

/// Where what is wrong is: in the CDB, or in the parameter list that came with it (SPC-4 section 4.5.2.4.2).
struct FieldPointer {
  bool in_cdb = true;
  uint16_t byte = 0;
  int8_t bit = -1;  // the field's most significant bit; -1: the whole byte
};

struct Sense {
  SenseKey key = SenseKey::none;
  SenseCode code = SenseCode::none;
  std::optional<FieldPointer> field;
  std::optional<uint64_t> information;  // what it is depends on the command: a block, or a byte's offset
};

/// Fixed format: 18 bytes. Descriptor format: with what is known, at most 28.
inline constexpr size_t sense_length_max = 28;
enum class SenseFormat : uint8_t { fixed, descriptor };
/// Writes sense data and returns their length. What the fixed format has no room for is left out of it.
size_t write_sense(const Sense& sense, SenseFormat format, std::span<std::byte, sense_length_max> out);

/// The end of a command.
struct Outcome {
  StatusCode status = StatusCode::good;
  Sense sense;                // with CHECK CONDITION
  size_t data_in_length = 0;  // bytes of its data-in that count

  bool good() const { return status == StatusCode::good; }
};

inline Outcome good(size_t data_in_length = 0) { return {StatusCode::good, {}, data_in_length}; }
inline Outcome check_condition(SenseKey key, SenseCode code) {
  return {StatusCode::check_condition, {key, code, {}, {}}, 0};
}
inline Outcome illegal_request(SenseCode code) { return check_condition(SenseKey::illegal_request, code); }
/// INVALID FIELD IN CDB.
Outcome invalid_field(uint16_t byte, int8_t bit = -1);
/// INVALID FIELD IN PARAMETER LIST.
Outcome invalid_parameter(uint16_t byte, int8_t bit = -1);
/// MISCOMPARE: `offset` is that of the first byte that differs.
Outcome miscompare(uint64_t offset);
/// The initiator sends less or more data than its CDB asks for, and no part of them is worth doing.
Outcome wrong_data_length();
/// What the device said; GOOD when it is ok.
enum class Access : uint8_t { reading, writing };
Outcome outcome_of(Status status, Access access, size_t data_in_length = 0);

}  // namespace cairn::scsi
