// CHAP in both directions: what proves something, and what does not. Digests are computed here by OpenSSL's one-shot
// functions, and once from a fixed example.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "iscsi/login/values.h"
#include "test/native/iscsi/login/support/login_client.h"

namespace cairn::test {
namespace {

using namespace iscsi;
using Outcome = Login::Outcome;
using Status = wire::LoginStatus;
constexpr auto security = wire::Stage::security;
constexpr auto operational = wire::Stage::operational;
constexpr auto full_feature = wire::Stage::full_feature;
constexpr const char* secret = "initiator secret";
constexpr const char* mutual_secret = "the target's secret";

std::string digest(const EVP_MD* algorithm, const std::string& identifier, std::string_view key,
                   std::string_view challenge) {
  std::string message(1, static_cast<char>(std::stoi(identifier)));
  message += key;
  const auto bytes = parse_binary(challenge, 1024).value();
  message.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::array<std::byte, EVP_MAX_MD_SIZE> made;
  unsigned length = 0;
  EVP_Digest(message.data(), message.size(), reinterpret_cast<unsigned char*>(made.data()), &length, algorithm,
             nullptr);
  return format_binary(std::span(made).first(length));
}

struct IscsiChap : testing::Test {
  IscsiChap() { world.access.chap = {credential("alice", secret), credential("bob", "another secret")}; }

  /// AuthMethod and CHAP_A; the challenge is kept.
  void begin(LoginClient& client, const std::string& algorithms = "5") {
    const auto chosen = client.say(security, operational, names() + text_of({"AuthMethod=CHAP,None"}));
    EXPECT_EQ(chosen.outcome, Outcome::go_on);
    EXPECT_EQ(chosen.header.flags, wire::stages(security, security));
    EXPECT_EQ(pairs_of(chosen.text)["AuthMethod"], "CHAP");
    const auto asked = client.say(security, std::nullopt, text_of({"CHAP_A=" + algorithms}));
    EXPECT_EQ(asked.outcome, Outcome::go_on);
    challenge = pairs_of(asked.text);
  }
  std::string proof(std::string_view user, std::string_view key) {
    return text_of(
        {"CHAP_N=" + std::string(user), "CHAP_R=" + digest(EVP_md5(), challenge["CHAP_I"], key, challenge["CHAP_C"])});
  }
  Login::Reply answer(const std::string& text) {
    LoginClient client(world.policy());
    begin(client);
    return client.say(security, operational, text.empty() ? proof("alice", secret) : text);
  }

  LoginWorld world;
  std::map<std::string, std::string> challenge;
};

TEST_F(IscsiChap, DigestsTheIdentifierTheSecretAndTheChallenge) {
  // printf '\001secretsecret12\001\002\003' | openssl dgst -md5, and -sha256
  const std::string_view key = "secretsecret12";
  const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  EXPECT_EQ(format_binary(chap_digest(ChapAlgorithm::md5, 1, std::as_bytes(std::span(key)), bytes)),
            "0x3e862503b5bf66e853bfc23a25ecfcbb");
  EXPECT_EQ(format_binary(chap_digest(ChapAlgorithm::sha256, 1, std::as_bytes(std::span(key)), bytes)),
            "0xcacd77081917564d4632fdf5e6b04b38a54925dedf7f7267b627885416f7db3c");
}

TEST_F(IscsiChap, ProvesTheInitiatorWithEveryAlgorithm) {
  const std::tuple<const char*, const EVP_MD*, size_t> algorithms[] = {
      {"5", EVP_md5(), 16}, {"6", EVP_sha1(), 20}, {"7", EVP_sha256(), 32}, {"8", EVP_sha3_256(), 32}};
  for (const auto& [number, algorithm, size] : algorithms) {
    LoginClient client(world.policy());
    begin(client, number);
    EXPECT_EQ(challenge["CHAP_A"], number);
    EXPECT_EQ(challenge["CHAP_C"].size(), 2 + 2 * size);
    const std::string response = digest(algorithm, challenge["CHAP_I"], secret, challenge["CHAP_C"]);
    const auto proven = client.say(security, operational, text_of({"CHAP_N=alice", "CHAP_R=" + response}));
    EXPECT_EQ(proven.header.flags, wire::transit_bit | wire::stages(security, operational));
    EXPECT_EQ(proven.text, "");
    EXPECT_EQ(client.say(operational, full_feature, "").outcome, Outcome::full_feature);
  }
}

TEST_F(IscsiChap, ChoosesTheStrongestAlgorithmOffered) {
  const std::pair<const char*, const char*> lists[] = {{"5,6,7,8", "8"}, {"5,7,6", "7"}, {"6,5", "6"}, {"99,0x5", "5"}};
  for (const auto& [list, chosen] : lists) {
    LoginClient client(world.policy());
    begin(client, list);
    EXPECT_EQ(challenge["CHAP_A"], chosen);
  }
}

TEST_F(IscsiChap, FailsWithoutACommonAlgorithm) {
  for (const char* list : {"CHAP_A=", "CHAP_A=4", "CHAP_A=55", "CHAP_A=MD5"}) {
    LoginClient client(world.policy());
    client.say(security, operational, names() + text_of({"AuthMethod=CHAP"}));
    EXPECT_EQ(status_of(client.say(security, std::nullopt, text_of({list}))), Status::authentication_failure) << list;
  }
}

/// "fips=yes" without such a provider forbids every digest, as a policy can forbid MD5 alone.
TEST_F(IscsiChap, OffersNoAlgorithmThatOpensslMayNotUse) {
  EXPECT_EQ(choose_chap_algorithm("5"), ChapAlgorithm::md5);
  ASSERT_EQ(EVP_set_default_properties(nullptr, "fips=yes"), 1);
  EXPECT_EQ(choose_chap_algorithm("5,6,7,8"), std::nullopt);
  EXPECT_TRUE(chap_digest(ChapAlgorithm::md5, 1, {}, {}).empty());
  ASSERT_EQ(EVP_set_default_properties(nullptr, ""), 1);
  EXPECT_EQ(choose_chap_algorithm("5"), ChapAlgorithm::md5);
}

TEST_F(IscsiChap, TakesTheResponseInBase64) {
  LoginClient client(world.policy());
  begin(client);
  const auto raw = parse_binary(digest(EVP_md5(), challenge["CHAP_I"], secret, challenge["CHAP_C"]), 16).value();
  std::array<unsigned char, 25> encoded{};
  EVP_EncodeBlock(encoded.data(), reinterpret_cast<const unsigned char*>(raw.data()), 16);
  const std::string response = std::string("CHAP_R=0b") + reinterpret_cast<const char*>(encoded.data());
  EXPECT_EQ(client.say(security, full_feature, text_of({"CHAP_N=alice", response})).outcome, Outcome::full_feature);
}

TEST_F(IscsiChap, TakesAnyOfTheUsers) {
  LoginClient client(world.policy());
  begin(client);
  EXPECT_EQ(client.say(security, full_feature, proof("bob", "another secret")).outcome, Outcome::full_feature);
}

TEST_F(IscsiChap, TellsNoWrongUserFromAWrongSecret) {
  EXPECT_EQ(answer("").outcome, Outcome::go_on);
  const auto wrong_secret = answer(proof("alice", "another secret"));
  const auto wrong_user = answer(proof("mallory", secret));
  EXPECT_EQ(status_of(wrong_secret), Status::authentication_failure);
  EXPECT_EQ(wrong_secret.text, wrong_user.text);
  EXPECT_EQ(0, std::memcmp(&wrong_secret.header, &wrong_user.header, sizeof(wrong_user.header)));
}

TEST_F(IscsiChap, FailsForResponsesThatAreNone) {
  answer("");
  const std::string right = digest(EVP_md5(), challenge["CHAP_I"], secret, challenge["CHAP_C"]);
  const std::string shorter = right.substr(0, right.size() - 2);
  for (const std::string& text :
       {text_of({"CHAP_N=alice"}), text_of({"CHAP_R=" + right}), text_of({"CHAP_N=alice", "CHAP_R="}),
        text_of({"CHAP_N=alice", "CHAP_R=0x"}), text_of({"CHAP_N=alice", "CHAP_R=" + shorter}),
        text_of({"CHAP_N=alice", "CHAP_R=" + right + "00"}), text_of({"CHAP_N=alice", "CHAP_R=" + right.substr(2)}),
        text_of({"CHAP_N=", "CHAP_R=" + right}), text_of({"CHAP_N=ALICE", "CHAP_R=" + right})})
    EXPECT_EQ(status_of(answer(text)), Status::authentication_failure) << text;
}

TEST_F(IscsiChap, IsNotSkipped) {
  const std::pair<wire::Stage, std::string> attempts[] = {
      {operational, ""},
      {security, ""},
      {security, text_of({"AuthMethod=None"})},
      {security, text_of({"AuthMethod=KRB5,SRP"})},
      {security, text_of({"CHAP_A=5"})},
      {security, text_of({"CHAP_N=alice", "CHAP_R=0x00"})},
      {security, text_of({"AuthMethod=CHAP", "CHAP_N=alice", "CHAP_R=0x00"})},
  };
  for (const auto& [stage, text] : attempts) {
    LoginClient client(world.policy());
    EXPECT_EQ(status_of(client.say(stage, full_feature, names() + text)), Status::authentication_failure) << text;
  }
}

TEST_F(IscsiChap, KeepsTheStageUntilItIsProven) {
  LoginClient client(world.policy());
  begin(client);
  const auto early = client.say(security, full_feature, "");
  EXPECT_EQ(early.outcome, Outcome::go_on);
  EXPECT_EQ(early.header.flags, wire::stages(security, security));
  EXPECT_EQ(client.say(security, full_feature, proof("alice", secret)).outcome, Outcome::full_feature);
}

TEST_F(IscsiChap, DoesNotGiveASecondChallenge) {
  LoginClient client(world.policy());
  begin(client);
  EXPECT_EQ(status_of(client.say(security, std::nullopt, text_of({"CHAP_A=5"}))), Status::initiator_error);
}

TEST_F(IscsiChap, ThatNobodyAsksForIsRefused) {
  world.access.chap.clear();
  LoginClient client(world.policy());
  const auto reply = client.say(security, operational, names() + text_of({"AuthMethod=CHAP"}));
  EXPECT_EQ(status_of(reply), Status::authentication_failure);
}

TEST_F(IscsiChap, GuardsDiscoveryByItsOwnUsers) {
  world.discovery_access.chap = {credential("finder", "discovery secret")};
  LoginClient client(world.policy());
  client.say(security, operational,
             text_of({std::string("InitiatorName=") + test_initiator, "SessionType=Discovery", "AuthMethod=CHAP"}));
  challenge = pairs_of(client.say(security, std::nullopt, text_of({"CHAP_A=5"})).text);
  EXPECT_EQ(client.say(security, full_feature, proof("finder", "discovery secret")).outcome, Outcome::full_feature);
}

// ---- The target's proof ----

TEST_F(IscsiChap, ProvesTheTargetToo) {
  world.access.mutual = credential("cairn", mutual_secret);
  LoginClient client(world.policy());
  begin(client, "7");
  const std::string response = digest(EVP_sha256(), challenge["CHAP_I"], secret, challenge["CHAP_C"]);
  const auto reply =
      client.say(security, operational, text_of({"CHAP_N=alice", "CHAP_R=" + response, "CHAP_I=200", "CHAP_C=0xcafe"}));
  auto told = pairs_of(reply.text);
  EXPECT_EQ(told["CHAP_N"], "cairn");
  EXPECT_EQ(told["CHAP_R"], digest(EVP_sha256(), "200", mutual_secret, "0xcafe"));
  EXPECT_EQ(reply.header.flags, wire::transit_bit | wire::stages(security, operational));
}

TEST_F(IscsiChap, ProvesTheTargetOnlyToWhoHasProvenItself) {
  world.access.mutual = credential("cairn", mutual_secret);
  LoginClient client(world.policy());
  begin(client);
  const auto reply =
      client.say(security, operational, proof("alice", "wrong") + text_of({"CHAP_I=1", "CHAP_C=0xcafe"}));
  EXPECT_EQ(status_of(reply), Status::authentication_failure);
  EXPECT_EQ(reply.text, "");
}

TEST_F(IscsiChap, FailsWhenAProofIsAskedForThatIsNotConfigured) {
  const auto ask = [&] {
    LoginClient client(world.policy());
    begin(client);
    return status_of(
        client.say(security, operational, proof("alice", secret) + text_of({"CHAP_I=1", "CHAP_C=0xcafe"})));
  };
  EXPECT_EQ(ask(), Status::authentication_failure);
  world.access.mutual = credential("cairn", mutual_secret);
  EXPECT_EQ(ask(), Status::success);
}

TEST_F(IscsiChap, FailsForQuestionsThatAreNone) {
  world.access.mutual = credential("cairn", mutual_secret);
  const std::string longest = "CHAP_C=0x" + std::string(2 * 1024, '1');
  const auto ask = [&](std::initializer_list<std::string_view> question) {
    LoginClient client(world.policy());
    begin(client);
    return status_of(client.say(security, operational, proof("alice", secret) + text_of(question)));
  };
  EXPECT_EQ(ask({"CHAP_I=255", longest}), Status::success);
  const std::string mirrored = "CHAP_C=" + challenge["CHAP_C"];
  for (const auto& question :
       {text_of({"CHAP_I=1"}), text_of({"CHAP_C=0xcafe"}), text_of({"CHAP_I=256", "CHAP_C=0xcafe"}),
        text_of({"CHAP_I=x", "CHAP_C=0xcafe"}), text_of({"CHAP_I=1", "CHAP_C="}), text_of({"CHAP_I=1", longest + "11"}),
        text_of({"CHAP_I=1", mirrored})})
    EXPECT_EQ(ask({question.substr(0, question.size() - 1)}), Status::authentication_failure) << question;
}

}  // namespace
}  // namespace cairn::test
