// TLS: who is let in, what is served through it, how it ends, and what a hostile client can do with it.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>
#include <future>
#include <random>
#include <thread>

#include "nbd/limits.h"
#include "nbd/tls_policy.h"
#include "test/native/nbd/support/certificates.h"
#include "test/native/nbd/support/memory_snapshots.h"
#include "test/native/nbd/support/running_server.h"
#include "test/native/nbd/support/tls_files.h"

namespace cairn::test {
namespace {

using namespace nbd;
using namespace std::chrono_literals;
using Mode = TlsSettings::Mode;

class NbdTls : public testing::TestWithParam<int> {
 protected:
  NbdTls() { running_.add_memory("disk", {.size = 16 * mebibyte, .reactor = 1}); }

  void set(const TlsSettings& settings) {
    const Result<Unit> result = running_.server().set_tls(settings);
    ASSERT_TRUE(result.ok()) << result.error().message;
  }
  OpenSsl<SSL_CTX> context(const Certificate* own = nullptr) {
    return client_context(files_.authority(), own, GetParam());
  }
  OpenSsl<SSL_CTX> psk_context(const std::string& user, const std::string& key) {
    return psk_client_context(user, key, GetParam());
  }
  /// Whether the server lets the client in. With TLS 1.3 a client hears of its certificate's refusal only afterwards.
  bool let_in(SSL_CTX* client_side) {
    NbdClient client = running_.connect();
    client.greet();
    EXPECT_EQ(client.option(wire::option_starttls).at(0).type, wire::reply_ack);
    if (!client.start_tls(client_side)) return false;
    const auto replies = client.option(wire::option_list);
    return !replies.empty() && replies.back().type == wire::reply_ack;
  }
  /// In transmission, inside TLS.
  NbdClient enter(SSL_CTX* client_side, bool structured = false) {
    NbdClient client = running_.connect();
    client.greet();
    EXPECT_EQ(client.option(wire::option_starttls).at(0).type, wire::reply_ack);
    EXPECT_TRUE(client.start_tls(client_side));
    if (structured) client.option(wire::option_structured_reply);
    EXPECT_EQ(client.go("disk").back().type, wire::reply_ack);
    return client;
  }

  TlsFiles files_;
  RunningServer running_{2, {.buffer_bytes = 64 * mebibyte}, TimeLimits{.tls_handshake = 2s, .close = 2s}};
};

INSTANTIATE_TEST_SUITE_P(Versions, NbdTls, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) { return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

// ---- Who is let in ----

TEST_P(NbdTls, AClientThatTrustsTheAuthorityIsServed) {
  set(files_.certificates(Mode::require));
  NbdClient client = enter(context().get());
  EXPECT_EQ(client.write(4096, std::string(65536, 't')), 0U);
  EXPECT_EQ(client.read(4096, 65536), std::string(65536, 't'));
}

TEST_P(NbdTls, AServerOfAnotherAuthorityIsNotTrusted) {
  set(files_.certificates(Mode::on));
  const CertificateAuthority stranger;
  EXPECT_FALSE(let_in(client_context(stranger, nullptr, GetParam()).get()));
  EXPECT_TRUE(let_in(context().get()));
}

TEST_P(NbdTls, ClientsNeedACertificateWhereTheyAreVerified) {
  set(files_.certificates(Mode::require, true));
  const Certificate good = files_.authority().issue("client");
  const Certificate expired = files_.authority().issue("late", -1);
  CertificateAuthority stranger;
  const Certificate foreign = stranger.issue("client");
  EXPECT_TRUE(let_in(context(&good).get()));
  EXPECT_FALSE(let_in(context().get()));
  EXPECT_FALSE(let_in(context(&expired).get()));
  EXPECT_FALSE(let_in(context(&foreign).get()));
}

TEST_P(NbdTls, ARevokedCertificateIsRefused) {
  const Certificate good = files_.authority().issue("good");
  const Certificate revoked = files_.authority().issue("revoked");
  files_.authority().write_revocations(files_.path("ca-crl.pem"), {&revoked});
  set(files_.certificates(Mode::require, true));
  EXPECT_TRUE(let_in(context(&good).get()));
  EXPECT_FALSE(let_in(context(&revoked).get()));
}

TEST_P(NbdTls, APreSharedKeyLetsInWhoHasIt) {
  set({.mode = Mode::require, .certificate_directory = {}, .verify_peer = false, .psk_file = files_.path("psk")});
  EXPECT_TRUE(let_in(psk_context("alice", key_text).get()));
  EXPECT_TRUE(let_in(psk_context("bob", std::string(32, '\0')).get()));
  EXPECT_FALSE(let_in(psk_context("alice", std::string(32, 'w')).get()));
  EXPECT_FALSE(let_in(psk_context("mallory", key_text).get()));
  EXPECT_FALSE(let_in(context().get()));
}

TEST_P(NbdTls, KeysAndCertificatesMayBeUsedSideBySide) {
  set(files_.both(Mode::require));
  const Certificate good = files_.authority().issue("client");
  EXPECT_TRUE(let_in(psk_context("alice", key_text).get()));
  EXPECT_TRUE(let_in(context(&good).get()));
  EXPECT_FALSE(let_in(context().get()));
}

TEST_P(NbdTls, OldVersionsAreRefused) {
  set(files_.certificates(Mode::on));
  OpenSsl<SSL_CTX> old = client_context(files_.authority(), nullptr, TLS1_1_VERSION);
  SSL_CTX_set_security_level(old.get(), 0);
  EXPECT_FALSE(let_in(old.get()));
}

TEST_P(NbdTls, NewSettingsHoldForNewConnections) {
  set(files_.certificates(Mode::on));
  NbdClient before = enter(context().get());
  set({});
  NbdClient plain = running_.connect();
  plain.greet();
  EXPECT_EQ(plain.option(wire::option_starttls).at(0).type, wire::reply_error_policy);
  EXPECT_EQ(plain.go("disk").back().type, wire::reply_ack);
  set(files_.certificates(Mode::require));
  EXPECT_EQ(before.read(0, 512).size(), 512U);
  EXPECT_EQ(plain.read(0, 512).size(), 512U);
  NbdClient after = running_.connect();
  after.greet();
  EXPECT_EQ(after.go("disk").at(0).type, wire::reply_error_tls_required);
}

// ---- What is served ----

TEST_P(NbdTls, ManyRequestsOfEverySizeInBothDirections) {
  set(files_.certificates(Mode::require));
  NbdClient client = enter(context().get(), true);
  std::mt19937_64 random(3);
  for (int round = 0; round < 30; ++round) {
    std::string burst;
    const uint64_t count = 1 + random() % 40;
    for (uint64_t i = 0; i < count; ++i)
      burst += RequestBytes{.type = wire::command_write, .cookie = i, .offset = i * 65536, .length = 65536}.encode() +
               std::string(65536, static_cast<char>(i + static_cast<uint64_t>(round)));
    std::thread sender([&] { client.send(burst); });
    for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(client.receive_reply().error, 0U);
    sender.join();
    const std::string back = client.read((count - 1) * 65536, 65536);
    ASSERT_EQ(back, std::string(65536, static_cast<char>(count - 1 + static_cast<uint64_t>(round))));
  }
}

TEST_P(NbdTls, TheLongestPayloadPasses) {
  running_.add_memory("large", {.size = 64 * mebibyte});
  set(files_.certificates(Mode::require));
  NbdClient client = running_.connect();
  client.greet();
  client.option(wire::option_starttls);
  ASSERT_TRUE(client.start_tls(context().get()));
  client.go("large");
  EXPECT_EQ(client.write(0, std::string(request_length_max, 'L')), 0U);
  EXPECT_TRUE(client.read(0, request_length_max) == std::string(request_length_max, 'L'));
}

TEST_P(NbdTls, AConnectionInsideItMovesToAnotherProcess) {
  RunningServer front(2);
  const std::string path = running_.directory() + "/handover";
  ASSERT_TRUE(running_.server().listen_handover(path).ok());
  ASSERT_TRUE(front.server().add_export({.name = "disk", .target = RemoteTarget{path}}).ok());
  ASSERT_TRUE(front.server().set_tls(files_.certificates(Mode::require)).ok());
  NbdClient client = front.connect();
  client.greet();
  client.option(wire::option_starttls);
  ASSERT_TRUE(client.start_tls(context().get()));
  EXPECT_EQ(client.go("disk").back().type, wire::reply_ack);
  EXPECT_EQ(client.write(0, std::string(512, 'm')), 0U);
  EXPECT_EQ(client.read(0, 512), std::string(512, 'm'));
  EXPECT_EQ(running_.server().connections("disk"), 1U);
  ASSERT_TRUE(front.close().ok());
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 0; }));
}

// ---- How it ends ----

TEST_P(NbdTls, ADisconnectIsAnsweredWithTheEndOfTls) {
  set(files_.certificates(Mode::require));
  NbdClient client = enter(context().get());
  client.send_request({.type = wire::command_disconnect});
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(client.tls_ended());
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 0; }));
}

TEST_P(NbdTls, TheEndOfTlsIsADisconnect) {
  set(files_.certificates(Mode::require));
  NbdClient client = enter(context().get());
  client.end_tls();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 0; }));
}

TEST_P(NbdTls, ARemovedExportEndsIt) {
  set(files_.certificates(Mode::require));
  NbdClient client = enter(context().get());
  ASSERT_TRUE(running_.remove("disk", true).ok());
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(client.tls_ended());
}

TEST_P(NbdTls, AClientThatReadsNothingDoesNotHoldACloseUp) {
  set(files_.certificates(Mode::require));
  NbdClient greedy = enter(context().get());
  for (uint64_t i = 0; i < 16; ++i) greedy.send_request({.type = wire::command_read, .cookie = i, .length = 1 << 20});
  ASSERT_FALSE(greedy.receive(16).empty());
  EXPECT_TRUE(running_.close().ok());
}

// ---- Hostility ----

TEST_P(NbdTls, WhatFollowsTheOptionInTheClearEndsTheConnection) {
  set(files_.certificates(Mode::on));
  NbdClient client = running_.connect();
  client.greet();
  client.send(option_bytes(wire::option_starttls, "") + option_bytes(wire::option_list, ""));
  EXPECT_TRUE(client.closed());
}

TEST_P(NbdTls, WhatIsNoTlsEndsTheConnection) {
  set(files_.certificates(Mode::on));
  for (size_t length : {1UL, 100UL, 100'000UL}) {
    NbdClient client = running_.connect();
    client.greet();
    client.option(wire::option_starttls);
    client.send(std::string(length, 'x'));
    ::shutdown(client.fd(), SHUT_WR);
    while (!client.receive(1).empty()) {
    }
  }
  EXPECT_TRUE(let_in(context().get()));
}

TEST_P(NbdTls, AForgedRecordEndsTheConnectionAndChangesNothing) {
  set(files_.certificates(Mode::require));
  NbdClient client = enter(context().get());
  EXPECT_EQ(client.write(0, std::string(512, 'a')), 0U);
  const std::string forged = std::string("\x17\x03\x03\x01\x00", 5) + std::string(256, 'f');
  EXPECT_EQ(::send(client.fd(), forged.data(), forged.size(), MSG_NOSIGNAL), static_cast<ssize_t>(forged.size()));
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 0; }));
  NbdClient again = enter(context().get());
  EXPECT_EQ(again.read(0, 512), std::string(512, 'a'));
}

TEST_P(NbdTls, AHandshakeThatTakesTooLongIsEnded) {
  set(files_.certificates(Mode::on));
  NbdClient client = running_.connect();
  client.greet();
  client.option(wire::option_starttls);
  client.send(std::string("\x16\x03\x01", 3));
  EXPECT_TRUE(client.closed());
}

TEST_P(NbdTls, ClientsThatVanishLeaveNothingBehind) {
  set(files_.certificates(Mode::require));
  for (int i = 0; i < 20; ++i) {
    NbdClient client = enter(context().get());
    client.send_request({.type = wire::command_read, .length = 1 << 20});
    client.disconnect();
  }
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 0; }));
  EXPECT_TRUE(running_.close().ok());
}

// ---- Settings ----

TEST(NbdTlsPolicy, SettingsThatCannotBeAreRefusedByName) {
  TlsFiles files;
  const auto refusal = [](const TlsSettings& settings) {
    const auto made = make_tls_policy(settings);
    EXPECT_EQ(made.ok() ? "" : made.error().code, "INVALID_ARGUMENT");
    return made.ok() ? "" : made.error().message;
  };
  const auto names = [&](const TlsSettings& settings, const std::string& what) {
    EXPECT_NE(refusal(settings).find(what), std::string::npos) << refusal(settings);
  };
  names({.mode = Mode::on}, "give a directory");
  names({.mode = Mode::on, .verify_peer = true, .psk_file = files.path("psk")}, "directory of certificates");
  names({.mode = Mode::on, .certificate_directory = "/nowhere"}, "/nowhere/server-cert.pem");
  names({.mode = Mode::on, .psk_file = "/nowhere"}, "/nowhere");
  const Certificate other = files.authority().issue("other");
  write_key(other, files.path("server-key.pem"));
  names(files.certificates(Mode::on), "server-key.pem");
  std::ofstream(files.path("server-key.pem")) << "no key";
  names(files.certificates(Mode::on), "server-key.pem");
  EXPECT_TRUE(make_tls_policy({.mode = Mode::off, .certificate_directory = "/nowhere"}).ok());
}

TEST(NbdTlsPolicy, AWrongRevocationListOrAuthorityIsRefused) {
  TlsFiles files;
  EXPECT_TRUE(make_tls_policy(files.certificates(Mode::on, true)).ok());
  std::ofstream(files.path("ca-crl.pem")) << "no list";
  EXPECT_FALSE(make_tls_policy(files.certificates(Mode::on, true)).ok());
  std::filesystem::remove(files.path("ca-crl.pem"));
  std::filesystem::remove(files.path("ca-cert.pem"));
  EXPECT_FALSE(make_tls_policy(files.certificates(Mode::on, true)).ok());
  EXPECT_TRUE(make_tls_policy(files.certificates(Mode::on, false)).ok());
}

TEST(NbdTlsPolicy, KeysAreLinesOfUsersAndHexadecimalKeys) {
  const std::string key(32, 'a');
  EXPECT_EQ(PskTable::parse("u:" + key + "\nwith:colon:" + key + "\r\n").value().find("with:colon")->size(), 16U);
  EXPECT_EQ(PskTable::parse("u:" + key).value().find("v"), nullptr);
  EXPECT_TRUE(PskTable::parse("").value().empty());
  EXPECT_TRUE(PskTable::parse(std::string(psk_identity_max, 'u') + ":" + std::string(2 * psk_key_max, '0')).ok());
  for (const std::string& wrong :
       {"u" + key, ":" + key, std::string("u:"), "u:" + key + "a", "u:" + key.substr(2), "u:" + std::string(32, 'g'),
        "u:" + std::string(32, ' '), "u:" + key + "\nu:" + key, "u:" + std::string(2 * psk_key_max + 2, '0'),
        std::string(psk_identity_max + 1, 'u') + ":" + key, "u:" + key + " "})
    EXPECT_FALSE(PskTable::parse(wrong).ok()) << wrong;
}

}  // namespace
}  // namespace cairn::test
