// REPORT SUPPORTED OPERATION CODES (SPC-4 section 6.35): the table of commands, told.
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_timeouts = 0x80;  // RCTD
enum class Reporting : uint8_t { all, by_code, by_service_action, by_either };

constexpr uint8_t timeouts_present = 0x02;      // CTDP of a descriptor in a list
constexpr uint8_t one_timeouts_present = 0x80;  // and of one command
constexpr uint8_t service_action_valid = 0x01;  // SERVACTV
constexpr uint8_t not_supported = 0x01;
constexpr uint8_t supported = 0x03;
constexpr uint16_t timeouts_length = 0x0a;

bool has_service_action(const CommandRow& row) { return row.service_action != no_service_action; }
bool tells_timeouts(const Cdb& cdb) { return (cdb[2] & cdb_timeouts) != 0; }
Reporting reporting_of(const Cdb& cdb) { return static_cast<Reporting>(cdb[2] & 0x07); }

/// Any row of the operation code that is asked for: either all of them have service actions, or there is one.
const CommandRow* row_of_code(const Cdb& cdb) {
  for (const CommandRow* row : all_commands())
    if (row->opcode == cdb[3]) return row;
  return nullptr;
}

Judgement judge(LogicalUnit&, const Cdb& cdb) {
  const CommandRow* row = row_of_code(cdb);
  const Reporting reporting = reporting_of(cdb);
  if (reporting > Reporting::by_either) return invalid_field(2, 2);
  if (reporting == Reporting::by_code && row != nullptr && has_service_action(*row)) return invalid_field(2, 2);
  if (reporting == Reporting::by_service_action && row != nullptr && !has_service_action(*row))
    return invalid_field(2, 2);
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[6]), parameter_data_max)};
}

/// No time is told: how long a command takes depends on the replicas' disks and networks.
void put_timeouts(ParameterData& data) {
  data.put16(timeouts_length);
  data.put_zeros(timeouts_length);
}

void put_command(const CommandRow& row, bool timeouts, ParameterData& data) {
  const bool action = has_service_action(row);
  data.put8(row.opcode);
  data.put8(0);
  data.put16(action ? static_cast<uint16_t>(row.service_action) : 0);
  data.put8(0);
  data.put8((timeouts ? timeouts_present : 0) | (action ? service_action_valid : 0));
  data.put16(static_cast<uint16_t>(cdb_length(row.opcode)));
  if (timeouts) put_timeouts(data);
}

void put_all(bool timeouts, ParameterData& data) {
  data.put32(0);
  for (const CommandRow* row : all_commands()) put_command(*row, timeouts, data);
  data.set_length32(0);
}

/// The row that is asked for; null when there is none.
const CommandRow* row_of(const Cdb& cdb) {
  const uint16_t action = load_be16(&cdb[4]);
  for (const CommandRow* row : all_commands()) {
    if (row->opcode != cdb[3]) continue;
    const uint16_t own = has_service_action(*row) ? static_cast<uint16_t>(row->service_action) : 0;
    if (own == action || reporting_of(cdb) == Reporting::by_code) return row;
  }
  return nullptr;
}

/// In the usage data the service action stands as it is.
void put_usage(const CommandRow& row, ParameterData& data) {
  const size_t begin = data.size();
  const size_t length = cdb_length(row.opcode);
  data.put16(static_cast<uint16_t>(length));
  data.put(std::span(row.usage).first(length));
  if (has_service_action(row)) data[begin + 3] = static_cast<uint8_t>((row.usage[1] & 0xe0) | row.service_action);
}

void put_one(const CommandRow* row, bool timeouts, ParameterData& data) {
  data.put8(0);
  if (row == nullptr) {
    data.put8(not_supported);
    data.put16(0);
    return;
  }
  data.put8(supported | (timeouts ? one_timeouts_present : 0));
  put_usage(*row, data);
  if (timeouts) put_timeouts(data);
}

Task<Outcome> run(LogicalUnit&, Command command) {
  ParameterData data;
  if (reporting_of(command.cdb) == Reporting::all)
    put_all(tells_timeouts(command.cdb), data);
  else
    put_one(row_of(command.cdb), tells_timeouts(command.cdb), data);
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow report_supported_operation_codes{
    .opcode = 0xa3,
    .service_action = 0x0c,
    .usage = {0xa3, 0x1f, cdb_timeouts | 0x07, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::reads,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
