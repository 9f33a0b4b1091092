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

}  // namespace
}  // namespace cairn::test
