// PERSISTENT RESERVE IN (SPC-4 section 6.15).
#include <algorithm>

#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/parameter_data.h"
#include "iscsi/scsi/transport_id.h"

namespace cairn::scsi {
namespace {

constexpr size_t length_at = 4;

Judgement judge(LogicalUnit&, const Cdb& cdb) { return Needs{.data_in = load_be16(&cdb[7])}; }

Task<Outcome> read_keys(LogicalUnit& unit, Command command) {
  const ReservationState& state = unit.reservations().state();
  ParameterData data;
  data.put32(state.generation);
  data.put32(0);
  for (const Registration& each : state.registrations) data.put64(each.key);
  data.set_length32(length_at);
  co_return data.give(command.data_in);
}

Task<Outcome> read_reservation(LogicalUnit& unit, Command command) {
  const ReservationState& state = unit.reservations().state();
  ParameterData data;
  data.put32(state.generation);
  data.put32(0);
  if (state.reservation) {
    const Registration* holder = state.find(state.reservation->holder);
    data.put64(holder == nullptr ? 0 : holder->key);
    data.put32(0);
    data.put8(0);
    data.put8(static_cast<uint8_t>(state.reservation->type));
    data.put16(0);
  }
  data.set_length32(length_at);
  co_return data.give(command.data_in);
}

Task<Outcome> report_capabilities(LogicalUnit& unit, Command command) {
  constexpr uint8_t initiator_ports_named = 0x08;  // SIP_C
  constexpr uint8_t all_target_ports = 0x04;       // ATP_C
  const bool can_keep = !unit.reservations_path().empty();
  ParameterData data;
  data.put16(8);
  data.put8(initiator_ports_named | all_target_ports | (can_keep ? 0x01 : 0));           // PTPL_C
  data.put8(0x80 | 0x10 | (unit.reservations().state().through_power_loss ? 0x01 : 0));  // TMV, PTPL_A
  data.put16(0xea01);                                                                    // all types
  data.put16(0);
  co_return data.give(command.data_in);
}

Task<Outcome> read_full_status(LogicalUnit& unit, Command command) {
  const ReservationState& state = unit.reservations().state();
  ParameterData data;
  data.put32(state.generation);
  data.put32(0);
  for (const Registration& each : state.registrations) {
    const bool holds = state.holds(each.port);
    data.put64(each.key);
    data.put32(0);
    data.put8(0x02 | (holds ? 0x01 : 0));  // ALL_TG_PT: there is only one; R_HOLDER
    data.put8(holds ? static_cast<uint8_t>(state.reservation->type) : 0);
    data.put32(0);
    data.put16(relative_port);
    const size_t additional_at = data.size();
    data.put32(0);
    put_transport_id(data, each.port);
    data.set_length32(additional_at);
  }
  data.set_length32(length_at);
  co_return data.give(command.data_in);
}

constexpr CommandRow row(int service_action, Task<Outcome> (*run)(LogicalUnit&, Command)) {
  return {.opcode = 0x5e,
          .service_action = service_action,
          .usage = {0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff},
          .reservation = ReservationRule::registrations,
          .judge = judge,
          .run = run};
}

}  // namespace

constexpr CommandRow persistent_reserve_in_keys = row(0, read_keys);
constexpr CommandRow persistent_reserve_in_reservation = row(1, read_reservation);
constexpr CommandRow persistent_reserve_in_capabilities = row(2, report_capabilities);
constexpr CommandRow persistent_reserve_in_status = row(3, read_full_status);

}  // namespace cairn::scsi
