// PERSISTENT RESERVE OUT (SPC-4 section 6.16). A service action makes the next state from the present one; it counts,
// and others are told, when it is kept.
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/transport_id.h"

namespace cairn::scsi {
namespace {

constexpr size_t list_length = 24;
constexpr size_t flags_at = 20;
constexpr uint8_t flag_initiator_ports = 0x08;  // SPEC_I_PT
constexpr uint8_t flag_power_loss = 0x01;       // APTPL
constexpr size_t move_flags_at = 17;
constexpr uint8_t move_unregisters = 0x02;

Outcome conflict() { return {StatusCode::reservation_conflict, {}, 0}; }

/// A service action at work.
struct Change {
  LogicalUnit& unit;
  const std::string& port;  // whose it is
  const Cdb& cdb;
  std::span<const std::byte> list;
  ReservationState next;
  std::vector<std::string> preempted;  // told that their registration is gone
  std::vector<std::string> cleared;    // told that the reservation is
  std::vector<std::string> released;   // told that it has been released
  bool aborts = false;                 // the commands of those that are preempted

  uint64_t key() const { return load_be64(&list[0]); }
  uint64_t action_key() const { return load_be64(&list[8]); }
  uint8_t flags() const { return static_cast<uint8_t>(list[flags_at]); }
  ReservationType type() const { return static_cast<ReservationType>(cdb[2] & 0x0f); }
  /// The port is registered with the key that it gives.
  bool is_known() const {
    const Registration* own = next.find(port);
    return own != nullptr && own->key == key();
  }
  void release_to_others() {
    for (const Registration& each : next.registrations)
      if (each.port != port) released.push_back(each.port);
  }
};

std::optional<Outcome> check_type(const Cdb& cdb) {
  if ((cdb[2] & 0xf0) != 0) return invalid_field(2, 7);
  if (!is_reservation_type(cdb[2] & 0x0f)) return invalid_field(2, 3);
  return {};
}

// ---- Registering ----

/// The ports that a TransportID means: one, or all that an initiator of this name has logged in with.
std::vector<std::string> ports_of(LogicalUnit& unit, const TransportId& id) {
  if (id.is_port) return {id.text};
  std::vector<std::string> ports;
  unit.nexuses().for_each([&](const Nexus* nexus) {
    if (nexus->initiator_port().starts_with(id.text + ",i,")) ports.push_back(nexus->initiator_port());
  });
  return ports;
}

/// SPEC_I_PT: more ports get the key.
std::optional<Outcome> register_named(Change& change) {
  if (change.list.size() < list_length + 4) return illegal_request(SenseCode::parameter_list_length_error);
  const size_t length = load_be32(&change.list[list_length]);
  std::span<const std::byte> rest = change.list.subspan(list_length + 4);
  if (length != rest.size()) return illegal_request(SenseCode::parameter_list_length_error);
  while (!rest.empty()) {
    const auto at = static_cast<uint16_t>(change.list.size() - rest.size());
    const std::optional<TransportId> id = take_transport_id(rest);
    if (!id) return invalid_parameter(at);
    for (const std::string& port : ports_of(change.unit, *id)) {
      if (change.next.find(port) != nullptr) return invalid_parameter(at);
      change.next.registrations.push_back({port, change.action_key()});
    }
    rest = rest.subspan(id->length);
  }
  return {};
}

void unregister(Change& change) {
  const bool tells = change.next.reservation && admits_registrants(change.next.reservation->type);
  if (change.next.unregister(change.port) && tells) change.release_to_others();
}

Outcome register_key(Change& change, bool ignores_key) {
  Registration* own = change.next.find(change.port);
  if (!ignores_key && change.key() != (own == nullptr ? 0 : own->key)) return conflict();
  const bool names_ports = (change.flags() & flag_initiator_ports) != 0;
  if (names_ports && (ignores_key || own != nullptr)) return invalid_parameter(flags_at, 3);
  if (!names_ports && change.list.size() != list_length) return illegal_request(SenseCode::parameter_list_length_error);
  const bool power_loss = (change.flags() & flag_power_loss) != 0;
  if (power_loss && change.unit.reservations_path().empty()) return invalid_parameter(flags_at, 0);
  if (own == nullptr && change.action_key() == 0) return good();
  if (change.action_key() == 0) {
    unregister(change);
  } else if (own != nullptr) {
    own->key = change.action_key();
  } else {
    change.next.registrations.push_back({change.port, change.action_key()});
    if (names_ports)
      if (const std::optional<Outcome> wrong = register_named(change)) return *wrong;
  }
  if (change.next.registrations.size() > registrations_max)
    return illegal_request(SenseCode::insufficient_registration_resources);
  change.next.through_power_loss = power_loss;
  ++change.next.generation;
  return good();
}

Outcome register_checked(Change& change) { return register_key(change, false); }
Outcome register_and_ignore(Change& change) { return register_key(change, true); }

Outcome register_and_move(Change& change) {
  if (!change.is_known()) return conflict();
  if (!change.next.reservation || is_all_registrants(change.next.reservation->type) || !change.next.holds(change.port))
    return conflict();
  if (change.action_key() == 0) return invalid_parameter(8);
  if (load_be16(&change.list[18]) != relative_port) return invalid_parameter(18);
  const size_t length = load_be32(&change.list[20]);
  if (length != change.list.size() - list_length) return illegal_request(SenseCode::parameter_list_length_error);
  const std::optional<TransportId> id = take_transport_id(change.list.subspan(list_length));
  if (!id || !id->is_port || id->length != length || id->text == change.port) return invalid_parameter(list_length);
  const auto flags = static_cast<uint8_t>(change.list[move_flags_at]);
  const bool power_loss = (flags & flag_power_loss) != 0;
  if (power_loss && change.unit.reservations_path().empty()) return invalid_parameter(move_flags_at, 0);
  if (Registration* there = change.next.find(id->text))
    there->key = change.action_key();
  else
    change.next.registrations.push_back({id->text, change.action_key()});
  change.next.reservation->holder = id->text;
  if ((flags & move_unregisters) != 0) change.next.unregister(change.port);
  if (change.next.registrations.size() > registrations_max)
    return illegal_request(SenseCode::insufficient_registration_resources);
  change.next.through_power_loss = power_loss;
  ++change.next.generation;
  return good();
}

// ---- Reserving ----

Outcome reserve(Change& change) {
  if (const std::optional<Outcome> wrong = check_type(change.cdb)) return *wrong;
  if (!change.is_known()) return conflict();
  const bool all = is_all_registrants(change.type());
  if (!change.next.reservation) {
    change.next.reservation = {change.type(), all ? std::string() : change.port};
    return good();
  }
  const bool same = change.next.holds(change.port) && change.next.reservation->type == change.type();
  return same ? good() : conflict();
}

Outcome release(Change& change) {
  if (!change.is_known()) return conflict();
  if (!change.next.holds(change.port)) return good();
  if ((change.cdb[2] & 0xf0) != 0 || change.next.reservation->type != change.type())
    return illegal_request(SenseCode::invalid_release_of_reservation);
  change.next.reservation.reset();
  if (admits_registrants(change.type())) change.release_to_others();
  return good();
}

Outcome clear(Change& change) {
  if (!change.is_known()) return conflict();
  for (const Registration& each : change.next.registrations)
    if (each.port != change.port) change.cleared.push_back(each.port);
  change.next.registrations.clear();
  change.next.reservation.reset();
  ++change.next.generation;
  return good();
}

// ---- Preempting ----

/// Those with the key, or (0) all, but for the port itself.
void remove_others(Change& change, uint64_t key) {
  for (const Registration& each : change.next.registrations)
    if (each.port != change.port && (key == 0 || each.key == key)) change.preempted.push_back(each.port);
  std::erase_if(change.next.registrations, [&change](const Registration& each) {
    return std::ranges::find(change.preempted, each.port) != change.preempted.end();
  });
}

/// The reservation becomes the port's, of the type that it asks for; of another type it is not what those who stay
/// registered knew.
void take_reservation(Change& change, uint64_t key) {
  const PersistentReservation before = *change.next.reservation;
  remove_others(change, key);
  change.next.reservation = {change.type(), is_all_registrants(change.type()) ? std::string() : change.port};
  if (before.type != change.type()) change.release_to_others();
}

/// Scope and type matter only where the reservation changes hands (SPC-4 section 5.12.11.2).
Outcome preempt(Change& change) {
  if (!change.is_known()) return conflict();
  const uint64_t key = change.action_key();
  const std::optional<PersistentReservation>& held = change.next.reservation;
  const bool all = held && is_all_registrants(held->type);
  const Registration* holder = held && !all ? change.next.find(held->holder) : nullptr;
  if (key == 0 && !all) return invalid_parameter(8);
  const bool is_there =
      std::ranges::any_of(change.next.registrations, [key](const auto& each) { return each.key == key; });
  if (key != 0 && !is_there) return conflict();
  if ((all && key == 0) || (holder != nullptr && holder->key == key)) {
    if (const std::optional<Outcome> wrong = check_type(change.cdb)) return *wrong;
    take_reservation(change, key);
  } else {
    remove_others(change, key);
    // Its own key may be the one that goes.
    if (change.key() == key) change.next.unregister(change.port);
  }
  ++change.next.generation;
  return good();
}

Outcome preempt_and_abort(Change& change) {
  change.aborts = true;
  return preempt(change);
}

// ---- Carrying it out ----

void tell(LogicalUnit& unit, const std::vector<std::string>& ports, UnitAttention attention) {
  unit.nexuses().for_each([&](Nexus* nexus) {
    if (std::ranges::find(ports, nexus->initiator_port()) != ports.end()) nexus->establish(attention);
  });
}

void abort_tasks(LogicalUnit& unit, const std::vector<std::string>& ports) {
  unit.nexuses().for_each([&](Nexus* nexus) {
    if (std::ranges::find(ports, nexus->initiator_port()) != ports.end()) nexus->tasks().abort_all();
  });
}

using Action = Outcome (*)(Change&);

Task<Outcome> carry_out(LogicalUnit& unit, Command command, Action action) {
  if (command.data_out.size() < list_length) co_return illegal_request(SenseCode::parameter_list_length_error);
  Reservations& reservations = unit.reservations();
  const AsyncMutex::Guard guard = co_await reservations.changing().lock();
  const std::string port = command.nexus.initiator_port();
  Change change{.unit = unit,
                .port = port,
                .cdb = command.cdb,
                .list = command.data_out,
                .next = reservations.state(),
                .preempted = {},
                .cleared = {},
                .released = {}};
  const Outcome outcome = action(change);
  if (!outcome.good()) co_return outcome;
  const Status kept = co_await reservations.keep(std::move(change.next));
  if (!kept.ok()) co_return check_condition(SenseKey::hardware_error, SenseCode::internal_target_failure);
  tell(unit, change.preempted, UnitAttention::registrations_preempted);
  tell(unit, change.cleared, UnitAttention::reservations_preempted);
  tell(unit, change.released, UnitAttention::reservations_released);
  if (change.aborts) {
    abort_tasks(unit, change.preempted);
    co_await unit.aborted().wait_idle();
  }
  co_return outcome;
}

template <Action action>
Task<Outcome> run(LogicalUnit& unit, Command command) {
  return carry_out(unit, command, action);
}

/// Ports are named by those that register only.
template <Action action>
Outcome without_ports(Change& change) {
  if ((change.flags() & flag_initiator_ports) != 0) return invalid_parameter(flags_at, 3);
  return action(change);
}

Judgement judge_list(const Cdb& cdb, bool may_be_longer) {
  const size_t length = load_be32(&cdb[5]);
  const bool wrong = may_be_longer ? length < list_length || length > parameter_data_max : length != list_length;
  if (wrong) return illegal_request(SenseCode::parameter_list_length_error);
  return Needs{.data_out = length};
}
Judgement judge(LogicalUnit&, const Cdb& cdb) { return judge_list(cdb, false); }
Judgement judge_longer(LogicalUnit&, const Cdb& cdb) { return judge_list(cdb, true); }

constexpr CommandRow row(int service_action, Task<Outcome> (*run_it)(LogicalUnit&, Command),
                         Judgement (*judge_it)(LogicalUnit&, const Cdb&) = judge) {
  return {.opcode = 0x5f,
          .service_action = service_action,
          .usage = {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff},
          .reservation = ReservationRule::registrations,
          .judge = judge_it,
          .run = run_it};
}

}  // namespace

constexpr CommandRow persistent_reserve_out_register = row(0, run<register_checked>, judge_longer);
constexpr CommandRow persistent_reserve_out_reserve = row(1, run<without_ports<reserve>>);
constexpr CommandRow persistent_reserve_out_release = row(2, run<without_ports<release>>);
constexpr CommandRow persistent_reserve_out_clear = row(3, run<without_ports<clear>>);
constexpr CommandRow persistent_reserve_out_preempt = row(4, run<without_ports<preempt>>);
constexpr CommandRow persistent_reserve_out_preempt_abort = row(5, run<without_ports<preempt_and_abort>>);
constexpr CommandRow persistent_reserve_out_register_ignore = row(6, run<register_and_ignore>, judge_longer);
constexpr CommandRow persistent_reserve_out_register_move = row(7, run<register_and_move>, judge_longer);

}  // namespace cairn::scsi
