// Clients that vanish, stall or say less than they began to: at every byte, in every state.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "nbd/limits.h"
#include "test/native/nbd/support/gate_device.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;
using namespace std::chrono_literals;

/// A whole session, from the client's flags to its disconnect.
std::string whole_session() {
  return be32(wire::client_fixed_newstyle | wire::client_no_zeroes) + option_bytes(wire::option_structured_reply, "") +
         option_bytes(wire::option_list, "") + option_bytes(wire::option_go, info_data("disk", {3})) +
         RequestBytes{.type = wire::command_write, .length = 1024}.encode() + std::string(1024, 'x') +
         RequestBytes{.type = wire::command_read, .length = 512}.encode() +
         RequestBytes{.type = wire::command_flush}.encode() + RequestBytes{.type = wire::command_disconnect}.encode();
}

TEST(NbdTeardown, AStreamCutAtAnyByteLeavesNothingBehind) {
  RunningServer running;
  running.add_memory("disk");
  const std::string session = whole_session();
  for (size_t length = 0; length <= session.size(); length += length < 250 || length > 1200 ? 1 : 37) {
    NbdClient client = running.connect();
    client.send(session.substr(0, length));
    ::shutdown(client.fd(), SHUT_WR);
    while (!client.receive(4096).empty()) {
    }
  }
  EXPECT_TRUE(eventually([&running] { return running.server().connections("disk") == 0; }));
  const BufferPool& pool = running.reactor().buffers();
  running.on_reactor([&pool] { EXPECT_EQ(pool.free_bytes(), pool.region().size()); });
}

TEST(NbdTeardown, AClientThatVanishesAtAnyByteLeavesNothingBehind) {
  RunningServer running(2);
  running.add_memory("disk", {.reactor = 1});
  const std::string session = whole_session();
  for (size_t length = 0; length <= session.size(); length += length < 250 || length > 1200 ? 1 : 37) {
    NbdClient client = running.connect();
    client.send(session.substr(0, length));
    client.disconnect();
  }
  EXPECT_TRUE(running.close().ok());
}

TEST(NbdTeardown, AClientThatVanishesWithRequestsInFlightFreesThem) {
  RunningServer running;
  MemoryDevice memory(mebibyte, 512);
  GateDevice gate(memory, running.reactor());
  ASSERT_TRUE(running.add("disk", gate).ok());
  gate.close_gate();
  NbdClient client = running.connect();
  client.enter("disk");
  for (uint64_t i = 0; i < 10; ++i) {
    client.send_request({.type = wire::command_write, .cookie = i, .length = 4096}, std::string(4096, 'x'));
    client.send_request({.type = wire::command_read, .cookie = i, .length = 65536});
  }
  ASSERT_TRUE(eventually([&gate] { return gate.waiting() == 20; }));
  client.disconnect();
  EXPECT_EQ(running.server().connections("disk"), 1U);  // the device is still in use
  gate.open_gate();
  EXPECT_TRUE(eventually([&running] { return running.server().connections("disk") == 0; }));
  EXPECT_EQ(gate.finished(), 20U);
  ASSERT_TRUE(running.remove("disk", false).ok());
}

TEST(NbdTeardown, AClientThatStopsInAPayloadDoesNotHoldARemovalUp) {
  RunningServer running(1, {.buffer_bytes = 4 * mebibyte}, {.close = 100ms});
  running.add_memory("disk");
  NbdClient client = running.connect();
  client.enter("disk");
  client.send_request({.type = wire::command_write, .length = 1 << 20}, std::string(1000, 'x'));
  EXPECT_TRUE(running.remove("disk", true).ok());
  EXPECT_TRUE(client.closed());
}

TEST(NbdTeardown, AHandshakeThatTakesTooLongIsEnded) {
  RunningServer running(1, {.buffer_bytes = 4 * mebibyte}, {.handshake = 50ms});
  running.add_memory("disk");
  NbdClient silent = running.connect();
  EXPECT_EQ(silent.receive(sizeof(wire::Greeting)).size(), sizeof(wire::Greeting));
  EXPECT_TRUE(silent.closed());
  NbdClient stopping = running.connect();
  stopping.greet();
  stopping.send(option_bytes(wire::option_list, "").substr(0, 15));
  EXPECT_TRUE(stopping.closed());
}

TEST(NbdTeardown, AHandshakeThatReadsNoAnswersIsEnded) {
  RunningServer running(1, {.buffer_bytes = 4 * mebibyte}, {.handshake = 200ms});
  for (int i = 0; i < 200; ++i)
    running.add_memory("disk" + std::to_string(i), {.size = 4096, .description = std::string(4000, 'd')});
  NbdClient client = running.connect();
  client.greet();
  for (int i = 0; i < 8; ++i) client.send_option(wire::option_list);
  EXPECT_TRUE(eventually([&client] { return !client.send(std::string(1, 'x')); }));
}

TEST(NbdTeardown, TheTimeOfTheHandshakeDoesNotEndASession) {
  RunningServer running(2, {.buffer_bytes = 4 * mebibyte}, {.handshake = 100ms});
  running.add_memory("disk", {.reactor = 1});
  NbdClient client = running.connect();
  client.enter("disk");
  NbdClient another = running.connect();
  EXPECT_EQ(another.receive(sizeof(wire::Greeting)).size(), sizeof(wire::Greeting));
  EXPECT_TRUE(another.closed());  // its time is up, and so would the first one's be
  EXPECT_EQ(client.read(0, 512).size(), 512U);
}

TEST(NbdTeardown, AClientThatReadsNoRepliesIsDisconnectedAfterAWhile) {
  RunningServer running(1, {.buffer_bytes = 64 * mebibyte}, {.stall_check = 30ms});
  running.add_memory("disk", {.size = 64 * mebibyte});
  NbdClient idle = running.connect();
  idle.enter("disk");
  NbdClient greedy = running.connect();
  greedy.enter("disk");
  for (uint64_t i = 0; i < 16; ++i) greedy.send_request({.type = wire::command_read, .length = 1 << 20});
  EXPECT_TRUE(eventually([&running] { return running.server().connections("disk") == 1; }));
  EXPECT_EQ(idle.read(0, 512).size(), 512U);
}

TEST(NbdTeardown, MoreRequestsThanMayBeInFlightWaitTheirTurn) {
  RunningServer running;
  MemoryDevice memory(16 * mebibyte, 512);
  GateDevice gate(memory, running.reactor());
  ASSERT_TRUE(running.add("disk", gate).ok());
  gate.close_gate();
  NbdClient client = running.connect();
  client.enter("disk");
  constexpr uint64_t count = requests_in_flight_max + 50;
  for (uint64_t i = 0; i < count; ++i)
    client.send_request({.type = wire::command_read, .cookie = i, .offset = i * 4096, .length = 4096});
  ASSERT_TRUE(eventually([&gate] { return gate.waiting() == requests_in_flight_max; }));
  gate.open_gate();
  for (uint64_t i = 0; i < count; ++i) EXPECT_EQ(client.receive_reply(4096).error, 0U);
  client.disconnect();
  ASSERT_TRUE(running.remove("disk", true).ok());
}

TEST(NbdTeardown, AConnectionHoldsNoMoreBytesThanItsShare) {
  RunningServer running(1, {.buffer_bytes = 1 * mebibyte});
  MemoryDevice memory(16 * mebibyte, 512);
  GateDevice gate(memory, running.reactor());
  ASSERT_TRUE(running.add("disk", gate).ok());
  gate.close_gate();
  NbdClient client = running.connect();
  client.enter("disk");
  for (uint64_t i = 0; i < 16; ++i) client.send_request({.type = wire::command_read, .cookie = i, .length = 65536});
  ASSERT_TRUE(eventually([&gate] { return gate.waiting() == 4; }));  // a quarter of the pool
  NbdClient other = running.connect();
  other.enter("disk");
  other.send_request({.type = wire::command_read, .length = 65536});
  EXPECT_TRUE(eventually([&gate] { return gate.waiting() == 5; }));
  gate.open_gate();
  for (uint64_t i = 0; i < 16; ++i) EXPECT_EQ(client.receive_reply(65536).payload.size(), 65536U);
  EXPECT_EQ(other.receive_reply(65536).payload.size(), 65536U);
  client.disconnect();
  other.disconnect();
  ASSERT_TRUE(running.remove("disk", true).ok());
}

TEST(NbdTeardown, AnExhaustedPoolDelaysConnectionsAndFailsNone) {
  RunningServer running(1, {.buffer_bytes = 128 * kibibyte});
  running.add_memory("disk");
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&running, i] {
      NbdClient client = running.connect();
      client.enter("disk");
      const std::string data(131072, static_cast<char>('a' + i));
      for (int round = 0; round < 20; ++round) {
        EXPECT_EQ(client.write(static_cast<uint64_t>(i) * 131072, data), 0U);
        EXPECT_EQ(client.read(static_cast<uint64_t>(i) * 131072, 131072), data);
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST(NbdTeardown, AClientThatReadsNoRepliesDoesNotHoldOthersUp) {
  RunningServer running;
  running.add_memory("disk", {.size = 64 * mebibyte});
  NbdClient greedy = running.connect();
  greedy.enter("disk");
  std::string burst;
  for (uint64_t i = 0; i < 64; ++i) burst += RequestBytes{.type = wire::command_read, .length = 1 << 20}.encode();
  greedy.send(burst);
  NbdClient other = running.connect();
  other.enter("disk");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(other.read(0, 65536).size(), 65536U);
  greedy.disconnect();
  EXPECT_TRUE(eventually([&running] { return running.server().connections("disk") == 1; }));
}

TEST(NbdTeardown, AClientThatReadsNoRepliesDoesNotHoldACloseUp) {
  RunningServer running(1, {.buffer_bytes = 64 * mebibyte}, {.close = 100ms});
  running.add_memory("disk", {.size = 64 * mebibyte});
  NbdClient greedy = running.connect();
  greedy.enter("disk");
  for (uint64_t i = 0; i < 16; ++i) greedy.send_request({.type = wire::command_read, .length = 1 << 20});
  ASSERT_FALSE(greedy.receive(16).empty());
  EXPECT_TRUE(running.close().ok());
}

}  // namespace
}  // namespace cairn::test
