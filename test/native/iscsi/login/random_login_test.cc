// Random sequences of right and wrong requests: nobody gets in without the proof, nothing is kept without bound, and
// every reply is one that the RFC knows.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstdlib>
#include <random>

#include "iscsi/login/values.h"
#include "test/native/iscsi/login/support/login_client.h"

namespace cairn::test {
namespace {

using namespace iscsi;
using Outcome = Login::Outcome;

constexpr const char* secret = "initiator secret";

/// An initiator that does the right thing mostly, and says when it has proven itself.
class RandomInitiator {
 public:
  RandomInitiator(std::mt19937& random, bool knows_secret) : random_(random), knows_secret_(knows_secret) {}

  std::string next_text() {
    std::string text = rarely(10) ? "" : names();
    for (unsigned i = rarely(4) ? below(4) : 0; i > 0; --i) text += text_of({keys_[below(std::size(keys_))]});
    if (!rarely(5)) text += security_text();
    if (rarely(40)) text += random_bytes();
    return text;
  }
  void hear(const Login::Reply& reply) {
    const auto pairs = parse_text(reply.text);
    if (!pairs) return;
    if ((reply.header.flags & wire::transit_bit) != 0) heard_ = "the next stage";
    for (const auto& [key, value] : *pairs) {
      if (key == "AuthMethod" || key == "CHAP_C") heard_ = key;
      if (key == "CHAP_I") identifier_ = static_cast<uint8_t>(parse_number(value).value());
      if (key == "CHAP_C") challenge_ = parse_binary(value, 1024).value();
    }
  }
  unsigned below(size_t count) { return static_cast<unsigned>(random_() % count); }
  bool rarely(unsigned one_in) { return below(one_in) == 0; }

 private:
  std::string security_text() {
    if (rarely(20)) heard_ = "";
    if (heard_ == "CHAP_C") return text_of({"CHAP_N=alice", "CHAP_R=" + response()});
    if (heard_ == "AuthMethod") return text_of({"CHAP_A=5"});
    return heard_.empty() ? text_of({"AuthMethod=CHAP,None"}) : "";
  }
  std::string response() {
    std::string message(1, static_cast<char>(identifier_));
    message += knows_secret_ ? secret : "a wrong secret";
    message.append(reinterpret_cast<const char*>(challenge_.data()), challenge_.size());
    std::array<std::byte, 16> made;
    EVP_Digest(message.data(), message.size(), reinterpret_cast<unsigned char*>(made.data()), nullptr, EVP_md5(),
               nullptr);
    return format_binary(made);
  }
  std::string random_bytes() {
    std::string bytes(below(300), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

  static constexpr std::string_view keys_[] = {
      "HeaderDigest=CRC32C",
      "MaxBurstLength=65536",
      "InitialR2T=No",
      "X-a=1",
      "SessionType=Normal",
      "AuthMethod=None",
      "CHAP_A=5",
      "CHAP_N=alice",
      "CHAP_R=0x00",
      "CHAP_I=1",
      "CHAP_C=0x1234",
      "SendTargets=All",
      "SessionType=Discovery",
      "TargetAlias=NotUnderstood",
  };
  std::mt19937& random_;
  bool knows_secret_;
  std::string heard_;  // what the next step depends on
  uint8_t identifier_ = 0;
  std::vector<std::byte> challenge_;
};

wire::LoginRequest random_request(RandomInitiator& initiator, wire::LoginRequest request, wire::Stage stage) {
  const auto any = [&] { return static_cast<wire::Stage>(initiator.below(4)); };
  const wire::Stage next = stage == wire::Stage::security ? wire::Stage::operational : wire::Stage::full_feature;
  request.flags = wire::stages(initiator.rarely(30) ? any() : stage, initiator.rarely(30) ? any() : next);
  if (!initiator.rarely(3)) request.flags |= wire::transit_bit;
  if (initiator.rarely(10))
    request.flags = static_cast<uint8_t>((request.flags & ~wire::transit_bit) | wire::continue_bit);
  if (initiator.rarely(100)) request.tsih = 7;
  if (initiator.rarely(100)) request.version_min = 1;
  return request;
}

/// Whether the login got through.
bool log_in(std::mt19937& random, bool knows_secret) {
  LoginWorld world;
  world.access.chap = {credential("alice", secret)};
  world.discovery_access.chap = {credential("alice", secret)};
  LoginClient client(world.policy());
  RandomInitiator initiator(random, knows_secret);
  wire::Stage stage = initiator.rarely(20) ? wire::Stage::operational : wire::Stage::security;
  for (unsigned requests = 0; requests <= login_requests_max; ++requests) {
    const auto request = random_request(initiator, client.header, stage);
    const auto reply = client.send(request, initiator.next_text());
    initiator.hear(reply);
    if (reply.outcome == Outcome::failed) return false;
    if (reply.outcome == Outcome::full_feature) return reply.header.tsih != 0;
    EXPECT_EQ(reply.header.tsih, request.tsih);
    if ((reply.header.flags & wire::transit_bit) != 0) stage = wire::next_stage(reply.header.flags);
  }
  ADD_FAILURE() << "a login has no end";
  return false;
}

unsigned seed() {
  const char* given = std::getenv("CAIRN_TEST_SEED");
  return given == nullptr ? std::random_device()() : static_cast<unsigned>(std::strtoul(given, nullptr, 10));
}

TEST(IscsiRandomLogin, GetsInOnlyWithTheProof) {
  const unsigned chosen = seed();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(chosen));
  std::mt19937 random(chosen);
  unsigned got_in = 0;
  for (int i = 0; i < 5000; ++i) {
    EXPECT_FALSE(log_in(random, false));
    got_in += log_in(random, true) ? 1 : 0;
  }
  // Otherwise the sequences are too wrong to show anything.
  EXPECT_GT(got_in, 100u);
}

}  // namespace
}  // namespace cairn::test
