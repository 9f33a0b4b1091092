// Tasks of a logical unit: their order, and task management.
#include <gtest/gtest.h>

#include <algorithm>

#include "test/native/iscsi/support/running_target.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace iscsi;

wire::NopOut ping(Initiator& initiator) {
  auto ping = Initiator::make<wire::NopOut>(wire::nop_out);
  ping.opcode_byte |= wire::immediate_bit;
  ping.task_tag = initiator.next_tag();
  ping.command_sn = initiator.command_sn();
  return ping;
}

// ---- Order ----------------------------------------------------------------------------------------------------------

void set_attribute(wire::ScsiCommand& command, uint8_t attribute) {
  command.flags = static_cast<uint8_t>((command.flags & ~wire::command_attribute_mask) | attribute);
}

TEST(IscsiTasks, AnOrderedCommandRunsAlone) {
  RunningTarget target;
  auto initiator = target.log_in();
  target.gate().close_gate();
  const wire::ScsiCommand before = initiator->command(read_16_cdb(0, 1), 512, false);
  wire::ScsiCommand ordered = initiator->command(read_16_cdb(1, 1), 512, false);
  set_attribute(ordered, wire::ordered);
  const wire::ScsiCommand behind = initiator->command(read_16_cdb(2, 1), 512, false);
  wire::ScsiCommand urgent = initiator->command(read_16_cdb(3, 1), 512, false);
  set_attribute(urgent, wire::head_of_queue);
  for (const wire::ScsiCommand& each : {before, ordered, behind, urgent}) initiator->send_pdu(each);
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() == 2; }));
  target.gate().open_gate();
  std::vector<uint32_t> answered;
  for (int i = 0; i < 4; ++i) answered.push_back(initiator->receive()->header.task_tag);
  std::sort(answered.begin(), answered.begin() + 2);
  EXPECT_EQ(answered, (std::vector<uint32_t>{before.task_tag, urgent.task_tag, ordered.task_tag, behind.task_tag}));
}

/// Otherwise those behind it, which wait for it, would hold the buffers that it waits for.
TEST(IscsiTasks, CommandsBehindAnOrderedOneHoldNoBuffers) {
  RunningTarget target({.buffer_bytes = 1 * mebibyte});
  auto initiator = target.log_in();
  target.gate().close_gate();
  std::vector<wire::ScsiCommand> commands{initiator->command(read_16_cdb(0, 1), 512, false)};
  commands.push_back(initiator->command(read_16_cdb(0, 512), 512 * 512, false));
  set_attribute(commands.back(), wire::ordered);
  for (int i = 0; i < 20; ++i) commands.push_back(initiator->command(read_16_cdb(0, 128), 128 * 512, false));
  for (const wire::ScsiCommand& each : commands) initiator->send_pdu(each);
  initiator->send_pdu(ping(*initiator));
  EXPECT_EQ(initiator->receive()->opcode(), wire::nop_in);
  target.gate().open_gate();
  for (const wire::ScsiCommand& each : commands) EXPECT_EQ(initiator->finish(each.task_tag).status, 0);
}

// ---- Task management ------------------------------------------------------------------------------------------------

wire::TaskRequest task_request(Initiator& initiator, wire::TaskFunction function, uint32_t referenced = wire::no_tag) {
  auto request = Initiator::make<wire::TaskRequest>(wire::task_request);
  request.opcode_byte |= wire::immediate_bit;
  request.flags |= static_cast<uint8_t>(function);
  request.task_tag = initiator.next_tag();
  request.referenced_tag = referenced;
  request.referenced_command_sn = initiator.command_sn() - 1;
  request.command_sn = initiator.command_sn();
  return request;
}

TEST(IscsiTasks, AnAbortedCommandIsNotAnswered) {
  RunningTarget target;
  auto initiator = target.log_in();
  target.gate().close_gate();
  const wire::ScsiCommand command = initiator->command(write_16_cdb(0, 1), 512, true);
  initiator->send_pdu(command, pattern(512));
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() > 0; }));
  initiator->send_pdu(task_request(*initiator, wire::TaskFunction::abort_task, command.task_tag));
  // The function is answered when the write is over, not before.
  initiator->send_pdu(ping(*initiator));
  EXPECT_EQ(initiator->receive()->opcode(), wire::nop_in);
  target.gate().open_gate();
  const std::optional<Pdu> answer = initiator->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->opcode(), wire::task_response);
  EXPECT_EQ(answer->as<wire::TaskResponse>().response, 0);
  EXPECT_EQ(target.gate().finished(), 1U);
  EXPECT_EQ(initiator->execute({}, 0).status, 0);
}

TEST(IscsiTasks, AnAbortedCommandThatWaitsForDataEndsAtOnce) {
  RunningTarget target;
  auto initiator = target.log_in();
  const wire::ScsiCommand command = initiator->command(write_16_cdb(0, 1), 512, true);
  initiator->send_pdu(command);
  ASSERT_EQ(initiator->receive()->opcode(), wire::ready_to_transfer);
  initiator->send_pdu(task_request(*initiator, wire::TaskFunction::abort_task, command.task_tag));
  EXPECT_EQ(initiator->receive()->opcode(), wire::task_response);
  // Its data may come nevertheless.
  auto data = Initiator::make<wire::DataOut>(wire::data_out);
  data.task_tag = command.task_tag;
  initiator->send_pdu(data, pattern(512));
  EXPECT_EQ(initiator->execute({}, 0).status, 0);
  EXPECT_EQ(target.gate().finished(), 0U);
}

TEST(IscsiTasks, AResetEndsTheCommandsOfEverybody) {
  RunningTarget target;
  auto one = target.log_in();
  auto other = target.log_in([](Initiator& each) { each.name = "iqn.2026-11.io.example:other"; });
  target.gate().close_gate();
  const wire::ScsiCommand command = other->command(read_16_cdb(0, 1), 512, false);
  other->send_pdu(command);
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() > 0; }));
  one->send_pdu(task_request(*one, wire::TaskFunction::logical_unit_reset));
  target.gate().open_gate();
  EXPECT_EQ(one->receive()->opcode(), wire::task_response);
  for (Initiator* each : {one.get(), other.get()}) {
    const CommandAnswer told = each->execute({}, 0);
    EXPECT_EQ(told.sense_code(), 0x2903);
    EXPECT_EQ(each->execute({}, 0).status, 0);
  }
}

TEST(IscsiTasks, FunctionsThatAreNotThere) {
  RunningTarget target;
  auto initiator = target.log_in();
  const std::pair<wire::TaskFunction, wire::TaskResponseCode> cases[] = {
      {wire::TaskFunction::clear_aca, wire::TaskResponseCode::unsupported},
      {wire::TaskFunction::task_reassign, wire::TaskResponseCode::reassignment_unsupported},
      {static_cast<wire::TaskFunction>(77), wire::TaskResponseCode::unsupported},
  };
  for (const auto& [function, expected] : cases) {
    initiator->send_pdu(task_request(*initiator, function));
    const std::optional<Pdu> answer = initiator->receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->as<wire::TaskResponse>().response, static_cast<uint8_t>(expected));
  }
}

}  // namespace
}  // namespace cairn::test
