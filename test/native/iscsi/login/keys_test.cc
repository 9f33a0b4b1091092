// Key by key: what is answered to a proposal, and what holds then.
#include "iscsi/login/keys.h"

#include <gtest/gtest.h>

#include <set>

#include "iscsi/login/negotiation.h"
#include "iscsi/login/policy.h"
#include "iscsi/login/values.h"
#include "test/native/iscsi/login/support/login_client.h"

namespace cairn::test {
namespace {

using namespace iscsi;

SessionParameters parameters_of_a_login() {
  SessionParameters parameters;
  parameters.initiator_name = test_initiator;
  parameters.target_name = test_target;
  return parameters;
}

struct Told {
  bool violation;
  std::string text;
};

/// What a target offers that takes more at once than Cairn's does.
TargetOffer generous_offer() {
  TargetOffer offer;
  offer.max_burst = 1048576;
  offer.first_burst = 262144;
  offer.outstanding_r2t_max = 16;
  return offer;
}

Told tell(std::string_view text, uint8_t place, SessionParameters& parameters) {
  const TargetOffer offer = generous_offer();
  Negotiation negotiation(offer);
  const auto pairs = parse_text(text);
  const TextAnswer answer = negotiation.answer(*pairs, place, parameters);
  return {answer.violation, answer.text};
}

Told tell(std::string_view text, uint8_t place = operational_stage) {
  SessionParameters parameters = parameters_of_a_login();
  return tell(text, place, parameters);
}

struct Case {
  const char* proposal;
  const char* answer;  // null: none
};

/// What this target offers: receive 262144, MaxBurst 1048576, FirstBurst 262144, InitialR2T No, R2Ts 16, retain 0.
constexpr Case cases[] = {
    {"HeaderDigest=None", "HeaderDigest=None"},
    {"HeaderDigest=CRC32C", "HeaderDigest=CRC32C"},
    {"HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C"},
    {"HeaderDigest=None,CRC32C", "HeaderDigest=None"},
    {"HeaderDigest=X-md5,CRC32C", "HeaderDigest=CRC32C"},
    {"HeaderDigest=crc32c", "HeaderDigest=Reject"},
    {"HeaderDigest=", "HeaderDigest=Reject"},
    {"DataDigest=CRC32C,None", "DataDigest=CRC32C"},
    {"DataDigest=SHA", "DataDigest=Reject"},
    {"MaxConnections=1", "MaxConnections=1"},
    {"MaxConnections=65535", "MaxConnections=1"},
    {"MaxConnections=0", "MaxConnections=Reject"},
    {"MaxConnections=65536", "MaxConnections=Reject"},
    {"InitialR2T=Yes", "InitialR2T=Yes"},
    {"InitialR2T=No", "InitialR2T=No"},
    {"InitialR2T=no", "InitialR2T=Reject"},
    {"ImmediateData=Yes", "ImmediateData=Yes"},
    {"ImmediateData=No", "ImmediateData=No"},
    {"ImmediateData=1", "ImmediateData=Reject"},
    {"MaxRecvDataSegmentLength=511", "MaxRecvDataSegmentLength=Reject"},
    {"MaxRecvDataSegmentLength=512", nullptr},
    {"MaxRecvDataSegmentLength=16777215", nullptr},
    {"MaxRecvDataSegmentLength=16777216", "MaxRecvDataSegmentLength=Reject"},
    {"MaxBurstLength=511", "MaxBurstLength=Reject"},
    {"MaxBurstLength=512", "MaxBurstLength=512"},
    {"MaxBurstLength=0x10000", "MaxBurstLength=65536"},
    {"MaxBurstLength=1048575", "MaxBurstLength=1048575"},
    {"MaxBurstLength=1048577", "MaxBurstLength=1048576"},
    {"MaxBurstLength=16777215", "MaxBurstLength=1048576"},
    {"MaxBurstLength=16777216", "MaxBurstLength=Reject"},
    {"MaxBurstLength=many", "MaxBurstLength=Reject"},
    {"FirstBurstLength=511", "FirstBurstLength=Reject"},
    {"FirstBurstLength=512", "FirstBurstLength=512"},
    {"FirstBurstLength=262143", "FirstBurstLength=262143"},
    {"FirstBurstLength=262145", "FirstBurstLength=262144"},
    {"FirstBurstLength=16777216", "FirstBurstLength=Reject"},
    {"DefaultTime2Wait=0", "DefaultTime2Wait=2"},
    {"DefaultTime2Wait=3", "DefaultTime2Wait=3"},
    {"DefaultTime2Wait=3600", "DefaultTime2Wait=3600"},
    {"DefaultTime2Wait=3601", "DefaultTime2Wait=Reject"},
    {"DefaultTime2Retain=0", "DefaultTime2Retain=0"},
    {"DefaultTime2Retain=3600", "DefaultTime2Retain=0"},
    {"DefaultTime2Retain=3601", "DefaultTime2Retain=Reject"},
    {"MaxOutstandingR2T=0", "MaxOutstandingR2T=Reject"},
    {"MaxOutstandingR2T=1", "MaxOutstandingR2T=1"},
    {"MaxOutstandingR2T=17", "MaxOutstandingR2T=16"},
    {"MaxOutstandingR2T=65536", "MaxOutstandingR2T=Reject"},
    {"DataPDUInOrder=No", "DataPDUInOrder=Yes"},
    {"DataPDUInOrder=Yes", "DataPDUInOrder=Yes"},
    {"DataPDUInOrder=", "DataPDUInOrder=Reject"},
    {"DataSequenceInOrder=No", "DataSequenceInOrder=Yes"},
    {"ErrorRecoveryLevel=0", "ErrorRecoveryLevel=0"},
    {"ErrorRecoveryLevel=2", "ErrorRecoveryLevel=0"},
    {"ErrorRecoveryLevel=3", "ErrorRecoveryLevel=Reject"},
    {"TaskReporting=RFC3720", "TaskReporting=RFC3720"},
    {"TaskReporting=FastAbort,RFC3720", "TaskReporting=RFC3720"},
    {"TaskReporting=FastAbort", "TaskReporting=Reject"},
    {"iSCSIProtocolLevel=0", "iSCSIProtocolLevel=0"},
    {"iSCSIProtocolLevel=2", "iSCSIProtocolLevel=1"},
    {"iSCSIProtocolLevel=31", "iSCSIProtocolLevel=1"},
    {"iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject"},
    {"InitiatorAlias=my host", nullptr},
    {"InitiatorAlias=", nullptr},
    {"IFMarker=No", "IFMarker=No"},
    {"OFMarker=Yes", "OFMarker=No"},
    {"IFMarkInt=2048~8192", "IFMarkInt=Reject"},
    {"OFMarkInt=1", "OFMarkInt=Reject"},
    {"X-com.example.magic=1", "X-com.example.magic=NotUnderstood"},
    {"Unheard=of", "Unheard=NotUnderstood"},
    {"Unheard=NotUnderstood", nullptr},
    {"Unheard=Reject", nullptr},
    {"TargetAlias=NotUnderstood", nullptr},
    {"MaxBurstLength=NotUnderstood", "MaxBurstLength=Reject"},
};

TEST(IscsiKeys, AreAnsweredAsTheTableSays) {
  for (const Case& example : cases) {
    const Told told = tell(text_of({example.proposal}));
    EXPECT_FALSE(told.violation) << example.proposal;
    EXPECT_EQ(told.text, example.answer == nullptr ? "" : text_of({example.answer})) << example.proposal;
  }
}

TEST(IscsiKeys, WriteWhatIsSettledIntoTheParameters) {
  SessionParameters parameters = parameters_of_a_login();
  tell(text_of({"HeaderDigest=CRC32C", "DataDigest=CRC32C", "MaxRecvDataSegmentLength=65536", "MaxBurstLength=131072",
                "FirstBurstLength=4096", "InitialR2T=No", "ImmediateData=No", "MaxOutstandingR2T=4",
                "DefaultTime2Wait=5", "DefaultTime2Retain=7", "InitiatorAlias=host"}),
       operational_stage, parameters);
  EXPECT_TRUE(parameters.header_digest && parameters.data_digest);
  EXPECT_FALSE(parameters.initial_r2t || parameters.immediate_data);
  EXPECT_EQ(parameters.send_segment_max, 65536u);
  EXPECT_EQ(parameters.max_burst, 131072u);
  EXPECT_EQ(parameters.first_burst, 4096u);
  EXPECT_EQ(parameters.outstanding_r2t_max, 4u);
  EXPECT_EQ(parameters.time_to_wait, 5u);
  EXPECT_EQ(parameters.time_to_retain, 0u);
  EXPECT_EQ(parameters.initiator_alias, "host");
}

TEST(IscsiKeys, RejectedOnesLeaveTheirDefaults) {
  SessionParameters parameters = parameters_of_a_login();
  tell(text_of({"MaxBurstLength=1", "InitialR2T=?", "MaxRecvDataSegmentLength=1", "HeaderDigest=?",
                std::string("InitiatorAlias=") + std::string(256, 'x')}),
       operational_stage, parameters);
  EXPECT_EQ(parameters.max_burst, 262144u);
  EXPECT_TRUE(parameters.initial_r2t);
  EXPECT_EQ(parameters.send_segment_max, 8192u);
  EXPECT_FALSE(parameters.header_digest);
  EXPECT_EQ(parameters.initiator_alias, "");
}

TEST(IscsiKeys, FirstBurstStaysWithinMaxBurstInAnyOrder) {
  for (const std::string& text : {text_of({"FirstBurstLength=65536", "MaxBurstLength=16384"}),
                                  text_of({"MaxBurstLength=16384", "FirstBurstLength=65536"})})
    EXPECT_EQ(tell(text).text, text_of({"MaxBurstLength=16384", "FirstBurstLength=16384"}));
}

TEST(IscsiKeys, FirstBurstIsIrrelevantWithoutUnsolicitedData) {
  EXPECT_EQ(
      pairs_of(tell(text_of({"FirstBurstLength=4096", "InitialR2T=Yes", "ImmediateData=No"})).text)["FirstBurstLength"],
      "Irrelevant");
}

TEST(IscsiKeys, OfDataTransferAreIrrelevantInDiscovery) {
  for (const KeyRow& row : key_table()) {
    if (row.in_discovery) continue;
    SessionParameters parameters = parameters_of_a_login();
    parameters.type = SessionParameters::Type::discovery;
    const std::string key(row.name);
    EXPECT_EQ(tell(text_of({key + "=1"}), operational_stage, parameters).text, text_of({key + "=Irrelevant"}));
  }
}

TEST(IscsiKeys, OutOfPlaceAreViolations) {
  const auto expect = [](const char* pair, uint8_t allowed) {
    for (const uint8_t place : {security_stage, operational_stage, full_feature_phase})
      EXPECT_EQ(tell(text_of({pair}), place).violation, (place & allowed) == 0) << pair << " at " << int{place};
  };
  for (const char* pair : {"AuthMethod=None", "CHAP_A=5", "CHAP_N=x", "CHAP_R=0x0", "CHAP_I=1", "CHAP_C=0x1"})
    expect(pair, security_stage);
  for (const char* pair : {"HeaderDigest=None", "MaxBurstLength=512", "InitialR2T=Yes", "IFMarker=No",
                           "ErrorRecoveryLevel=0", "TaskReporting=RFC3720", "DefaultTime2Wait=0", "MaxConnections=1"})
    expect(pair, operational_stage);
  expect("MaxRecvDataSegmentLength=512", operational_stage | full_feature_phase);
  expect("InitiatorAlias=x", anywhere);
  expect("SessionType=Normal", in_login);
  expect("SendTargets=All", full_feature_phase);
  expect("X-unknown=1", anywhere);
}

TEST(IscsiKeys, OfTheTargetAreNotTheInitiatorsToSay) {
  for (const char* pair : {"TargetAlias=x", "TargetAddress=192.0.2.1", "TargetPortalGroupTag=1"})
    EXPECT_TRUE(tell(text_of({pair})).violation) << pair;
}

TEST(IscsiKeys, MayNotBeNegotiatedTwice) {
  for (const char* pair : {"MaxBurstLength=512", "HeaderDigest=None", "MaxRecvDataSegmentLength=512", "IFMarker=No"})
    EXPECT_TRUE(tell(text_of({pair, pair})).violation) << pair;
  EXPECT_TRUE(tell(text_of({"MaxBurstLength=?", "MaxBurstLength=512"})).violation);
}

TEST(IscsiKeys, MayBeDeclaredAgainWhenTheySayTheSame) {
  const std::string name = std::string("InitiatorName=") + test_initiator;
  EXPECT_FALSE(tell(text_of({name, name, "SessionType=Normal", "SessionType=Normal"})).violation);
  EXPECT_FALSE(tell(text_of({"InitiatorAlias=a", "InitiatorAlias=a"})).violation);
  EXPECT_TRUE(tell(text_of({"InitiatorAlias=a", "InitiatorAlias=b"})).violation);
  EXPECT_TRUE(tell(text_of({name, "InitiatorName=iqn.2001-04.com.example:other"})).violation);
  EXPECT_TRUE(tell(text_of({"SessionType=Discovery"})).violation);
  EXPECT_TRUE(tell(text_of({"TargetName=iqn.2001-04.com.example:other"})).violation);
}

TEST(IscsiKeys, AreEachInTheTableOnce) {
  std::set<std::string_view> names;
  for (const KeyRow& row : key_table()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
  EXPECT_EQ(names.size(), 34u);
}

}  // namespace
}  // namespace cairn::test
