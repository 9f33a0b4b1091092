// A connection's way to another reactor and to another process (here: another server in this one).
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "nbd/connection_transfer.h"
#include "nbd/handover_socket.h"
#include "nbd/limits.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

/// A front that has an export of another server's, and the server that has the device.
class NbdHandover : public testing::Test {
 protected:
  NbdHandover() {
    back_.add_memory("disk", {.size = 4 * mebibyte, .reactor = 1, .description = "of the holder"});
    EXPECT_TRUE(back_.server().listen_handover(path()).ok());
    EXPECT_TRUE(add_remote("disk").ok());
  }
  std::string path() { return back_.directory() + "/handover"; }
  Result<Unit> add_remote(const std::string& name, std::string path_of_back = {}) {
    if (path_of_back.empty()) path_of_back = path();
    return front_.server().add_export({.name = name, .description = "far away", .target = RemoteTarget{path_of_back}});
  }

  RunningServer back_{2};
  RunningServer front_;
};

TEST_F(NbdHandover, AConnectionMovesToTheReactorOfItsVolume) {
  back_.add_memory("other", {.reactor = 1});
  NbdClient client = back_.connect();
  client.enter("other", true);
  EXPECT_EQ(client.write(512, std::string(512, 'x')), 0U);
  EXPECT_EQ(client.read(512, 512), std::string(512, 'x'));
}

TEST_F(NbdHandover, AConnectionMovesToTheProcessOfItsVolume) {
  NbdClient client = front_.connect();
  client.enter("disk");
  EXPECT_EQ(client.write(0, std::string(8192, 'x')), 0U);
  EXPECT_EQ(client.read(0, 8192), std::string(8192, 'x'));
  EXPECT_EQ(back_.server().connections("disk"), 1U);
  EXPECT_EQ(front_.server().connections("disk"), 0U);
}

TEST_F(NbdHandover, WhatWasNegotiatedBeforeGoesAlong) {
  NbdClient client = front_.connect();
  client.greet();
  client.option(wire::option_structured_reply);
  EXPECT_EQ(client.option(wire::option_set_meta_context, meta_data("disk", {"base:allocation"})).size(), 2U);
  EXPECT_EQ(client.go("disk", {wire::info_name, wire::info_block_size}).size(), 4U);
  EXPECT_TRUE(client.request({.type = wire::command_read, .length = 512}).structured);
  EXPECT_EQ(client.request({.type = wire::command_block_status, .length = 4096}).type, wire::reply_type_block_status);
}

TEST_F(NbdHandover, RequestsBehindAnExportNameGoAlong) {
  NbdClient client = front_.connect();
  std::string bytes = be32(wire::client_fixed_newstyle) + option_bytes(wire::option_export_name, "disk");
  for (uint64_t i = 0; i < 3; ++i)
    bytes += RequestBytes{.type = wire::command_write, .cookie = i, .offset = i * 512, .length = 512}.encode() +
             std::string(512, static_cast<char>('a' + i));
  client.send(bytes);
  EXPECT_EQ(client.receive(18 + 10 + 124).size(), 18U + 10 + 124);
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(client.receive_reply().cookie, i);
  EXPECT_EQ(client.read(1024, 512), std::string(512, 'c'));
}

TEST_F(NbdHandover, TheDefaultExportIsWhatItIsInFront) {
  back_.add_memory("another");  // the process behind has two
  NbdClient client = front_.connect();
  client.enter("");
  EXPECT_EQ(client.write(0, std::string(512, 'd')), 0U);
  EXPECT_EQ(back_.server().connections("disk"), 1U);
}

TEST_F(NbdHandover, ListIsAnsweredInFrontAndInfoWhereTheVolumeIs) {
  NbdClient client = front_.connect();
  client.greet();
  const auto info =
      client.option(wire::option_info, info_data("disk", {wire::info_description, wire::info_block_size}));
  ASSERT_EQ(info.size(), 4U);
  EXPECT_EQ(info[0].data.substr(2, 8), be64(4 * mebibyte));
  EXPECT_EQ(info[1].data.substr(2), "of the holder");
  EXPECT_EQ(info[2].data.substr(2, 8), be32(512) + be32(4096));
  ASSERT_TRUE(back_.close().ok());
  EXPECT_EQ(client.option(wire::option_list).at(0).data, counted("disk") + "far away");
  EXPECT_EQ(client.option(wire::option_info, info_data("disk")).back().type, wire::reply_error_unknown);
}

TEST_F(NbdHandover, AnUnreachableProcessIsAnErrorAndTheConnectionLivesOn) {
  ASSERT_TRUE(back_.close().ok());
  front_.add_memory("here");
  NbdClient client = front_.connect();
  client.greet();
  client.option(wire::option_structured_reply);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.go("disk").at(0).type, wire::reply_error_unknown);
  EXPECT_EQ(client.go("here").back().type, wire::reply_ack);
  EXPECT_TRUE(client.request({.type = wire::command_read, .length = 512}).structured);
}

TEST_F(NbdHandover, AnUnreachableProcessClosesAfterAnExportName) {
  ASSERT_TRUE(back_.close().ok());
  NbdClient client = front_.connect();
  client.greet();
  client.send_option(wire::option_export_name, "disk");
  EXPECT_TRUE(client.closed());
}

TEST_F(NbdHandover, AProcessThatLostTheExportAnswersUnknown) {
  ASSERT_TRUE(back_.remove("disk", false).ok());
  NbdClient client = front_.connect();
  client.greet();
  EXPECT_EQ(client.go("disk").at(0).type, wire::reply_error_unknown);
  back_.add_memory("disk", {.reactor = 1});
  EXPECT_EQ(client.go("disk").back().type, wire::reply_ack);
}

TEST_F(NbdHandover, AConnectionDoesNotGoBackAndForth) {
  const std::string front_path = front_.directory() + "/handover";
  ASSERT_TRUE(front_.server().listen_handover(front_path).ok());
  ASSERT_TRUE(add_remote("loop").ok());
  ASSERT_TRUE(back_.server().add_export({.name = "loop", .target = RemoteTarget{front_path}}).ok());
  NbdClient client = front_.connect();
  client.greet();
  EXPECT_EQ(client.go("loop").at(0).type, wire::reply_error_unknown);
}

TEST_F(NbdHandover, ManyConnectionsMoveAtOnce) {
  std::vector<NbdClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(front_.connect());
    clients.back().greet();
    clients.back().send_option(wire::option_go, info_data("disk"));
  }
  constexpr size_t answer = 20 + 12 + 20;
  for (NbdClient& client : clients) ASSERT_EQ(client.receive(answer).size(), answer);
  for (NbdClient& client : clients) EXPECT_EQ(client.read(0, 512).size(), 512U);
  EXPECT_EQ(back_.server().connections("disk"), 100U);
}

TEST_F(NbdHandover, TheFrontMayCloseWithoutItsConnectionsElsewhere) {
  NbdClient client = front_.connect();
  client.enter("disk");
  ASSERT_TRUE(front_.close().ok());
  EXPECT_EQ(client.write(0, std::string(512, 'x')), 0U);
}

// ---- What arrives on the hand-over socket ----

UniqueFd connect_seqpacket(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

/// The server has closed its end.
bool closed_by_server(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, 0) <= 0;
}

TEST_F(NbdHandover, RubbishOnItsSocketIsDropped) {
  for (const std::string& message : {std::string("x"), std::string(24, '\0'), std::string(60000, 'y')}) {
    const UniqueFd peer = connect_seqpacket(path());
    EXPECT_GT(::send(peer.get(), message.data(), message.size(), MSG_NOSIGNAL), 0);
    EXPECT_TRUE(closed_by_server(peer.get()));
  }
  { const UniqueFd silent = connect_seqpacket(path()); }
  NbdClient client = front_.connect();
  client.enter("disk");
}

TEST_F(NbdHandover, AMessageWithoutADescriptorIsDropped) {
  const UniqueFd peer = connect_seqpacket(path());
  const auto message = encode_transfer(Negotiated{.fixed_newstyle = true}, {});
  EXPECT_GT(::send(peer.get(), message.data(), message.size(), MSG_NOSIGNAL), 0);
  EXPECT_TRUE(closed_by_server(peer.get()));
}

TEST_F(NbdHandover, AClosingServerClosesWhatIsHandedOver) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  NbdClient client{UniqueFd(ends[0])};
  UniqueFd given(ends[1]);
  ASSERT_TRUE(send_descriptor(path(), given.get(), encode_transfer(Negotiated{.fixed_newstyle = true}, {})).ok());
  given.reset();
  ASSERT_TRUE(back_.close().ok());
  EXPECT_TRUE(client.closed());
}

// ---- The message ----

TEST(NbdConnectionTransfer, EveryFieldSurvivesTheMessage) {
  for (unsigned bits = 0; bits < 16; ++bits) {
    const Negotiated negotiated{
        .fixed_newstyle = (bits & 1) != 0,
        .no_zeroes = (bits & 2) != 0,
        .structured_replies = (bits & 4) != 0,
        .contexts = (bits & 8) != 0 ? std::vector<std::string>{"base:allocation"} : std::vector<std::string>{},
        .meta_export = std::string(bits * 273, 'm'),
        .default_export = std::string(bits, 'd'),
        .options_seen = bits * 1000};
    const std::string unconsumed(bits * 2000, 'u');
    const auto decoded = decode_transfer(encode_transfer(negotiated, std::as_bytes(std::span(unconsumed))));
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->negotiated, negotiated);
    EXPECT_EQ(decoded->unconsumed.size(), unconsumed.size());
    EXPECT_TRUE(decoded->from_other_process);
    EXPECT_FALSE(decoded->newly_accepted);
  }
}

TEST(NbdConnectionTransfer, AMessageThatIsCutOrHasMoreIsRefused) {
  const std::string unconsumed = "bytes";
  auto message = encode_transfer(Negotiated{.meta_export = "meta", .default_export = "default"},
                                 std::as_bytes(std::span(unconsumed)));
  for (size_t length = 0; length < message.size(); ++length)
    EXPECT_FALSE(decode_transfer(std::span(message).first(length)).has_value()) << length;
  EXPECT_TRUE(decode_transfer(message).has_value());
  message.push_back(std::byte{0});
  EXPECT_FALSE(decode_transfer(message).has_value());
}

TEST(NbdConnectionTransfer, AnotherVersionOrMagicIsRefused) {
  const auto message = encode_transfer(Negotiated{}, {});
  for (size_t at = 0; at < 6; ++at) {
    auto changed = message;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(decode_transfer(changed).has_value()) << at;
  }
}

TEST(NbdConnectionTransfer, NamesAndBytesBeyondTheirLimitsAreRefused) {
  EXPECT_TRUE(decode_transfer(encode_transfer({.meta_export = std::string(name_length_max, 'x')}, {})).has_value());
  EXPECT_FALSE(
      decode_transfer(encode_transfer({.meta_export = std::string(name_length_max + 1, 'x')}, {})).has_value());
  EXPECT_FALSE(
      decode_transfer(encode_transfer({.default_export = std::string(name_length_max + 1, 'x')}, {})).has_value());
  const std::vector<std::byte> most(handshake_buffer_max);
  EXPECT_TRUE(decode_transfer(encode_transfer({}, most)).has_value());
  const std::vector<std::byte> more(handshake_buffer_max + 1);
  EXPECT_FALSE(decode_transfer(encode_transfer({}, more)).has_value());
}

}  // namespace
}  // namespace cairn::test
