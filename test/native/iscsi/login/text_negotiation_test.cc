// Texts of the full feature phase: SendTargets, keys that may change, and answers that need several PDUs.
#include "iscsi/login/text_negotiation.h"

#include <gtest/gtest.h>

#include "test/native/iscsi/login/support/login_client.h"

namespace cairn::test {
namespace {

using namespace iscsi;
using Type = SessionParameters::Type;
constexpr const char* other_target = "iqn.2026-11.io.cairn:other";

struct IscsiTextNegotiation : testing::Test {
  IscsiTextNegotiation() {
    parameters.initiator_name = test_initiator;
    parameters.target_name = test_target;
  }

  struct Request {
    uint8_t flags = wire::final_bit;
    uint32_t task_tag = 5;
    uint32_t transfer_tag = wire::no_tag;
  };
  TextNegotiation::Reply say(std::string_view text, const Request& how) {
    wire::TextRequest request{};
    request.opcode_byte = wire::text_request;
    request.flags = how.flags;
    request.task_tag = how.task_tag;
    request.transfer_tag = how.transfer_tag;
    return negotiation.handle(request, std::as_bytes(std::span(text)));
  }
  TextNegotiation::Reply say(std::string_view text) { return say(text, Request{}); }

  /// The whole answer to a text, asked for until it is final.
  std::string ask(std::string_view text, size_t* parts = nullptr) {
    TextNegotiation::Reply reply = say(text);
    std::string answer = reply.text;
    for (size_t count = 1; !reply.reject && reply.header.flags != wire::final_bit; ++count) {
      if (count > 1000) ADD_FAILURE() << "the answer does not end";
      if (count > 1000) break;
      EXPECT_EQ(reply.header.flags, wire::continue_bit);
      EXPECT_EQ(reply.text.size(), parameters.send_segment_max);
      reply = say("", {.transfer_tag = reply.header.transfer_tag});
      answer += reply.text;
      if (parts != nullptr) *parts = count + 1;
    }
    EXPECT_EQ(reply.header.transfer_tag, wire::no_tag);
    return answer;
  }

  std::vector<ListedTarget> listed{{test_target, {"192.0.2.1:3260,1", "[2001:db8::1]:3260,1"}},
                                   {other_target, {"192.0.2.1:3260,1"}}};
  SessionParameters parameters;
  TextNegotiation negotiation{parameters, TargetOffer(), [this](const SessionParameters& asking) {
                                EXPECT_EQ(asking.initiator_name, test_initiator);
                                return listed;
                              }};
};

const std::string own = text_of(
    {std::string("TargetName=") + test_target, "TargetAddress=192.0.2.1:3260,1", "TargetAddress=[2001:db8::1]:3260,1"});
const std::string other = text_of({std::string("TargetName=") + other_target, "TargetAddress=192.0.2.1:3260,1"});
const std::string rejected = text_of({"SendTargets=Reject"});

TEST_F(IscsiTextNegotiation, TellsDiscoverySessionsOfAllTargets) {
  parameters.type = Type::discovery;
  EXPECT_EQ(ask(text_of({"SendTargets=All"})), own + other);
  EXPECT_EQ(ask(text_of({std::string("SendTargets=") + other_target})), other);
  EXPECT_EQ(ask(text_of({"SendTargets=IQN.2026-11.io.cairn:OTHER"})), other);
  EXPECT_EQ(ask(text_of({"SendTargets=iqn.2026-11.io.cairn:none"})), "");
  EXPECT_EQ(ask(text_of({"SendTargets="})), rejected);
}

TEST_F(IscsiTextNegotiation, TellsNormalSessionsOfTheirOwnTarget) {
  EXPECT_EQ(ask(text_of({"SendTargets="})), own);
  EXPECT_EQ(ask(text_of({std::string("SendTargets=") + test_target})), own);
  EXPECT_EQ(ask(text_of({std::string("SendTargets=") + other_target})), "");
  EXPECT_EQ(ask(text_of({"SendTargets=All"})), rejected);
}

TEST_F(IscsiTextNegotiation, SplitsALongListByTheInitiatorsLength) {
  parameters.type = Type::discovery;
  parameters.send_segment_max = 512;
  for (int i = 0; i < 100; ++i) listed.push_back({"iqn.2026-11.io.cairn:" + std::to_string(i), {"192.0.2.1:3260,1"}});
  size_t parts = 0;
  const auto pairs = ask(text_of({"SendTargets=All"}), &parts);
  EXPECT_EQ(parts, (pairs.size() + 511) / 512);
  EXPECT_TRUE(pairs.ends_with(text_of({"TargetName=iqn.2026-11.io.cairn:99", "TargetAddress=192.0.2.1:3260,1"})));
}

TEST_F(IscsiTextNegotiation, SendsNoPartBeyondItsOwnLimit) {
  parameters.type = Type::discovery;
  parameters.send_segment_max = 16777215;
  for (int i = 0; i < 2000; ++i) listed.push_back({"iqn.2026-11.io.cairn:" + std::to_string(i), {"192.0.2.1:3260,1"}});
  EXPECT_EQ(say(text_of({"SendTargets=All"})).text.size(), text_part_max);
}

TEST_F(IscsiTextNegotiation, ChangesTheLengthWhenTheExchangeIsOver) {
  const auto first = say(text_of({"MaxRecvDataSegmentLength=4096"}), {.flags = 0});
  EXPECT_EQ(first.header.flags, 0);
  EXPECT_NE(first.header.transfer_tag, wire::no_tag);
  EXPECT_EQ(parameters.send_segment_max, 8192u);
  const auto second = say("", {.transfer_tag = first.header.transfer_tag});
  EXPECT_EQ(second.header.flags, wire::final_bit);
  EXPECT_EQ(parameters.send_segment_max, 4096u);
  EXPECT_EQ(ask(text_of({"MaxRecvDataSegmentLength=2048"})), "");
  EXPECT_EQ(parameters.send_segment_max, 2048u);
}

TEST_F(IscsiTextNegotiation, ForgetsWhatAnExchangeThatIsNotOverHasSettled) {
  say(text_of({"MaxRecvDataSegmentLength=4096"}), {.flags = 0});
  EXPECT_EQ(ask(text_of({"InitiatorAlias=x"})), "");
  EXPECT_EQ(parameters.send_segment_max, 8192u);
  EXPECT_EQ(parameters.initiator_alias, "x");
  say(text_of({"MaxRecvDataSegmentLength=4096"}), {.flags = 0});
  negotiation.reset();
  ask("");
  EXPECT_EQ(parameters.send_segment_max, 8192u);
}

TEST_F(IscsiTextNegotiation, CollectsATextThatContinues) {
  const auto first = say("Send", {.flags = wire::continue_bit});
  EXPECT_EQ(first.text, "");
  EXPECT_EQ(first.header.flags, 0);
  EXPECT_EQ(say(text_of({"Targets="}), {.transfer_tag = first.header.transfer_tag}).text, own);
}

TEST_F(IscsiTextNegotiation, AnswersUnknownKeys) {
  EXPECT_EQ(ask(text_of({"X-com.example=1"})), text_of({"X-com.example=NotUnderstood"}));
}

TEST_F(IscsiTextNegotiation, RejectsWhatHasNoPlaceHere) {
  for (const char* pair :
       {"MaxBurstLength=65536", "HeaderDigest=CRC32C", "AuthMethod=None", "InitiatorName=iqn.2001-04.com.example:x",
        "TargetAlias=x", "SessionType=Normal", "IFMarker=No"})
    EXPECT_EQ(say(text_of({pair})).reject, wire::RejectReason::protocol_error) << pair;
  EXPECT_EQ(say("nonsense").reject, wire::RejectReason::protocol_error);
  EXPECT_EQ(say(text_of({"InitiatorAlias=a", "InitiatorAlias=b"})).reject, wire::RejectReason::protocol_error);
}

TEST_F(IscsiTextNegotiation, RejectsRequestsThatBelongToNoExchange) {
  EXPECT_TRUE(say("", {.transfer_tag = 1}).reject);
  EXPECT_TRUE(say("", {.flags = wire::final_bit | wire::continue_bit}).reject);
  const uint32_t tag = say("", {.flags = 0}).header.transfer_tag;
  EXPECT_TRUE(say("", {.transfer_tag = tag + 1}).reject);
  EXPECT_TRUE(say("", {.transfer_tag = tag}).reject) << "the exchange has ended with the error";
  const uint32_t next = say("", {.flags = 0}).header.transfer_tag;
  EXPECT_TRUE(say("", {.task_tag = 6, .transfer_tag = next}).reject);
}

TEST_F(IscsiTextNegotiation, RejectsATextThatIsTooLong) {
  const auto first = say(std::string(text_max, 'A'), {.flags = wire::continue_bit});
  EXPECT_FALSE(first.reject);
  EXPECT_TRUE(say("A", {.flags = wire::continue_bit, .transfer_tag = first.header.transfer_tag}).reject);
}

TEST_F(IscsiTextNegotiation, RejectsNewKeysWhileItsAnswerGoesOut) {
  parameters.type = Type::discovery;
  parameters.send_segment_max = 512;
  for (int i = 0; i < 100; ++i) listed.push_back({"iqn.2026-11.io.cairn:" + std::to_string(i), {"192.0.2.1:3260,1"}});
  const uint32_t tag = say(text_of({"SendTargets=All"})).header.transfer_tag;
  EXPECT_TRUE(say(text_of({"InitiatorAlias=x"}), {.transfer_tag = tag}).reject);
}

}  // namespace
}  // namespace cairn::test
