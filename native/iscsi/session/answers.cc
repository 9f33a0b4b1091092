// Answers to SCSI commands: data, status, sense (RFC 7143 sections 11.4 and 11.8).
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/session/session.h"

namespace cairn::iscsi {

void Session::answer(ScsiTask* task, const scsi::Outcome& outcome) {
  const uint32_t expected = task->command.expected_length;
  const size_t actual = std::max(outcome.data_in_length, task->demand.needs.data_out);
  const bool over = actual > expected;
  task->residual = static_cast<uint32_t>(over ? actual - expected : expected - actual);
  task->residual_flag = task->residual == 0 ? 0 : over ? wire::residual_overflow : wire::residual_underflow;
  task->status = outcome.status;
  const bool reads = (task->command.flags & wire::command_read) != 0;
  task->data_at = task->data_sn = 0;
  task->data_end = reads ? static_cast<uint32_t>(std::min<size_t>(outcome.data_in_length, expected)) : 0;
  if (task->data_end == 0) return push_response(task, outcome);
  std::ranges::fill(task->buffer.first(wire::padded(task->data_end)).subspan(task->data_end), std::byte{});
  push_data_in(task);
}

void Session::push_response(ScsiTask* task, const scsi::Outcome& outcome) {
  task->clear();
  task->frames.resize(1);
  Frame& frame = task->frames.front();
  auto& pdu = frame.begin<wire::ScsiResponse>(wire::scsi_response);
  pdu.flags = wire::final_bit | task->residual_flag;
  pdu.response = static_cast<uint8_t>(wire::CommandResponse::completed);
  pdu.status = static_cast<uint8_t>(outcome.status);
  pdu.task_tag = task->command.task_tag;
  pdu.expected_data_sn = task->r2t_sn;
  pdu.residual = task->residual;
  stamp(frame, Numbering::consumed);
  std::span<const std::byte> data;
  if (outcome.status == scsi::StatusCode::check_condition) {
    task->sense.fill(std::byte{});
    const size_t length = scsi::write_sense(outcome.sense, scsi::SenseFormat::fixed,
                                            std::span(task->sense).subspan<2, scsi::sense_length_max>());
    store_be16(task->sense.data(), static_cast<uint16_t>(length));
    data = std::span(task->sense).first(2 + length);
  }
  task->add(frame, data, digests());
  output_.push(task);
}

/// As many PDUs as one send carries. The last of all has the status in it, for there is no sense to tell.
void Session::push_data_in(ScsiTask* task) {
  const uint32_t segment_max = parameters_.send_segment_max & ~uint32_t{wire::padding_unit - 1};
  task->clear();
  if (task->frames.size() < data_in_batch_max && task->data_end > segment_max) task->frames.resize(data_in_batch_max);
  if (task->frames.empty()) task->frames.resize(1);
  const size_t batch_bytes = std::max<size_t>(data_in_batch_bytes, segment_max);
  for (size_t i = 0; i < task->frames.size() && task->data_at < task->data_end; ++i) {
    const uint32_t burst_left = parameters_.max_burst - task->data_at % parameters_.max_burst;
    const uint32_t length = std::min({task->data_end - task->data_at, segment_max, burst_left});
    if (i > 0 && task->send_length() + length > batch_bytes) break;
    Frame& frame = task->frames[i];
    auto& pdu = frame.begin<wire::DataIn>(wire::data_in);
    pdu.task_tag = task->command.task_tag;
    pdu.transfer_tag = wire::no_tag;
    pdu.data_sn = task->data_sn++;
    pdu.buffer_offset = task->data_at;
    const std::span<const std::byte> data = task->buffer.first(task->data_at + length).subspan(task->data_at);
    task->data_at += length;
    const bool last = task->data_at == task->data_end;
    if (last || length == burst_left) pdu.flags = wire::final_bit;
    if (last) {
      pdu.flags |= wire::data_in_status | task->residual_flag;
      pdu.status = static_cast<uint8_t>(task->status);
      pdu.residual = task->residual;
    }
    stamp(frame, last ? Numbering::consumed : Numbering::none);
    task->add(frame, data, digests());
  }
  output_.push(task);
}

}  // namespace cairn::iscsi
