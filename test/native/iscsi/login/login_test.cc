// The login phase: stages, what a login begins with, and every way in which it fails.
#include "iscsi/login/login.h"

#include <gtest/gtest.h>

#include "test/native/iscsi/login/support/login_client.h"

namespace cairn::test {
namespace {

using namespace iscsi;
using Outcome = Login::Outcome;
using Pairs = std::map<std::string, std::string>;
using Status = wire::LoginStatus;
constexpr auto security = wire::Stage::security;
constexpr auto operational = wire::Stage::operational;
constexpr auto full_feature = wire::Stage::full_feature;

struct IscsiLogin : testing::Test {
  LoginWorld world;
  LoginClient client{world.policy()};

  Login::Reply say_first(std::string_view text) { return client.say(operational, full_feature, text); }
};

// ---- The ways through ----

TEST_F(IscsiLogin, TakesOneRequestWhenThereIsNothingToProve) {
  const auto reply = say_first(names());
  EXPECT_EQ(reply.outcome, Outcome::full_feature);
  EXPECT_EQ(status_of(reply), Status::success);
  EXPECT_EQ(reply.header.flags, wire::transit_bit | wire::stages(operational, full_feature));
  EXPECT_EQ(reply.header.tsih, 42);
  EXPECT_EQ(pairs_of(reply.text),
            (Pairs{{"TargetPortalGroupTag", "1"}, {"TargetAlias", "a disk"}, {"MaxRecvDataSegmentLength", "262144"}}));
  const SessionParameters& parameters = client.login.parameters();
  EXPECT_EQ(parameters.type, SessionParameters::Type::normal);
  EXPECT_EQ(parameters.initiator_name, test_initiator);
  EXPECT_EQ(parameters.target_name, test_target);
  EXPECT_EQ(parameters.isid, client.header.isid);
  EXPECT_EQ(parameters.connection_id, 3);
  EXPECT_EQ(parameters.tsih, 42);
  EXPECT_EQ(parameters.receive_segment_max, 262144u);
  EXPECT_EQ(parameters.send_segment_max, 8192u);
}

TEST_F(IscsiLogin, GoesThroughBothStages) {
  const auto first = client.say(security, operational, names() + text_of({"AuthMethod=CHAP,None"}));
  EXPECT_EQ(first.outcome, Outcome::go_on);
  EXPECT_EQ(first.header.flags, wire::transit_bit | wire::stages(security, operational));
  EXPECT_EQ(first.header.tsih, 0);
  EXPECT_EQ(pairs_of(first.text),
            (Pairs{{"TargetPortalGroupTag", "1"}, {"TargetAlias", "a disk"}, {"AuthMethod", "None"}}));
  const auto second = client.say(operational, full_feature, text_of({"HeaderDigest=CRC32C,None"}));
  EXPECT_EQ(second.outcome, Outcome::full_feature);
  EXPECT_EQ(second.header.tsih, 42);
  EXPECT_EQ(pairs_of(second.text), (Pairs{{"HeaderDigest", "CRC32C"}, {"MaxRecvDataSegmentLength", "262144"}}));
  EXPECT_TRUE(client.login.parameters().header_digest);
}

TEST_F(IscsiLogin, MaySkipTheOperationalStage) {
  const auto reply = client.say(security, full_feature, names());
  EXPECT_EQ(reply.outcome, Outcome::full_feature);
  // Our length belongs to the stage that was skipped: the default holds.
  EXPECT_EQ(client.login.parameters().receive_segment_max, 8192u);
  EXPECT_EQ(pairs_of(reply.text).count("MaxRecvDataSegmentLength"), 0u);
}

TEST_F(IscsiLogin, LingersInAStageForAsLongAsTheInitiatorLikes) {
  EXPECT_EQ(client.say(operational, std::nullopt, names()).outcome, Outcome::go_on);
  const auto second = client.say(operational, std::nullopt, text_of({"MaxBurstLength=65536"}));
  EXPECT_EQ(second.header.flags, wire::stages(operational, security));
  EXPECT_EQ(second.text, text_of({"MaxBurstLength=65536"}));
  const auto third = client.say(operational, full_feature, "");
  EXPECT_EQ(third.outcome, Outcome::full_feature);
  EXPECT_EQ(third.text, "");
  EXPECT_EQ(client.login.parameters().first_burst, 65536u);
}

TEST_F(IscsiLogin, KeepsFirstBurstWithinMaxBurst) {
  say_first(names() + text_of({"MaxBurstLength=8192"}));
  EXPECT_EQ(client.login.parameters().first_burst, 8192u);
}

/// As libiscsi does.
TEST_F(IscsiLogin, LetsTheInitiatorRepeatItsNames) {
  const std::string text = names() + text_of({"SessionType=Normal", "InitiatorAlias=me"});
  client.say(security, operational, text + text_of({"AuthMethod=CHAP,None"}));
  EXPECT_EQ(client.say(operational, full_feature, text + text_of({"DataDigest=None"})).outcome, Outcome::full_feature);
}

TEST_F(IscsiLogin, OfADiscoverySessionNeedsNoTarget) {
  const auto reply = say_first(text_of({std::string("InitiatorName=") + test_initiator, "SessionType=Discovery"}));
  EXPECT_EQ(reply.outcome, Outcome::full_feature);
  EXPECT_EQ(pairs_of(reply.text), (Pairs{{"MaxRecvDataSegmentLength", "262144"}}));
  EXPECT_EQ(client.login.parameters().type, SessionParameters::Type::discovery);
}

TEST_F(IscsiLogin, TakesNamesInEitherCase) {
  const auto reply =
      say_first(text_of({"InitiatorName=IQN.2001-04.COM.Example:Host", "TargetName=IQN.2026-11.io.cairn:DISK"}));
  EXPECT_EQ(reply.outcome, Outcome::full_feature);
  EXPECT_EQ(client.login.parameters().initiator_name, test_initiator);
  EXPECT_EQ(client.login.parameters().target_name, test_target);
}

// ---- Texts over several PDUs ----

TEST_F(IscsiLogin, CollectsATextThatContinues) {
  const std::string text = names() + text_of({"HeaderDigest=CRC32C"});
  for (const size_t cut : {size_t{0}, size_t{5}, text.size() / 2, text.size() - 1, text.size()}) {
    LoginClient other(world.policy());
    const auto more = other.begin_to_say(operational, text.substr(0, cut));
    EXPECT_EQ(more.outcome, Outcome::go_on);
    EXPECT_EQ(more.text, "");
    EXPECT_EQ(more.header.flags, wire::stages(operational, security));
    EXPECT_EQ(other.say(operational, full_feature, text.substr(cut)).outcome, Outcome::full_feature) << cut;
    EXPECT_TRUE(other.login.parameters().header_digest);
  }
}

TEST_F(IscsiLogin, SendsALongAnswerInParts) {
  std::string text = names();
  for (int key = 0; key < 120; ++key) text += text_of({std::string(60, 'X') + std::to_string(key) + "=1"});
  const auto first = say_first(text);
  EXPECT_EQ(first.header.flags, wire::continue_bit | wire::stages(operational, security));
  EXPECT_EQ(first.text.size(), 8192u);
  const auto second = client.say(operational, full_feature, "");
  EXPECT_EQ(second.outcome, Outcome::full_feature);
  const Pairs answered = pairs_of(first.text + second.text);
  EXPECT_EQ(answered.size(), 123u);
  EXPECT_EQ(answered.at(std::string(60, 'X') + "119"), "NotUnderstood");
}

TEST_F(IscsiLogin, TakesNoNewKeysWhileItsAnswerGoesOut) {
  std::string text = names();
  for (int key = 0; key < 120; ++key) text += text_of({std::string(60, 'X') + std::to_string(key) + "=1"});
  say_first(text);
  EXPECT_EQ(status_of(say_first(text_of({"MaxBurstLength=512"}))), Status::initiator_error);
}

TEST_F(IscsiLogin, EndsWhenATextIsTooLong) {
  EXPECT_EQ(client.begin_to_say(operational, std::string(text_max, 'A')).outcome, Outcome::go_on);
  EXPECT_EQ(status_of(client.begin_to_say(operational, "A")), Status::initiator_error);
}

TEST_F(IscsiLogin, EndsAfterTooManyRequests) {
  EXPECT_EQ(client.say(operational, std::nullopt, names()).outcome, Outcome::go_on);
  for (unsigned i = 1; i < login_requests_max; ++i)
    ASSERT_EQ(client.say(operational, std::nullopt, "").outcome, Outcome::go_on) << i;
  EXPECT_EQ(status_of(client.say(operational, full_feature, "")), Status::initiator_error);
}

// ---- Failures ----

TEST_F(IscsiLogin, FailsByTheFirstText) {
  const std::string initiator = std::string("InitiatorName=") + test_initiator;
  const std::string target = std::string("TargetName=") + test_target;
  const std::pair<std::string, Status> examples[] = {
      {"", Status::missing_parameter},
      {text_of({target}), Status::missing_parameter},
      {text_of({initiator}), Status::missing_parameter},
      {text_of({"InitiatorName=", target}), Status::missing_parameter},
      {text_of({"SessionType=Discovery"}), Status::missing_parameter},
      {text_of({"InitiatorName=host", target}), Status::initiator_error},
      {text_of({initiator, target, "SessionType=Other"}), Status::session_type_unsupported},
      {text_of({initiator, "TargetName=disk"}), Status::target_not_found},
      {text_of({initiator, "TargetName=iqn.2026-11.io.cairn:none"}), Status::target_not_found},
      {text_of({initiator, "TargetName=iqn.2026-11.io.cairn:removed"}), Status::target_removed},
      {text_of({initiator, "TargetName=iqn.2026-11.io.cairn:busy"}), Status::service_unavailable},
      {text_of({initiator, target, "MaxBurstLength"}), Status::initiator_error},
      {text_of({initiator, target}) + "X", Status::initiator_error},
      {text_of({initiator, target, "AuthMethod=None"}), Status::initiator_error},
      {text_of({initiator, target, "SendTargets=All"}), Status::initiator_error},
      {text_of({initiator, target, "MaxBurstLength=512", "MaxBurstLength=512"}), Status::initiator_error},
      {text_of({initiator, target, "InitiatorName=iqn.2001-04.com.example:two"}), Status::initiator_error},
  };
  for (const auto& [text, status] : examples) {
    LoginClient other(world.policy());
    const auto reply = other.say(operational, full_feature, text);
    EXPECT_EQ(status_of(reply), status) << text;
    EXPECT_EQ(reply.header.flags, 0);
    EXPECT_EQ(reply.text, "");
  }
}

TEST_F(IscsiLogin, SendsInitiatorsToWhereTheTargetHasMoved) {
  const auto reply =
      say_first(text_of({std::string("InitiatorName=") + test_initiator, "TargetName=iqn.2026-11.io.cairn:moved"}));
  EXPECT_EQ(status_of(reply), Status::target_moved_temporarily);
  EXPECT_EQ(reply.outcome, Outcome::failed);
  EXPECT_EQ(reply.text, text_of({"TargetAddress=192.0.2.7:3260"}));
}

TEST_F(IscsiLogin, LetsInOnlyTheInitiatorsListed) {
  world.access.initiators = {"iqn.2001-04.com.example:other", "IQN.2001-04.com.example:HOST"};
  EXPECT_EQ(say_first(names()).outcome, Outcome::full_feature);
  world.access.initiators.pop_back();
  LoginClient other(world.policy());
  EXPECT_EQ(status_of(other.say(operational, full_feature, names())), Status::authorization_failure);
}

TEST_F(IscsiLogin, LetsIntoDiscoveryOnlyTheInitiatorsListed) {
  world.discovery_access.initiators = {"iqn.2001-04.com.example:other"};
  LoginClient other(world.policy());
  const std::string text = text_of({std::string("InitiatorName=") + test_initiator, "SessionType=Discovery"});
  EXPECT_EQ(status_of(other.say(operational, full_feature, text)), Status::authorization_failure);
}

TEST_F(IscsiLogin, FailsForAVersionThatIsNotThere) {
  client.header.version_min = 1;
  client.header.version_max = 2;
  const auto reply = say_first(names());
  EXPECT_EQ(status_of(reply), Status::unsupported_version);
  EXPECT_EQ(reply.header.version_max, 0);
  EXPECT_EQ(reply.header.version_active, 0);
  LoginClient newer(world.policy());
  newer.header.version_max = 2;
  EXPECT_EQ(newer.say(operational, full_feature, names()).outcome, Outcome::full_feature);
}

TEST_F(IscsiLogin, FailsForStagesThatAreNone) {
  constexpr auto reserved = static_cast<wire::Stage>(2);
  const std::pair<wire::Stage, std::optional<wire::Stage>> wrong[] = {
      {full_feature, std::nullopt}, {full_feature, full_feature}, {reserved, std::nullopt}, {operational, operational},
      {operational, security},      {operational, reserved},      {security, security},     {security, reserved},
  };
  for (const auto& [stage, next] : wrong) {
    LoginClient other(world.policy());
    EXPECT_EQ(status_of(other.say(stage, next, names())), Status::initiator_error);
  }
}

TEST_F(IscsiLogin, FailsForATransitInAnUnfinishedText) {
  wire::LoginRequest request = client.header;
  request.flags = wire::stages(operational, full_feature) | wire::transit_bit | wire::continue_bit;
  EXPECT_EQ(status_of(client.send(request, names())), Status::initiator_error);
}

TEST_F(IscsiLogin, FailsWhenTheStageIsNotTheOneAgreedOn) {
  client.say(security, operational, names());
  EXPECT_EQ(status_of(client.say(security, operational, "")), Status::initiator_error);
  LoginClient other(world.policy());
  other.say(security, std::nullopt, names());
  EXPECT_EQ(status_of(other.say(operational, full_feature, "")), Status::initiator_error);
}

TEST_F(IscsiLogin, FailsWhenItsIdentityChanges) {
  const auto change = [&](auto&& change_header) {
    LoginClient other(world.policy());
    EXPECT_EQ(other.say(operational, std::nullopt, names()).outcome, Outcome::go_on);
    change_header(other.header);
    return status_of(other.say(operational, full_feature, ""));
  };
  EXPECT_EQ(change([](wire::LoginRequest&) {}), Status::success);
  EXPECT_EQ(change([](wire::LoginRequest& header) { header.isid[5] ^= 1; }), Status::initiator_error);
  EXPECT_EQ(change([](wire::LoginRequest& header) { header.tsih = 1; }), Status::initiator_error);
  EXPECT_EQ(change([](wire::LoginRequest& header) { header.connection_id = 4; }), Status::initiator_error);
}

TEST_F(IscsiLogin, FailsToJoinASession) {
  const auto join = [&](uint16_t tsih, uint16_t connection_id) {
    LoginClient other(world.policy());
    other.header.tsih = tsih;
    other.header.connection_id = connection_id;
    const auto reply = other.say(operational, full_feature, names());
    EXPECT_EQ(reply.header.tsih, tsih);
    return status_of(reply);
  };
  EXPECT_EQ(join(6, 3), Status::session_does_not_exist);
  EXPECT_EQ(join(7, 3), Status::cannot_include_in_session);
  EXPECT_EQ(join(7, 4), Status::too_many_connections);
}

TEST_F(IscsiLogin, FailsWhenThereAreTooManySessions) {
  world.next_tsih = 0;
  EXPECT_EQ(status_of(say_first(names())), Status::out_of_resources);
}

TEST_F(IscsiLogin, IsNotHeldTwice) {
  say_first(names());
  EXPECT_EQ(status_of(say_first(names())), Status::invalid_during_login);
  LoginClient failed(world.policy());
  failed.say(operational, full_feature, "");
  EXPECT_EQ(status_of(failed.say(operational, full_feature, names())), Status::invalid_during_login);
}

// ---- The first request, seen from outside ----

TEST(IscsiFirstRequest, TellsTheTargetBeforeALoginExists) {
  wire::LoginRequest request{};
  const auto about = [&](const std::string& text) { return peek(request, std::as_bytes(std::span(text))); };
  EXPECT_EQ(about(names()).target_name, test_target);
  EXPECT_EQ(about(names()).initiator_name, test_initiator);
  EXPECT_FALSE(about(names()).discovery);
  EXPECT_TRUE(about(names()).whole);
  EXPECT_TRUE(about(text_of({"SessionType=Discovery"})).discovery);
  EXPECT_TRUE(about("nonsense").malformed);
  EXPECT_TRUE(about(std::string(text_max + 1, '\0')).malformed);
  request.flags = wire::continue_bit;
  EXPECT_FALSE(about(names()).whole);
  EXPECT_EQ(about(text_of({"InitiatorName=x"}) + "TargetName=iqn.2026").target_name, "");
  EXPECT_EQ(about(text_of({"InitiatorName=x"}) + "TargetName=iqn.2026").initiator_name, "x");
}

}  // namespace
}  // namespace cairn::test
