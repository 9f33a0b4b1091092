// Sessions of the full feature phase: commands and their data, numbers, digests, ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "iscsi/limits.h"
#include "test/native/iscsi/support/running_target.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace iscsi;

/// Without printing either.
void expect_same(const std::string& got, const std::string& expected) {
  ASSERT_EQ(got.size(), expected.size());
  const auto [at, unused] = std::ranges::mismatch(got, expected);
  EXPECT_EQ(at - got.begin(), static_cast<ptrdiff_t>(expected.size())) << "the first difference";
}

TEST(IscsiSession, ReadsWhatWasWritten) {
  RunningTarget target;
  auto initiator = target.log_in();
  const std::string data = pattern(64 * kibibyte);
  const CommandAnswer written = initiator->write(8, data);
  EXPECT_EQ(written.status, 0);
  EXPECT_EQ(written.residual_flags, 0);
  const CommandAnswer read = initiator->read(8, 128);
  EXPECT_EQ(read.status, 0);
  expect_same(read.data_in, data);
}

TEST(IscsiSession, TellsThePowerOnOnce) {
  RunningTarget target;
  Initiator initiator(target.address());
  ASSERT_EQ(initiator.log_in(), 0);
  const CommandAnswer first = initiator.execute({}, 0);
  EXPECT_EQ(first.status, 2);
  EXPECT_EQ(first.sense_key(), 6);
  EXPECT_EQ(first.sense_code(), 0x2900);
  EXPECT_EQ(initiator.execute({}, 0).status, 0);
}

struct DataCase {
  const char* name;
  std::vector<std::string> keys;
  size_t length;
  size_t immediate;
  size_t r2ts;
};

class IscsiDataOut : public testing::TestWithParam<DataCase> {};

TEST_P(IscsiDataOut, ComesAsNegotiated) {
  const DataCase& test = GetParam();
  RunningTarget target;
  auto initiator = target.log_in([&](Initiator& each) { each.keys = test.keys; });
  const std::string data = pattern(test.length);
  const CommandAnswer written = initiator->write(16, data, 512, test.immediate);
  EXPECT_EQ(written.status, 0);
  EXPECT_EQ(written.r2ts, test.r2ts);
  expect_same(initiator->read(16, static_cast<uint32_t>(test.length / 512)).data_in, data);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, IscsiDataOut,
    testing::Values(DataCase{"immediate", {}, 4096, 4096, 0}, DataCase{"asked_for", {}, 4096, 0, 1},
                    DataCase{"some_immediate", {}, 8192, 512, 1},
                    DataCase{"none_immediate_allowed", {"ImmediateData=No", "InitialR2T=Yes"}, 4096, 0, 1},
                    DataCase{"bursts", {"MaxBurstLength=65536"}, 1024 * 1024, 65536, 15},
                    DataCase{"odd_bursts", {"MaxBurstLength=5120", "FirstBurstLength=1024"}, 65536, 1024, 13}),
    [](const auto& each) { return each.param.name; });

TEST(IscsiSession, TakesUnsolicitedData) {
  RunningTarget target;
  auto initiator = target.log_in([](Initiator& each) { each.keys = {"InitialR2T=No", "FirstBurstLength=8192"}; });
  const std::string data = pattern(16384);
  wire::ScsiCommand command = initiator->command(write_16_cdb(0, 32), 16384, true);
  command.flags &= ~wire::final_bit;
  initiator->send_pdu(command, data.substr(0, 1024));
  for (uint32_t at = 1024, sn = 0; at < 8192; at += 1024, ++sn) {
    auto pdu = Initiator::make<wire::DataOut>(wire::data_out, at + 1024 == 8192 ? wire::final_bit : 0);
    pdu.task_tag = command.task_tag;
    pdu.transfer_tag = wire::no_tag;
    pdu.data_sn = sn;
    pdu.buffer_offset = at;
    initiator->send_pdu(pdu, data.substr(at, 1024));
  }
  const CommandAnswer answer = initiator->finish(command.task_tag, data);
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.r2ts, 1U);
  expect_same(initiator->read(0, 32).data_in, data);
}

TEST(IscsiSession, ChecksAndSendsDigests) {
  RunningTarget target;
  auto initiator = target.log_in([](Initiator& each) { each.header_digest = each.data_digest = true; });
  const std::string data = pattern(300 * 1024);
  EXPECT_EQ(initiator->write(3, data, 512, 65536).status, 0);
  expect_same(initiator->read(3, 600).data_in, data);
}

TEST(IscsiSession, SplitsLongReadsAsTheInitiatorTakesThem) {
  RunningTarget target;
  auto initiator = target.log_in([](Initiator& each) {
    each.keys = {"MaxRecvDataSegmentLength=2048", "MaxBurstLength=8192"};
  });
  const std::string data = pattern(512 * 1024);
  EXPECT_EQ(initiator->write(0, data, 512, 8192).status, 0);
  expect_same(initiator->read(0, 1024).data_in, data);
}

TEST(IscsiSession, TellsWhatIsLeftOver) {
  RunningTarget target;
  auto initiator = target.log_in();
  const CommandAnswer more = initiator->execute(read_16_cdb(0, 2), 4096);
  EXPECT_EQ(more.residual_flags, wire::residual_underflow);
  EXPECT_EQ(more.residual, 3072U);
  EXPECT_EQ(more.data_in.size(), 1024U);
  const CommandAnswer less = initiator->execute(read_16_cdb(0, 2), 512);
  EXPECT_EQ(less.residual_flags, wire::residual_overflow);
  EXPECT_EQ(less.residual, 512U);
  EXPECT_EQ(less.data_in.size(), 512U);
  const CommandAnswer written = initiator->execute(write_16_cdb(0, 1), 1024, pattern(1024));
  EXPECT_EQ(written.status, 0);
  EXPECT_EQ(written.residual_flags, wire::residual_underflow);
  EXPECT_EQ(written.residual, 512U);
}

TEST(IscsiSession, RefusesBeyondTheEndWithoutTheData) {
  RunningTarget target;
  auto initiator = target.log_in();
  const CommandAnswer answer = initiator->execute(write_16_cdb(1 << 20, 16), 8192, pattern(8192), 0);
  EXPECT_EQ(answer.status, 2);
  EXPECT_EQ(answer.sense_code(), 0x2100);
  EXPECT_EQ(answer.r2ts, 0U);
  EXPECT_EQ(initiator->read(0, 1).status, 0);
}

// ---- Numbers --------------------------------------------------------------------------------------------------------

TEST(IscsiSession, RefusesDataOfAnotherLengthWhereAllOrNothingIsDone) {
  RunningTarget target;
  auto initiator = target.log_in();
  const scsi::Cdb compare_and_write{0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  for (const uint32_t length : {0U, 512U, 1536U, 2048U}) {
    const CommandAnswer answer = initiator->execute(compare_and_write, length, std::string(length, '\0'));
    EXPECT_EQ(answer.status, 2) << length;
    EXPECT_EQ(answer.sense_code(), 0x2400) << length;
    EXPECT_EQ(answer.r2ts, 0U);
  }
  EXPECT_EQ(initiator->execute(compare_and_write, 1024, std::string(1024, '\0')).status, 0);
}

TEST(IscsiSession, IgnoresCommandsOutsideOfTheWindow) {
  RunningTarget target;
  auto initiator = target.log_in();
  for (const uint32_t away : {~0U, 1U + command_window, 1U << 30}) {
    wire::ScsiCommand stray = initiator->command({}, 0, false);
    stray.command_sn = initiator->command_sn() - 1 + away;
    initiator->send_pdu(stray);
    wire::ScsiCommand good = stray;
    good.task_tag = initiator->next_tag();
    good.command_sn = initiator->command_sn() - 1;
    initiator->send_pdu(good);
    EXPECT_EQ(initiator->finish(good.task_tag).status, 0);
  }
}

TEST(IscsiSession, EndsWhenACommandIsMissing) {
  RunningTarget target;
  auto initiator = target.log_in();
  wire::ScsiCommand early = initiator->command({}, 0, false);
  early.command_sn = early.command_sn + 1;
  initiator->send_pdu(early);
  const std::optional<Pdu> answer = initiator->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->opcode(), wire::reject);
  EXPECT_FALSE(initiator->receive().has_value());
}

TEST(IscsiSession, ACommandWhoseDataAreOutOfOrderIsToBeSentAgain) {
  RunningTarget target;
  auto initiator = target.log_in();
  const wire::ScsiCommand command = initiator->command(write_16_cdb(0, 4), 2048, true);
  initiator->send_pdu(command);
  const std::optional<Pdu> r2t = initiator->receive();
  ASSERT_TRUE(r2t && r2t->opcode() == wire::ready_to_transfer);
  auto data = Initiator::make<wire::DataOut>(wire::data_out);
  data.task_tag = command.task_tag;
  data.transfer_tag = r2t->as<wire::ReadyToTransfer>().transfer_tag;
  data.data_sn = 27;
  initiator->send_pdu(data, pattern(2048));
  const CommandAnswer answer = initiator->finish(command.task_tag);
  EXPECT_EQ(answer.status, 2);
  EXPECT_EQ(answer.sense_key(), 0x0b);
  expect_same(initiator->read(0, 4).data_in, std::string(2048, '\0'));
}

TEST(IscsiSession, RejectsATagThatIsInUse) {
  RunningTarget target;
  auto initiator = target.log_in();
  target.gate().close_gate();
  const wire::ScsiCommand first = initiator->command(read_16_cdb(0, 1), 512, false);
  initiator->send_pdu(first);
  wire::ScsiCommand second = initiator->command(read_16_cdb(0, 1), 512, false);
  second.task_tag = first.task_tag;
  initiator->send_pdu(second);
  const std::optional<Pdu> answer = initiator->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->opcode(), wire::reject);
  EXPECT_EQ(answer->as<wire::Reject>().reason, static_cast<uint8_t>(wire::RejectReason::task_in_progress));
  target.gate().open_gate();
  EXPECT_EQ(initiator->finish(first.task_tag).status, 0);
}

TEST(IscsiSession, KeepsMoreCommandsThanItHasBuffersFor) {
  RunningTarget target({.buffer_bytes = 1 * mebibyte});
  auto initiator = target.log_in([](Initiator& each) { each.keys = {"InitialR2T=No"}; });
  target.gate().close_gate();
  const std::string data = pattern(64 * kibibyte);
  std::vector<uint32_t> tags;
  for (uint32_t i = 0; i < 100; ++i) {
    const wire::ScsiCommand command = initiator->command(write_16_cdb(i * 128, 128), 65536, true);
    initiator->send_pdu(command, data);
    tags.push_back(command.task_tag);
  }
  target.gate().open_gate();
  for (size_t i = 0; i < tags.size(); ++i) {
    const std::optional<Pdu> answer = initiator->receive();
    ASSERT_TRUE(answer && answer->opcode() == wire::scsi_response);
    EXPECT_EQ(answer->as<wire::ScsiResponse>().status, 0);
  }
  for (uint32_t i = 0; i < 100; i += 33) expect_same(initiator->read(i * 128, 128).data_in, data);
}

// ---- Other PDUs -----------------------------------------------------------------------------------------------------

TEST(IscsiSession, AnswersAPingWithItsData) {
  RunningTarget target;
  auto initiator = target.log_in();
  auto ping = Initiator::make<wire::NopOut>(wire::nop_out);
  ping.opcode_byte |= wire::immediate_bit;
  ping.task_tag = initiator->next_tag();
  ping.transfer_tag = wire::no_tag;
  ping.command_sn = initiator->command_sn();
  initiator->send_pdu(ping, "are you there?");
  const std::optional<Pdu> answer = initiator->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->opcode(), wire::nop_in);
  EXPECT_EQ(answer->header.task_tag, ping.task_tag);
  EXPECT_EQ(answer->data, "are you there?");
}

TEST(IscsiSession, PingsAnIdleInitiatorAndEndsWithoutAnAnswer) {
  using std::chrono::milliseconds;
  RunningTarget target({.limits = {.times = {.idle = milliseconds(40), .nop_answer = milliseconds(80)}}});
  Initiator initiator(target.address());
  ASSERT_EQ(initiator.log_in(), 0);
  const std::optional<Pdu> ping = initiator.receive();
  ASSERT_TRUE(ping.has_value());
  EXPECT_EQ(ping->opcode(), wire::nop_in);
  EXPECT_NE(ping->header.transfer_tag, wire::no_tag);
  auto pong = Initiator::make<wire::NopOut>(wire::nop_out);
  pong.opcode_byte |= wire::immediate_bit;
  pong.task_tag = wire::no_tag;
  pong.transfer_tag = ping->header.transfer_tag;
  pong.command_sn = initiator.command_sn();
  initiator.send_pdu(pong);
  const std::optional<Pdu> again = initiator.receive();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->opcode(), wire::nop_in);
  EXPECT_FALSE(initiator.receive().has_value());
}

TEST(IscsiSession, EndsWhenDataThatWereAskedForDoNotCome) {
  using std::chrono::milliseconds;
  RunningTarget target({.limits = {.times = {.data = milliseconds(60)}}});
  auto initiator = target.log_in();
  initiator->send_pdu(initiator->command(write_16_cdb(0, 1), 512, true));
  EXPECT_EQ(initiator->receive()->opcode(), wire::ready_to_transfer);
  EXPECT_FALSE(initiator->receive().has_value());
  // A device that is slow is nobody's fault.
  auto patient = target.log_in();
  target.gate().close_gate();
  const wire::ScsiCommand command = patient->command(write_16_cdb(0, 1), 512, true);
  patient->send_pdu(command, pattern(512));
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() > 0; }));
  auto other = target.log_in([](Initiator& each) { each.isid[5] = 9; });
  other->send_pdu(other->command(write_16_cdb(0, 1), 512, true));
  EXPECT_EQ(other->receive()->opcode(), wire::ready_to_transfer);
  EXPECT_FALSE(other->receive().has_value());
  target.gate().open_gate();
  EXPECT_EQ(patient->finish(command.task_tag).status, 0);
}

TEST(IscsiSession, LogsOutWhenCommandsAreAnswered) {
  RunningTarget target;
  auto initiator = target.log_in();
  target.gate().close_gate();
  const wire::ScsiCommand command = initiator->command(read_16_cdb(0, 1), 512, false);
  initiator->send_pdu(command);
  auto logout = Initiator::make<wire::LogoutRequest>(wire::logout_request);
  logout.task_tag = initiator->next_tag();
  logout.command_sn = initiator->next_command_sn();
  initiator->send_pdu(logout);
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() > 0; }));
  target.gate().open_gate();
  EXPECT_EQ(initiator->finish(command.task_tag).status, 0);
  const std::optional<Pdu> answer = initiator->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->opcode(), wire::logout_response);
  EXPECT_EQ(answer->as<wire::LogoutResponse>().response, 0);
  EXPECT_FALSE(initiator->receive().has_value());
}

TEST(IscsiSession, RejectsWhatNoInitiatorSends) {
  RunningTarget target;
  auto initiator = target.log_in();
  for (const auto opcode : {wire::snack_request, static_cast<wire::Opcode>(0x1c), wire::reject}) {
    auto pdu = Initiator::make<wire::NopOut>(opcode);
    pdu.task_tag = initiator->next_tag();
    initiator->send_pdu(pdu);
    const std::optional<Pdu> answer = initiator->receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->opcode(), wire::reject);
    EXPECT_EQ(answer->data.substr(0, 1), std::string(1, static_cast<char>(opcode)));
  }
  EXPECT_EQ(initiator->execute({}, 0).status, 0);
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

TEST(IscsiSession, ASecondLoginOfAPortTakesTheFirstOnesPlace) {
  RunningTarget target;
  auto first = target.log_in();
  auto second = target.log_in();
  EXPECT_FALSE(first->receive().has_value());
  EXPECT_EQ(second->read(0, 1).status, 0);
  EXPECT_EQ(target.server().sessions(RunningTarget::name), 1U);
  auto other = target.log_in([](Initiator& each) { each.isid[5] = 1; });
  EXPECT_EQ(target.server().sessions(RunningTarget::name), 2U);
  EXPECT_EQ(second->read(0, 1).status, 0);
}

TEST(IscsiSession, ATargetIsRemovedWhenNobodyUsesIt) {
  RunningTarget target;
  auto initiator = target.log_in();
  EXPECT_EQ(target.remove(false).error().code, "VOLUME_IN_USE");
  target.gate().close_gate();
  const wire::ScsiCommand command = initiator->command(read_16_cdb(0, 1), 512, false);
  initiator->send_pdu(command);
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() > 0; }));
  std::thread opener([&] {
    // The session is told, and its command answered, before it ends.
    EXPECT_EQ(initiator->receive()->opcode(), wire::async_message);
    target.gate().open_gate();
    EXPECT_EQ(initiator->finish(command.task_tag).status, 0);
    EXPECT_FALSE(initiator->receive().has_value());
  });
  EXPECT_TRUE(target.remove(true).ok());
  opener.join();
  Initiator late(target.address());
  EXPECT_EQ(late.log_in(), static_cast<uint16_t>(wire::LoginStatus::target_not_found));
}

/// The half of it is aborted; what came before is answered nevertheless.
TEST(IscsiSession, ATargetIsRemovedInTheMidstOfAPdu) {
  RunningTarget target;
  auto initiator = target.log_in();
  auto other = target.log_in([](Initiator& each) { each.name = "iqn.2026-11.io.example:other"; });
  target.gate().close_gate();
  const wire::ScsiCommand whole = initiator->command(read_16_cdb(0, 1), 512, false);
  initiator->send_pdu(whole);
  EXPECT_TRUE(eventually([&] { return target.gate().waiting() > 0; }));
  // Too long to have been received with its header.
  wire::ScsiCommand cut = initiator->command(write_16_cdb(8, 128), 65536, true);
  cut.data_length = 65536;
  initiator->send_bytes({reinterpret_cast<const char*>(&cut), sizeof cut});
  initiator->send_bytes(pattern(100));
  // The reactor takes what comes in turn: with this answer it has the half.
  EXPECT_EQ(other->execute({}, 0).status, 0);
  std::thread opener([&] {
    EXPECT_EQ(initiator->receive()->opcode(), wire::async_message);
    target.gate().open_gate();
    EXPECT_EQ(initiator->finish(whole.task_tag).status, 0);
    EXPECT_FALSE(initiator->receive().has_value());
  });
  EXPECT_TRUE(target.remove(true).ok());
  opener.join();
  EXPECT_EQ(target.gate().finished(), 1U);
}

}  // namespace
}  // namespace cairn::test
