#include "iscsi/scsi/logical_unit.h"

#include <algorithm>

#include "iscsi/scsi/limits.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t op_inquiry = 0x12;
constexpr uint8_t op_report_luns = 0xa0;
constexpr uint8_t op_request_sense = 0x03;

/// These tell of more than the unit, and are answered for one that is none (SPC-4 section 4.6.4).
bool answered_anywhere(const CommandRow& row) {
  return row.opcode == op_inquiry || row.opcode == op_report_luns || row.opcode == op_request_sense;
}

Task<Outcome> conflicting() { co_return Outcome{StatusCode::reservation_conflict, {}, 0}; }

Demand refused(Outcome outcome) { return {.row = nullptr, .refusal = outcome, .needs = {}, .unit_exists = true}; }

}  // namespace

LogicalUnit::LogicalUnit(LogicalUnitOptions options)
    : options_(std::move(options)),
      geometry_(options_.device.geometry()),
      transfer_max_(
          static_cast<uint32_t>(std::min<size_t>(transfer_length_max, options_.reactor.buffers().piece_max() / 2))),
      ranges_(options_.reactor.ready()),
      aborted_(options_.reactor.ready()),
      task_set_(options_.reactor.ready()),
      reservations_(*this, options_.reactor.ready()) {
  geometry_.read_only |= options_.read_only;
}

LogicalUnit::~LogicalUnit() { CAIRN_ASSERT(nexuses_.empty()); }

Task<Result<Unit>> LogicalUnit::open() { return reservations_.load(); }

void LogicalUnit::look_at_device() {
  const uint64_t before = geometry_.size;
  geometry_ = options_.device.geometry();
  geometry_.read_only |= options_.read_only;
  if (geometry_.size != before) establish(UnitAttention::capacity_changed);
}

void LogicalUnit::establish(UnitAttention attention, const Nexus* except) {
  nexuses_.for_each([attention, except](Nexus* nexus) {
    if (nexus != except) nexus->establish(attention);
  });
}

void LogicalUnit::set_space_low(bool low) {
  if (low && !space_low_) establish(UnitAttention::threshold_reached);
  space_low_ = low;
}

Task<Outcome> LogicalUnit::set_mode(ModeParameters parameters, const Nexus* asked_by) {
  const bool flushes = mode_.write_cache && !parameters.write_cache;
  if (parameters != mode_) establish(UnitAttention::mode_parameters_changed, asked_by);
  mode_ = parameters;
  if (!flushes) co_return good();
  const Status status = co_await device().flush();
  co_return outcome_of(status, Access::writing);
}

Task<> LogicalUnit::reset() {
  nexuses_.for_each([](Nexus* nexus) { nexus->tasks().abort_all(); });
  reservations_.release_reserve();
  mode_ = {};
  establish(UnitAttention::device_reset);
  co_await aborted_.wait_idle();
}

/// Peripheral device or flat space addressing of number 0 (SAM-5 sections 4.7.7.2 and 4.7.7.3).
bool LogicalUnit::is_at(uint64_t lun) { return (lun & ~(uint64_t{1} << 62)) == 0; }

Demand LogicalUnit::judge(Nexus& nexus, uint64_t lun, const Cdb& cdb) {
  look_at_device();
  bool opcode_known = false;
  const CommandRow* row = find_command(cdb, opcode_known);
  const bool exists = is_at(lun);
  if (!exists && (row == nullptr || !answered_anywhere(*row)))
    return refused(illegal_request(SenseCode::logical_unit_not_supported));
  if (row == nullptr && !nexus.attentive())
    return refused(opcode_known ? invalid_field(1, 4) : illegal_request(SenseCode::invalid_operation_code));
  // A unit attention is told before anything else but by the commands that may not tell it (SAM-5 section 5.14).
  if (nexus.attentive() && (row == nullptr || !answered_anywhere(*row)))
    return refused(check_condition(SenseKey::unit_attention, sense_code(nexus.take_attention())));
  if (std::optional<Outcome> refusal = refuse(nexus, *row, cdb)) return refused(*refusal);
  const Judgement judgement = row->judge(*this, cdb);
  return {.row = row, .refusal = judgement.refusal, .needs = judgement.needs, .unit_exists = exists};
}

std::optional<Outcome> LogicalUnit::refuse(Nexus& nexus, const CommandRow& row, const Cdb& cdb) {
  if (reservations_.conflicts(nexus, row.reservation)) return Outcome{StatusCode::reservation_conflict, {}, 0};
  return check_reserved(row, cdb);
}

Task<Outcome> LogicalUnit::run(const CommandRow& row, Command command) {
  // It may have been reserved while the command's data came.
  if (reservations_.conflicts(command.nexus, row.reservation)) return conflicting();
  if (!mode_.write_cache && row.reservation == ReservationRule::writes) return run_write_through(row, command);
  return row.run(*this, command);
}

/// WCE is off: what a command has written is durable before it is answered.
Task<Outcome> LogicalUnit::run_write_through(const CommandRow& row, Command command) {
  const Outcome outcome = co_await row.run(*this, command);
  if (!outcome.good()) co_return outcome;
  const Status status = co_await device().flush();
  co_return outcome_of(status, Access::writing, outcome.data_in_length);
}

}  // namespace cairn::scsi
