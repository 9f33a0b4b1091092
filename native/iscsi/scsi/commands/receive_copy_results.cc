// RECEIVE COPY RESULTS of copies with a list identifier of one byte (SPC-4 sections 6.21 to 6.24).
#include <algorithm>
#include <bit>

#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/copy_list.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr size_t length_at = 0;
constexpr uint16_t list_id_byte = 2;

Judgement judge(LogicalUnit&, const Cdb& cdb) {
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[10]), parameter_data_max)};
}

const CopyResult* result_of(const Command& command) {
  return command.nexus.copy_results().find(command.cdb[list_id_byte]);
}

Task<Outcome> copy_status(LogicalUnit&, Command command) {
  const CopyResult* result = result_of(command);
  if (result == nullptr) co_return invalid_field(list_id_byte);
  ParameterData data;
  data.put32(0);
  data.put8(static_cast<uint8_t>(result->status));  // no data are held
  data.put16(result->segments);
  data.put8(0);  // counted in bytes
  data.put32(static_cast<uint32_t>(result->bytes));
  data.set_length32(length_at);
  co_return data.give(command.data_in);
}

/// No segment that is known here gives data to the initiator.
Task<Outcome> receive_data(LogicalUnit&, Command command) {
  if (result_of(command) == nullptr) co_return invalid_field(list_id_byte);
  ParameterData data;
  data.put32(0);
  co_return data.give(command.data_in);
}

Task<Outcome> operating_parameters(LogicalUnit& unit, Command command) {
  constexpr uint8_t without_identifier = 0x01;  // SNLID
  ParameterData data;
  data.put32(0);
  data.put32(uint32_t{without_identifier} << 24);
  data.put16(copy_targets_max);
  data.put16(copy_segments_max);
  data.put32(copy_descriptors_length_max);
  data.put32(copy_segment_bytes_max);
  data.put_zeros(14);  // inline data, held data, streams
  data.put16(copies_max);
  data.put8(copies_max);
  data.put8(static_cast<uint8_t>(std::countr_zero(unit.block_size())));
  data.put_zeros(5);
  data.put8(2);
  data.put8(block_to_block);
  data.put8(identification_descriptor);
  data.set_length32(length_at);
  co_return data.give(command.data_in);
}

Task<Outcome> failed_segment_details(LogicalUnit&, Command command) {
  const CopyResult* result = result_of(command);
  if (result == nullptr) co_return invalid_field(list_id_byte);
  ParameterData data;
  data.put32(0);
  if (result->status != CopyStatus::completed_with_errors) co_return data.give(command.data_in);
  data.put_zeros(52);
  data.put8(static_cast<uint8_t>(result->outcome.status));
  data.put8(0);
  std::array<std::byte, sense_length_max> sense;
  const bool has_sense = result->outcome.status == StatusCode::check_condition;
  const size_t length = has_sense ? write_sense(result->outcome.sense, SenseFormat::fixed, sense) : 0;
  data.put16(static_cast<uint16_t>(length));
  for (size_t i = 0; i < length; ++i) data.put8(static_cast<uint8_t>(sense[i]));
  data.set_length32(length_at);
  co_return data.give(command.data_in);
}

constexpr CommandRow row(int service_action, Task<Outcome> (*run)(LogicalUnit&, Command)) {
  return {.opcode = 0x84,
          .service_action = service_action,
          .usage = {0x84, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
          .reservation = ReservationRule::writes,
          .judge = judge,
          .run = run};
}

}  // namespace

constexpr CommandRow receive_copy_status = row(0, copy_status);
constexpr CommandRow receive_copy_data = row(1, receive_data);
constexpr CommandRow receive_copy_operating_parameters = row(3, operating_parameters);
constexpr CommandRow receive_copy_failed_segment_details = row(4, failed_segment_details);

}  // namespace cairn::scsi
