// Task management (RFC 7143 section 11.5, SAM-5 chapter 7). A function is answered when no command that it aborts
// touches the medium any more.
#include "iscsi/branch.h"
#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

using wire::TaskFunction;
using wire::TaskResponseCode;

bool concerns_a_unit(TaskFunction function) {
  return function == TaskFunction::abort_task_set || function == TaskFunction::clear_task_set ||
         function == TaskFunction::logical_unit_reset;
}

}  // namespace

TaskResponseCode Session::abort_one(const wire::TaskRequest& request) {
  ScsiTask* task = tasks_.find(request.referenced_tag);
  if (task != nullptr) {
    abort(task);
    return TaskResponseCode::complete;
  }
  // A command that will not come any more counts as aborted; one that is outside of the window has come, or never was.
  const uint32_t number = request.referenced_command_sn;
  const bool to_come = !comes_before(number, sequence_.expected()) && comes_before(number, request.command_sn);
  return to_come ? TaskResponseCode::complete : TaskResponseCode::no_task;
}

void Session::clear_task_set() {
  scsi::LogicalUnit& unit = nexus_->unit();
  unit.nexuses().for_each([this](scsi::Nexus* nexus) {
    nexus->tasks().abort_all();
    if (nexus != &*nexus_) nexus->establish(scsi::UnitAttention::commands_cleared);
  });
}

Detached Session::manage_tasks(wire::TaskRequest request) {
  const InFlightScope alive(alive_);
  const auto function = static_cast<TaskFunction>(request.flags & wire::task_function_mask);
  scsi::LogicalUnit& unit = nexus_->unit();
  TaskResponseCode response = TaskResponseCode::complete;
  bool resets_target = false;
  if (concerns_a_unit(function) && !unit.is_at(request.lun)) {
    response = TaskResponseCode::no_logical_unit;
  } else {
    switch (function) {
      case TaskFunction::abort_task:
        response = abort_one(request);
        break;
      case TaskFunction::abort_task_set:
        abort_all();
        break;
      case TaskFunction::clear_task_set:
        clear_task_set();
        break;
      case TaskFunction::logical_unit_reset:
      case TaskFunction::target_warm_reset:
        co_await unit.reset();
        break;
      case TaskFunction::target_cold_reset:
        co_await unit.reset();
        resets_target = true;
        break;
      case TaskFunction::task_reassign:
        response = TaskResponseCode::reassignment_unsupported;
        break;
      default:
        response = TaskResponseCode::unsupported;
    }
  }
  co_await unit.aborted().wait_idle();

  Message* message = new_message();
  auto& pdu = message->frame.begin<wire::TaskResponse>(wire::task_response);
  pdu.flags = wire::final_bit;
  pdu.response = static_cast<uint8_t>(response);
  pdu.task_tag = request.task_tag;
  push(message);
  // As after power on: every initiator logs in again (RFC 7143 section 11.5.1).
  if (resets_target) (*use_)->sessions().for_each([](Session* session) { session->drain(); });
}

}  // namespace cairn::iscsi
