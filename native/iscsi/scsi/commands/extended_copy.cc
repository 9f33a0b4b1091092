// EXTENDED COPY with a list identifier of one byte (SPC-4 section 6.4): blocks of the unit are copied to other blocks
// of the same unit. A unit knows no other one, on purpose: volumes have engines and processes of their own.
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/copy_list.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/medium.h"

namespace cairn::scsi {
namespace {

/// A list of no length is no copy and no error.
Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  const size_t length = load_be32(&cdb[10]);
  if (length == 0) return Needs{};
  if (length < copy_list_header_length || length > copy_list_header_length + copy_descriptors_length_max)
    return illegal_request(SenseCode::parameter_list_length_error);
  if (std::optional<Outcome> refusal = check_writable(unit)) return *refusal;
  return Needs{.data_out = length, .scratch = scratch_for(unit, scratch_max)};
}

Outcome copy_aborted(SenseCode code) { return check_condition(SenseKey::copy_aborted, code); }

/// What a device said, as the end of a copy.
Outcome copy_failed(Status status, Access access) {
  Outcome outcome = outcome_of(status, access);
  if (outcome.status == StatusCode::check_condition) outcome.sense.key = SenseKey::copy_aborted;
  return outcome;
}

std::optional<Outcome> check_target(const CopyList& list, uint16_t index) {
  if (index >= list.targets.size() || list.targets[index] == CopyTarget::unreachable)
    return copy_aborted(SenseCode::copy_target_unreachable);
  if (list.targets[index] == CopyTarget::of_another_type) return copy_aborted(SenseCode::incorrect_copy_target_type);
  return {};
}

std::optional<Outcome> check_segment(LogicalUnit& unit, const CopyList& list, const CopySegment& segment) {
  if (std::optional<Outcome> wrong = check_target(list, segment.source_target)) return wrong;
  if (std::optional<Outcome> wrong = check_target(list, segment.destination_target)) return wrong;
  const bool beyond =
      check_range(unit, segment.source) || check_range(unit, {segment.destination, segment.source.count});
  // Initiators (libiscsi) know no other additional sense code of this.
  if (beyond) return copy_aborted(SenseCode::none);
  if (segment.source.count * unit.block_size() > copy_segment_bytes_max)
    return copy_aborted(SenseCode::copy_operation_failed);
  return {};
}

/// One range is held at a time: somebody who waits for both of them would wait for this one, and it for him.
Task<Outcome> copy_piece(LogicalUnit& unit, BlockRange source, uint64_t destination, std::span<std::byte> memory) {
  const uint64_t block_size = unit.block_size();
  {
    RangeLock::Hold hold(unit.ranges(), source.first, source.end(), RangeLock::Mode::shared);
    co_await hold;
    const Status status = co_await unit.device().read(source.first * block_size, memory);
    if (!status.ok()) co_return copy_failed(status, Access::reading);
  }
  RangeLock::Hold hold(unit.ranges(), destination, destination + source.count, RangeLock::Mode::shared);
  co_await hold;
  const Status status = co_await unit.device().write(destination * block_size, memory, Durability::buffered);
  co_return status.ok() ? good() : copy_failed(status, Access::writing);
}

/// Where the ranges overlap, what is copied is what was there before: the piece that would be overwritten goes first.
Task<Outcome> copy_segment(LogicalUnit& unit, CopySegment segment, Command command, CopyResult& result) {
  const uint64_t piece_max = command.scratch.size() / unit.block_size();
  const uint64_t count = segment.source.count;
  const bool backwards = segment.destination > segment.source.first;
  for (uint64_t done = 0; done < count;) {
    // Somebody may have reserved the unit meanwhile: what has not been written is his.
    if (unit.reservations().conflicts(command.nexus, ReservationRule::writes))
      co_return Outcome{StatusCode::reservation_conflict, {}, 0};
    const uint64_t piece = std::min(piece_max, count - done);
    const uint64_t at = backwards ? count - done - piece : done;
    const Outcome outcome = co_await copy_piece(unit, {segment.source.first + at, piece}, segment.destination + at,
                                                command.scratch.first(piece * unit.block_size()));
    if (!outcome.good()) co_return outcome;
    done += piece;
    result.bytes += piece * unit.block_size();
  }
  co_return good();
}

/// Segments are checked as their turn comes: those before a wrong one are copied (SPC-4 section 6.4.5).
Task<Outcome> copy(LogicalUnit& unit, const CopyList& list, Command command, CopyResult& result) {
  for (const CopySegment& segment : list.segments) {
    const std::optional<Outcome> wrong = check_segment(unit, list, segment);
    if (wrong) co_return *wrong;
    const Outcome outcome = co_await copy_segment(unit, segment, command, result);
    if (!outcome.good()) co_return outcome;
    ++result.segments;
  }
  co_return good();
}

/// Its place among the results, or why it may not begin. A copy that nobody will ask about gets none.
Outcome enter(CopyResults& results, const CopyList& list, CopyResult*& result) {
  if (!list.is_identified) return good();
  const CopyResult* same = results.find(list.list_id);
  if (same != nullptr && same->status == CopyStatus::in_progress)
    return illegal_request(SenseCode::operation_in_progress);
  result = results.begin(list.list_id);
  return result == nullptr ? Outcome{StatusCode::busy, {}, 0} : good();
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  if (load_be32(&command.cdb[10]) == 0) co_return good();
  CopyList list;
  const std::optional<Outcome> wrong = read_copy_list(unit, command.data_out, list);
  if (wrong) co_return *wrong;
  CopyResult unnamed;
  CopyResult* result = &unnamed;
  const Outcome entered = enter(command.nexus.copy_results(), list, result);
  if (!entered.good()) co_return entered;
  const Outcome outcome = co_await copy(unit, list, command, *result);
  result->outcome = outcome;
  result->status = outcome.good() ? CopyStatus::completed : CopyStatus::completed_with_errors;
  // One that is not held was told of while it ran; a failure is held always (SPC-4 section 6.4.3.3).
  if (outcome.good() && !list.is_held) result->used = false;
  co_return outcome;
}

}  // namespace

const CommandRow extended_copy{
    .opcode = 0x83,
    .service_action = 0x00,
    .usage = {0x83, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::writes,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
