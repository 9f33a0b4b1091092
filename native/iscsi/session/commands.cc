// SCSI commands of a session: from the PDU through their data to the logical unit (RFC 7143 sections 4.2, 11.3, 11.7).
#include <algorithm>
#include <cstring>

#include "iscsi/branch.h"
#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

using wire::RejectReason;

/// INVALID FIELD IN COMMAND INFORMATION UNIT would be as good; commands of both directions have CDBs that are unknown.
scsi::Outcome bidirectional_refused() { return scsi::illegal_request(scsi::SenseCode::invalid_operation_code); }
/// RFC 7143 section 11.4.7.2. The initiator sends the command again.
scsi::Outcome damaged_data() {
  return scsi::check_condition(scsi::SenseKey::aborted_command, scsi::SenseCode::protocol_service_crc_error);
}

/// What is wrong with a command PDU as such.
std::optional<RejectReason> check(const wire::ScsiCommand& command, const SessionParameters& parameters) {
  const bool writes = (command.flags & wire::command_write) != 0;
  const bool final = (command.flags & wire::final_bit) != 0;
  const uint32_t immediate = command.data_length;
  if (command.task_tag == wire::no_tag) return RejectReason::invalid_pdu_field;
  if (!final && (!writes || parameters.initial_r2t)) return RejectReason::invalid_pdu_field;
  if (immediate == 0) return {};
  if (!writes || !parameters.immediate_data) return RejectReason::protocol_error;
  if (immediate > parameters.first_burst || immediate > command.expected_length) return RejectReason::protocol_error;
  return {};
}

}  // namespace

// ---- In -------------------------------------------------------------------------------------------------------------

Landing Session::accept_command(const wire::Header& header) {
  const auto& command = wire::as<wire::ScsiCommand>(header);
  if (const std::optional<RejectReason> wrong = check(command, parameters_)) return reject(header, *wrong);
  if (tasks_.find(command.task_tag) != nullptr) return reject(header, RejectReason::task_in_progress);
  if (tasks_.count() >= command_window + immediate_commands_max)
    return reject(header, RejectReason::too_many_immediate_commands);
  client_.acts();
  ScsiTask* task = branch_.tasks().take(reactor_.ready());
  task->begin(command);
  alive_.add();
  tasks_.add(task);

  task->demand = nexus_->unit().judge(*nexus_, command.lun, command.cdb);
  const bool both = (command.flags & wire::command_read) != 0 && (command.flags & wire::command_write) != 0;
  if (both || header.ahs_words != 0)
    task->demand = {.row = nullptr, .refusal = bidirectional_refused(), .needs = {}, .unit_exists = true};
  const scsi::Needs& needs = task->demand.needs;
  if (needs.exact_data_out && needs.data_out != task->announced)
    task->demand = {.row = nullptr, .refusal = scsi::wrong_data_length(), .needs = {}, .unit_exists = true};
  task->wanted = static_cast<uint32_t>(std::min<size_t>(needs.data_out, task->announced));
  task->unsolicited = (command.flags & wire::final_bit) == 0;
  task->burst_end = std::min(task->announced, parameters_.first_burst);
  if (task->unsolicited) task->waiting_since = Reactor::Clock::now();
  task->turn.emplace(nexus_->unit().task_set(), task->attribute());
  if (task->turn->try_enter() && !task->demand.refusal) get_buffer_at_once(task);
  return {.wanted = true, .into = task->place(0, command.data_length), .task = task};
}

void Session::act_on_command(ScsiTask* task, bool intact) {
  task->received = task->command.data_length;
  task->damaged = !intact;
  if (task->unsolicited && task->received >= task->burst_end) task->unsolicited = false;
  serve(task);
}

/// Without waiting, and without overtaking those that wait.
void Session::get_buffer_at_once(ScsiTask* task) {
  const size_t length = task->buffer_length();
  if (length == 0 || !room_.empty() || !has_room(length) || (*use_)->crowded()) return;
  BufferPool::Acquire acquire = reactor_.buffers().acquire(length);
  if (!acquire.await_ready()) return;
  task->buffer = acquire.await_resume();
  bytes_in_flight_ += length;
}

bool Session::has_room(size_t length) const {
  return bytes_in_flight_ == 0 || bytes_in_flight_ + length <= bytes_in_flight_max_;
}

Landing Session::accept_data_out(const wire::Header& header) {
  const auto& data = wire::as<wire::DataOut>(header);
  ScsiTask* task = tasks_.find(data.task_tag);
  // One that has been aborted, or answered before all its data came.
  if (task == nullptr) return {};
  const bool expected = data.transfer_tag == wire::no_tag ? task->unsolicited : data.transfer_tag == task->transfer_tag;
  const uint32_t end = task->received + data.data_length;
  if (!expected || end > task->burst_end || end < task->received)
    return reject_and_end(header, RejectReason::protocol_error);
  const bool in_order = data.data_sn == task->data_sn && data.buffer_offset == task->received;
  ++task->data_sn;
  if (!in_order) task->damaged = true;
  if (task->damaged) return {.wanted = true, .into = {}, .task = task};
  return {.wanted = true, .into = task->place(task->received, data.data_length), .task = task};
}

void Session::act_on_data_out(const wire::Header& header, ScsiTask* task, bool intact) {
  task->received += header.data_length;
  if (!intact) {
    task->damaged = true;
    reject(header, RejectReason::data_digest_error);
  }
  const bool ends = header.final() || task->received >= task->burst_end;
  if (ends && task->unsolicited) task->unsolicited = false;
  // A burst that is shorter than was asked for: the rest is asked for again.
  if (ends) task->transfer_tag = wire::no_tag;
  if (ends) task->changed.wake_all();
}

// ---- Execution ------------------------------------------------------------------------------------------------------

Detached Session::serve(ScsiTask* task) {
  scsi::TaskSet::Place& turn = *task->turn;
  co_await turn;
  if (!task->demand.refusal && task->buffer_length() > 0 && !task->buffer.valid() && !task->aborted)
    co_await acquire_buffer(task);
  if (!task->has_all() && !task->aborted) co_await collect_data(task);
  while (task->landing) co_await task->changed.wait();
  scsi::Outcome outcome;
  if (task->demand.refusal) {
    outcome = *task->demand.refusal;
  } else if (task->damaged) {
    outcome = damaged_data();
  } else if (!task->aborted) {
    outcome = co_await nexus_->unit().run(
        *task->demand.row,
        {.cdb = task->command.cdb,
         .nexus = *nexus_,
         .unit_exists = task->demand.unit_exists,
         .data_out = task->buffer.valid() ? task->buffer.first(task->wanted) : std::span<std::byte>(),
         .data_in = task->data_in(),
         .scratch = task->scratch()});
  }
  end(task, outcome);
}

Task<> Session::acquire_buffer(ScsiTask* task) {
  const size_t length = task->buffer_length();
  while (!has_room(length) && !task->aborted) co_await room_.wait();
  while ((*use_)->crowded() && !task->aborted) co_await (*use_)->room();
  if (task->aborted) co_return;
  bytes_in_flight_ += length;
  IoBuffer buffer = co_await reactor_.buffers().acquire(length);
  while (task->landing) co_await task->changed.wait();
  const size_t early = std::min<size_t>(task->early.size(), task->wanted);
  if (early > 0) std::memcpy(buffer.data(), task->early.data(), early);
  task->early = {};
  task->buffer = std::move(buffer);
}

Task<> Session::collect_data(ScsiTask* task) {
  while (!task->has_all() && !task->aborted) {
    if (!task->unsolicited && task->transfer_tag == wire::no_tag) request_data(task);
    co_await task->changed.wait();
  }
}

void Session::request_data(ScsiTask* task) {
  Message* message = new_message();
  auto& pdu = message->frame.begin<wire::ReadyToTransfer>(wire::ready_to_transfer);
  if (++next_transfer_tag_ == wire::no_tag) next_transfer_tag_ = 0;
  task->transfer_tag = next_transfer_tag_;
  task->data_sn = 0;
  task->burst_end = std::min(task->wanted, task->received + parameters_.max_burst);
  task->waiting_since = Reactor::Clock::now();
  pdu.flags = wire::final_bit;
  pdu.lun = task->command.lun;
  pdu.task_tag = task->command.task_tag;
  pdu.transfer_tag = task->transfer_tag;
  pdu.r2t_sn = task->r2t_sn++;
  pdu.buffer_offset = task->received;
  pdu.desired_length = task->burst_end - task->received;
  push(message, Numbering::next);
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

void Session::abort(ScsiTask* task) {
  if (task->aborted) return;
  task->aborted = true;
  task->counted = task->touches_medium();
  if (task->counted) nexus_->unit().aborted().add();
  task->changed.wake_all();
  room_.wake_all();
}

void Session::abort_all() {
  tasks_.for_each([this](ScsiTask* task) { abort(task); });
}

void Session::end(ScsiTask* task, const scsi::Outcome& outcome) {
  task->turn.reset();
  tasks_.remove(task);
  if (task->counted) nexus_->unit().aborted().remove();
  if (task->aborted || terminated_) return release(task);
  answer(task, outcome);
}

void Session::release(ScsiTask* task) {
  if (task->buffer.valid()) {
    bytes_in_flight_ -= task->buffer_length();
    task->buffer.reset();
  }
  task->early = {};
  branch_.tasks().put_back(task);
  alive_.remove();
  room_.wake_all();
}

}  // namespace cairn::iscsi
