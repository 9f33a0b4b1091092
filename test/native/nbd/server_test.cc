// Exports and listeners, and what happens to connections when they go.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "nbd/limits.h"
#include "test/native/nbd/support/gate_device.h"
#include "test/native/nbd/support/running_server.h"
#include "test/native/support/on_reactor.h"

namespace cairn::test {
namespace {

using namespace nbd;

template <typename T>
std::string code_of(const Result<T>& result) {
  return result.ok() ? "ok" : result.error().code;
}

// ---- Exports ----

TEST(NbdServer, RefusesASecondExportOfOneName) {
  RunningServer running;
  MemoryDevice device(4096, 512);
  running.add_memory("disk");
  EXPECT_EQ(code_of(running.add("disk", device)), "EXPORT_EXISTS");
}

TEST(NbdServer, RefusesExportsThatCannotBe) {
  RunningServer running;
  MemoryDevice device(4096, 512);
  OnReactor stranger;
  const LocalTarget target{&running.reactor(), &device};
  const auto add = [&running](ExportOptions options) {
    return code_of(running.server().add_export(std::move(options)));
  };
  EXPECT_EQ(add({.name = "", .target = target}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = std::string(4097, 'n'), .target = target}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = std::string("a\0b", 3), .target = target}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = "d", .description = std::string(4097, 'd'), .target = target}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = "d", .target = LocalTarget{&running.reactor(), nullptr}}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = "d", .target = LocalTarget{&stranger.reactor(), &device}}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = "d", .target = RemoteTarget{""}}), "INVALID_ARGUMENT");
  EXPECT_EQ(add({.name = std::string(4096, 'n'), .target = target}), "ok");
}

TEST(NbdServer, CountsTheConnectionsOfAnExport) {
  RunningServer running;
  running.add_memory("disk");
  EXPECT_EQ(running.server().connections("disk"), 0U);
  NbdClient first = running.connect();
  first.greet();
  EXPECT_EQ(running.server().connections("disk"), 0U);
  first.go("disk");
  NbdClient second = running.connect();
  second.enter("disk");
  EXPECT_EQ(running.server().connections("disk"), 2U);
  EXPECT_EQ(running.server().connections("nope"), 0U);
  first.disconnect();
  EXPECT_TRUE(eventually([&running] { return running.server().connections("disk") == 1; }));
}

TEST(NbdServer, KeepsAnExportWithClientsUnlessForced) {
  RunningServer running;
  running.add_memory("disk");
  NbdClient client = running.connect();
  client.enter("disk");
  EXPECT_EQ(code_of(running.remove("disk", false)), "VOLUME_IN_USE");
  EXPECT_EQ(client.write(0, std::string(512, 'x')), 0U);
  EXPECT_EQ(code_of(running.remove("disk", true)), "ok");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(code_of(running.remove("disk", true)), "EXPORT_MISSING");
}

TEST(NbdServer, RemovesAnExportWithoutClients) {
  RunningServer running;
  running.add_memory("disk");
  EXPECT_EQ(code_of(running.remove("disk", false)), "ok");
  NbdClient client = running.connect();
  client.greet();
  EXPECT_EQ(client.go("disk").at(0).type, wire::reply_error_unknown);
  running.add_memory("disk");
  EXPECT_EQ(client.go("disk").back().type, wire::reply_ack);
}

TEST(NbdServer, RemovalWaitsForRequestsInFlightAndAnswersThem) {
  RunningServer running;
  MemoryDevice memory(mebibyte, 512);
  GateDevice gate(memory, running.reactor());
  ASSERT_TRUE(running.add("disk", gate).ok());
  gate.close_gate();
  NbdClient client = running.connect();
  client.enter("disk");
  client.send_request({.type = wire::command_write, .cookie = 1, .length = 512}, std::string(512, 'x'));
  client.send_request({.type = wire::command_read, .cookie = 2, .offset = 4096, .length = 512});
  ASSERT_TRUE(eventually([&gate] { return gate.waiting() == 2; }));

  std::atomic<bool> removed = false;
  running.server().remove_export("disk", true, [&removed](Result<Unit> result) { removed = result.ok(); });
  client.send_request({.type = wire::command_flush, .cookie = 3});
  const Reply late = client.receive_reply();  // arrived after the removal had begun
  EXPECT_EQ(late.cookie, 3U);
  EXPECT_EQ(late.error, wire::error_shutdown);
  EXPECT_FALSE(removed);

  gate.open_gate();
  EXPECT_EQ(client.receive_reply().cookie, 1U);
  EXPECT_EQ(client.receive_reply(512).cookie, 2U);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(eventually([&removed] { return removed.load(); }));
}

TEST(NbdServer, ADeviceIsNotUsedAfterItsRemovalUnderLoad) {
  for (int round = 0; round < 20; ++round) {
    RunningServer running(2);
    auto memory = std::make_unique<MemoryDevice>(mebibyte, 512);
    ASSERT_TRUE(running.add("disk", *memory, 1).ok());
    std::vector<std::thread> clients;
    std::atomic<int> working = 0;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&running, &working] {
        NbdClient client = running.connect();
        client.enter("disk");
        ++working;
        const std::string write =
            RequestBytes{.type = wire::command_write, .length = 4096}.encode() + std::string(4096, 'x');
        while (client.send(write) && client.receive(16).size() == 16) {
        }
      });
    }
    ASSERT_TRUE(eventually([&working] { return working == 4; }));
    EXPECT_EQ(code_of(running.remove("disk", true)), "ok");
    memory.reset();
    for (std::thread& client : clients) client.join();
  }
}

// ---- Close ----

TEST(NbdServer, CloseFinishesWhatIsInFlight) {
  RunningServer running;
  MemoryDevice memory(mebibyte, 512);
  GateDevice gate(memory, running.reactor());
  ASSERT_TRUE(running.add("disk", gate).ok());
  gate.close_gate();
  NbdClient client = running.connect();
  client.enter("disk");
  client.send_request({.type = wire::command_write, .cookie = 9, .length = 4096}, std::string(4096, 'x'));
  ASSERT_TRUE(eventually([&gate] { return gate.waiting() == 1; }));
  std::atomic<bool> closed = false;
  running.server().close([&closed](Result<Unit> result) { closed = result.ok(); });
  gate.open_gate();
  EXPECT_EQ(client.receive_reply().cookie, 9U);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(eventually([&closed] { return closed.load(); }));
}

TEST(NbdServer, CloseEndsHandshakesAndIdleClients) {
  RunningServer running;
  running.add_memory("disk");
  NbdClient silent = running.connect();
  NbdClient greeted = running.connect();
  greeted.greet();
  NbdClient idle = running.connect();
  idle.enter("disk");
  EXPECT_EQ(silent.receive(18).size(), 18U);
  EXPECT_EQ(code_of(running.close()), "ok");
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(greeted.closed());
  EXPECT_TRUE(idle.closed());
}

TEST(NbdServer, CloseUnderLoadAnswersOrDropsEveryRequest) {
  for (int round = 0; round < 10; ++round) {
    RunningServer running(2);
    running.add_memory("near");
    running.add_memory("far", {.reactor = 1});
    std::vector<std::thread> clients;
    std::atomic<int> working = 0;
    for (int i = 0; i < 6; ++i) {
      clients.emplace_back([&running, &working, name = i % 2 == 0 ? "near" : "far"] {
        NbdClient client = running.connect();
        client.enter(name);
        ++working;
        const std::string read = RequestBytes{.type = wire::command_read, .length = 65536}.encode();
        while (client.send(read + read) && !client.receive(2 * (65536 + 16)).empty()) {
        }
      });
    }
    ASSERT_TRUE(eventually([&working] { return working == 6; }));
    EXPECT_EQ(code_of(running.close()), "ok");
    for (std::thread& client : clients) client.join();
  }
}

TEST(NbdServer, EverythingIsRefusedAfterClose) {
  RunningServer running;
  running.add_memory("disk");
  EXPECT_EQ(code_of(running.close()), "ok");
  MemoryDevice device(4096, 512);
  EXPECT_EQ(code_of(running.add("other", device)), "CLOSED");
  EXPECT_EQ(code_of(running.remove("disk", true)), "CLOSED");
  EXPECT_EQ(code_of(running.server().listen_tcp("127.0.0.1", 0)), "CLOSED");
  EXPECT_EQ(code_of(running.server().listen_unix(running.directory() + "/x")), "CLOSED");
  EXPECT_EQ(code_of(running.server().listen_handover(running.directory() + "/x")), "CLOSED");
  EXPECT_EQ(code_of(running.close()), "CLOSED");
}

TEST(NbdServer, CloseRemovesTheSocketFiles) {
  RunningServer running;
  ASSERT_TRUE(running.server().listen_handover(running.directory() + "/handover").ok());
  EXPECT_TRUE(std::filesystem::exists(running.socket_path()));
  EXPECT_EQ(code_of(running.close()), "ok");
  EXPECT_FALSE(std::filesystem::exists(running.socket_path()));
  EXPECT_FALSE(std::filesystem::exists(running.directory() + "/handover"));
}

// ---- Listeners ----

TEST(NbdServer, ListensOnAPortThatTheSystemChooses) {
  RunningServer running;
  Result<TcpAddress> first = running.server().listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first.value().host, "127.0.0.1");
  EXPECT_NE(first.value().port, 0);
  EXPECT_EQ(code_of(running.server().listen_tcp("127.0.0.1", first.value().port)), "EADDRINUSE");
  EXPECT_EQ(code_of(running.server().listen_tcp("localhost", 0)), "ok");
}

TEST(NbdServer, GivesAnAddressUpAndKeepsTheConnections) {
  RunningServer running;
  running.add_memory("disk");
  const TcpAddress address = running.server().listen_tcp("127.0.0.1", 0).value();
  NbdClient client = NbdClient::connect_tcp(address);
  client.greet();
  client.go("disk");
  for (int time = 0; time < 2; ++time) {  // a second time there is nothing to do
    std::promise<Result<Unit>> ended;
    running.server().unlisten_tcp(address, [&ended](Result<Unit> result) { ended.set_value(std::move(result)); });
    EXPECT_EQ(code_of(ended.get_future().get()), "ok");
  }
  EXPECT_EQ(code_of(running.server().listen_tcp("0.0.0.0", address.port)), "ok");
  EXPECT_EQ(client.read(0, 4096).size(), 4096U);
}

TEST(NbdServer, SaysWhenAnAddressIsNotThisHosts) {
  RunningServer running;
  EXPECT_EQ(code_of(running.server().listen_tcp("192.0.2.1", 0)), "EADDRNOTAVAIL");
  EXPECT_EQ(code_of(running.server().listen_tcp("no such host", 0)), "EADDRNOTAVAIL");
}

TEST(NbdServer, ReplacesAStaleSocketFileAndNoLiveOne) {
  RunningServer running;
  const std::string path = running.directory() + "/stale";
  {
    RunningServer before;
    ASSERT_TRUE(before.server().listen_unix(path).ok());
    EXPECT_EQ(code_of(running.server().listen_unix(path)), "EADDRINUSE");
    std::filesystem::rename(path, path + ".kept");  // its server does not find it any more, and leaves it
  }
  std::filesystem::rename(path + ".kept", path);
  EXPECT_EQ(code_of(running.server().listen_unix(path)), "ok");
  running.add_memory("disk");
  NbdClient::connect_unix(path).enter("disk");
}

TEST(NbdServer, LeavesAFileAloneThatIsNoSocket) {
  RunningServer running;
  const std::string path = running.directory() + "/file";
  std::ofstream(path) << "precious";
  EXPECT_EQ(code_of(running.server().listen_unix(path)), "EADDRINUSE");
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

TEST(NbdServer, RefusesASocketPathThatIsTooLong) {
  RunningServer running;
  EXPECT_EQ(code_of(running.server().listen_unix("/tmp/" + std::string(110, 'x'))), "ENAMETOOLONG");
  EXPECT_EQ(code_of(running.server().listen_unix("/no/such/directory/socket")), "ENOENT");
}

// ---- Many connections ----

TEST(NbdServer, AHundredConnectionsSeeEachOthersWrites) {
  RunningServer running(2);
  running.add_memory("disk", {.reactor = 1});
  std::vector<NbdClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(running.connect());
    clients.back().enter("disk", i % 2 == 0);
  }
  EXPECT_EQ(running.server().connections("disk"), 100U);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(clients[i].write(i * 512, std::string(512, static_cast<char>(i))), 0U);
  for (uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(clients[99 - i].read(i * 512, 512), std::string(512, static_cast<char>(i)));
  clients.clear();
  EXPECT_TRUE(eventually([&running] { return running.server().connections("disk") == 0; }));
}

TEST(NbdServer, RefusesConnectionsBeyondTheLimitOfAnExport) {
  RunningServer running;
  running.add_memory("disk");
  std::vector<NbdClient> clients;
  for (size_t i = 0; i < connections_per_export_max; ++i) {
    clients.push_back(running.connect());
    clients.back().enter("disk");
  }
  NbdClient refused = running.connect();
  refused.greet();
  EXPECT_EQ(refused.go("disk").at(0).type, wire::reply_error_policy);
  clients.pop_back();
  EXPECT_TRUE(eventually([&refused] { return refused.go("disk").back().type == wire::reply_ack; }));
}

}  // namespace
}  // namespace cairn::test
