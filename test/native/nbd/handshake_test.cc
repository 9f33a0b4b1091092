// The frame of the handshake: greeting, flags, option headers, their limits.
#include "test/native/nbd/support/handshake_fixture.h"

namespace cairn::test {
namespace {

using namespace nbd;

TEST_F(NbdHandshake, GreetsWithBothMagicsAndFixedNewstyleAndNoZeroes) {
  std::vector<std::byte> output;
  Handshake::greet(output);
  const std::string expected = std::string("NBDMAGICIHAVEOPT") + std::string("\0\3", 2);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(output.data()), output.size()), expected);
}

TEST_F(NbdHandshake, TakesEveryCombinationOfKnownClientFlags) {
  for (uint32_t flags = 0; flags <= 3; ++flags) {
    Handshake handshake;
    EXPECT_TRUE(feed(handshake, client_flags(flags)).incomplete);
    EXPECT_EQ(handshake.negotiated().fixed_newstyle, (flags & wire::client_fixed_newstyle) != 0);
    EXPECT_EQ(handshake.negotiated().no_zeroes, (flags & wire::client_no_zeroes) != 0);
  }
}

TEST_F(NbdHandshake, ClosesWhenTheClientSetsAFlagThatWasNotOffered) {
  for (uint32_t flags : {4U, 7U, 0x80000000U, 0xffffffffU}) {
    Handshake handshake;
    const Outcome outcome = feed(handshake, client_flags(flags));
    EXPECT_EQ(outcome.next, Next::close);
    EXPECT_EQ(outcome.output, "");
  }
}

TEST_F(NbdHandshake, ClosesOnAWrongOptionMagic) {
  for (size_t bit = 0; bit < 64; ++bit) {
    Handshake handshake;
    const std::string bytes = be64(wire::option_magic ^ (uint64_t{1} << bit)) + be32(wire::option_list) + be32(0);
    EXPECT_EQ(feed(handshake, client_flags() + bytes).next, Next::close);
  }
}

TEST_F(NbdHandshake, AnswersAnUnknownOptionWithUnsupported) {
  for (uint32_t option : {0U, 4U, 12U, 1000U, 0xffffffffU}) {
    const Outcome outcome = ask(option, "whatever");
    EXPECT_EQ(outcome.next, Next::haggle);
    EXPECT_EQ(last_type(outcome), wire::reply_error_unsupported);
    EXPECT_EQ(replies(outcome.output).at(0).option, option);
  }
}

TEST_F(NbdHandshake, GivesTheSameAnswersToBytesThatComeOneByOne) {
  const std::string conversation = client_flags() + option_bytes(wire::option_structured_reply, "") +
                                   option_bytes(wire::option_list, "") + option_bytes(99, "unknown") +
                                   option_bytes(wire::option_set_meta_context, meta_data("disk", {"base:allocation"})) +
                                   option_bytes(wire::option_info, info_data("disk", {0, 1, 2, 3})) +
                                   option_bytes(wire::option_go, info_data("disk"));
  const Outcome at_once = feed(handshake_, conversation);
  ASSERT_EQ(at_once.next, Next::transmit);

  Handshake slow;
  std::string output;
  std::string received;
  for (size_t i = 0; i < conversation.size(); ++i) {
    received += conversation[i];
    const Outcome outcome = feed(slow, received);
    received.erase(0, outcome.consumed);
    output += outcome.output;
    EXPECT_EQ(outcome.next == Next::transmit, i + 1 == conversation.size());
  }
  EXPECT_EQ(output, at_once.output);
  EXPECT_EQ(slow.negotiated(), handshake_.negotiated());
}

TEST_F(NbdHandshake, LeavesWhatFollowsTheLastOptionUnconsumed) {
  const std::string options = client_flags() + option_bytes(wire::option_export_name, "disk");
  const Outcome outcome = feed(handshake_, options + "and a request");
  EXPECT_EQ(outcome.next, Next::transmit);
  EXPECT_EQ(outcome.consumed, options.size());
}

TEST_F(NbdHandshake, AnswersAnOptionOfTheLargestLength) {
  for (size_t length : {option_length_max - 1, option_length_max})
    EXPECT_EQ(last_type(ask(1000, std::string(length, 'x'))), wire::reply_error_unsupported);
}

TEST_F(NbdHandshake, SkipsATooLongOptionAndAnswersTooBig) {
  for (size_t length : {option_length_max + 1, option_skipped_max}) {
    const Outcome outcome = ask(wire::option_info, std::string(length, 'x'));
    EXPECT_EQ(outcome.next, Next::haggle);
    EXPECT_EQ(last_type(outcome), wire::reply_error_too_big);
    EXPECT_EQ(last_type(ask(wire::option_list)), wire::reply_ack);
  }
}

TEST_F(NbdHandshake, ClosesOnAnOptionThatIsTooLongToSkip) {
  Handshake handshake;
  const std::string header = be64(wire::option_magic) + be32(wire::option_info) + be32(option_skipped_max + 1);
  EXPECT_EQ(feed(handshake, client_flags() + header).next, Next::close);
  Handshake another;
  const std::string longest = be64(wire::option_magic) + be32(wire::option_info) + be32(0xffffffff);
  EXPECT_EQ(feed(another, client_flags() + longest).next, Next::close);
}

TEST_F(NbdHandshake, TakesAsManyOptionsAsTheLimitAndClosesOnTheNext) {
  for (uint32_t i = 0; i < options_per_connection_max; ++i)
    ASSERT_EQ(last_type(ask(wire::option_structured_reply)), wire::reply_ack);
  EXPECT_EQ(ask(wire::option_structured_reply).next, Next::close);
}

TEST_F(NbdHandshake, LetsAClientWithoutFixedNewstyleNameAnExportAndNothingElse) {
  Handshake naming;
  EXPECT_EQ(feed(naming, client_flags(0) + option_bytes(wire::option_export_name, "disk")).next, Next::transmit);
  Handshake listing;
  const Outcome outcome = feed(listing, client_flags(0) + option_bytes(wire::option_list, ""));
  EXPECT_EQ(outcome.next, Next::close);
  EXPECT_EQ(outcome.output, "");
}

TEST_F(NbdHandshake, AnswersShutdownWhileTheServerCloses) {
  site_.closing = true;
  for (uint32_t option : {wire::option_list, wire::option_structured_reply, wire::Option{1000}})
    EXPECT_EQ(last_type(ask(option)), wire::reply_error_shutdown);
  EXPECT_EQ(last_type(ask(wire::option_go, info_data("disk"))), wire::reply_error_shutdown);
  const Outcome aborted = ask(wire::option_abort);
  EXPECT_EQ(last_type(aborted), wire::reply_ack);
  EXPECT_EQ(aborted.next, Next::close);
}

TEST_F(NbdHandshake, ClosesOnAnExportNameWhileTheServerCloses) {
  site_.closing = true;
  const Outcome outcome = ask(wire::option_export_name, "disk");
  EXPECT_EQ(outcome.next, Next::close);
  EXPECT_EQ(outcome.output, "");
}

TEST_F(NbdHandshake, HandsAConnectionForAnotherProcessOnWithItsOption) {
  ask(wire::option_structured_reply);
  const std::string go = option_bytes(wire::option_go, info_data("far"));
  const Outcome outcome = feed(handshake_, go);
  EXPECT_EQ(outcome.next, Next::transfer);
  EXPECT_EQ(outcome.chosen, "far");
  EXPECT_EQ(outcome.consumed, 0U);
  EXPECT_EQ(outcome.output, "");
  EXPECT_TRUE(handshake_.negotiated().structured_replies);
}

TEST_F(NbdHandshake, GoesOnAfterAHandOverThatFailed) {
  ask(wire::option_structured_reply);
  const std::string go = option_bytes(wire::option_go, info_data("far"));
  ASSERT_EQ(feed(handshake_, go).next, Next::transfer);
  std::vector<std::byte> output;
  const Handshake::Step step = handshake_.decline_transfer(std::as_bytes(std::span(go)), output);
  EXPECT_EQ(step.consumed, go.size());
  EXPECT_EQ(step.outcome.next, Next::haggle);
  const auto answer = replies({reinterpret_cast<const char*>(output.data()), output.size()});
  EXPECT_EQ(answer.at(0).type, wire::reply_error_unknown);
  EXPECT_EQ(ask(wire::option_go, info_data("disk")).next, Next::transmit);
}

TEST_F(NbdHandshake, ClosesAfterAHandOverThatFailedForAnExportName) {
  const std::string option = option_bytes(wire::option_export_name, "far");
  ASSERT_EQ(feed(handshake_, client_flags() + option).next, Next::transfer);
  std::vector<std::byte> output;
  const Handshake::Step step = handshake_.decline_transfer(std::as_bytes(std::span(option)), output);
  EXPECT_EQ(step.outcome.next, Next::close);
  EXPECT_TRUE(output.empty());
}

TEST_F(NbdHandshake, DoesNotSendAConnectionThatCameFromAProcessToAThird) {
  site_.may_leave_process = false;
  EXPECT_EQ(last_type(ask(wire::option_go, info_data("far"))), wire::reply_error_unknown);
  EXPECT_EQ(ask(wire::option_export_name, "far").next, Next::close);
}

TEST_F(NbdHandshake, MovesAConnectionForAnotherReactor) {
  OnReactor elsewhere;
  MemoryDevice device(4096, 512);
  add("near", LocalTarget{&elsewhere.reactor(), &device}, "", false);
  EXPECT_EQ(ask(wire::option_go, info_data("near")).next, Next::transfer);
}

}  // namespace
}  // namespace cairn::test
