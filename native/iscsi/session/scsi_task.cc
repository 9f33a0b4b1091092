#include "iscsi/session/scsi_task.h"

#include <algorithm>

namespace cairn::iscsi {
namespace {

constexpr size_t scratch_alignment = io_buffer_min;

size_t data_length(const scsi::Needs& needs) { return std::max(wire::padded(needs.data_in), needs.data_out); }
size_t scratch_offset(const scsi::Needs& needs) {
  return (data_length(needs) + scratch_alignment - 1) & ~(scratch_alignment - 1);
}

}  // namespace

void ScsiTask::begin(const wire::ScsiCommand& from) {
  command = from;
  announced = (from.flags & wire::command_write) != 0 ? uint32_t{from.expected_length} : 0;
  wanted = received = burst_end = data_sn = r2t_sn = 0;
  transfer_tag = wire::no_tag;
  unsolicited = damaged = landing = aborted = counted = false;
  next_in_bucket = nullptr;
}

size_t ScsiTask::buffer_length() const {
  const scsi::Needs& needs = demand.needs;
  return needs.scratch == 0 ? data_length(needs) : scratch_offset(needs) + needs.scratch;
}

std::span<std::byte> ScsiTask::data_in() const { return buffer.first(demand.needs.data_in); }

std::span<std::byte> ScsiTask::scratch() const {
  if (demand.needs.scratch == 0) return {};
  return buffer.first(buffer_length()).subspan(scratch_offset(demand.needs));
}

std::span<std::byte> ScsiTask::place(uint32_t offset, size_t length) {
  if (offset >= wanted) return {};
  const size_t kept = std::min<size_t>(length, wanted - offset);
  if (buffer.valid()) return buffer.first(wanted).subspan(offset, kept);
  if (early.size() < offset + kept) early.resize(offset + kept);
  return std::span(early).subspan(offset, kept);
}

bool ScsiTask::touches_medium() const {
  if (demand.row == nullptr) return false;
  return demand.row->reservation == scsi::ReservationRule::reads ||
         demand.row->reservation == scsi::ReservationRule::writes;
}

ScsiTask* TaskTable::find(uint32_t tag) const {
  ScsiTask* task = buckets_[bucket_of(tag)];
  while (task != nullptr && task->command.task_tag != tag) task = task->next_in_bucket;
  return task;
}

void TaskTable::add(ScsiTask* task) {
  ScsiTask*& first = buckets_[bucket_of(task->command.task_tag)];
  task->next_in_bucket = std::exchange(first, task);
  ++count_;
}

void TaskTable::remove(ScsiTask* task) {
  ScsiTask** link = &buckets_[bucket_of(task->command.task_tag)];
  while (*link != task) link = &(*link)->next_in_bucket;
  *link = task->next_in_bucket;
  --count_;
}

}  // namespace cairn::iscsi
