// How much a server takes on, and how long it lets a client take: at each limit, and one beyond it.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "frontend/listen.h"
#include "nbd/limits.h"
#include "test/native/nbd/support/running_server.h"
#include "test/native/nbd/support/tls_files.h"

namespace cairn::test {
namespace {

using namespace nbd;
using namespace std::chrono_literals;

constexpr ReactorOptions small_pool{.buffer_bytes = 4 * mebibyte};

/// The server greets it, or closes it.
bool greeted(NbdClient& client) { return client.greet().size() == sizeof(wire::Greeting); }

TEST(NbdLimits, AsManyConnectionsAsMayBeAndOneMore) {
  RunningServer running(1, small_pool, Limits{.connections_max = 3});
  running.add_memory("disk");
  std::vector<NbdClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(running.connect());
    clients.back().enter("disk");
  }
  NbdClient fourth = running.connect();
  EXPECT_FALSE(greeted(fourth));
  EXPECT_EQ(clients[0].read(0, 512).size(), 512U);
  clients.pop_back();
  EXPECT_TRUE(eventually([&running] {
    NbdClient next = running.connect();
    return greeted(next);
  }));
}

TEST(NbdLimits, AsManyHandshakesAsMayBeAndOneMore) {
  RunningServer running(1, small_pool, Limits{.negotiations_max = 2});
  running.add_memory("disk");
  NbdClient first = running.connect();
  NbdClient second = running.connect();
  ASSERT_TRUE(greeted(first) && greeted(second));
  NbdClient third = running.connect();
  EXPECT_FALSE(greeted(third));
  EXPECT_EQ(first.go("disk").back().type, wire::reply_ack);
  EXPECT_TRUE(eventually([&running] {
    NbdClient next = running.connect();
    return greeted(next);
  }));
  EXPECT_EQ(first.read(0, 512).size(), 512U);
  EXPECT_EQ(second.go("disk").back().type, wire::reply_ack);
}

TEST(NbdLimits, AConnectionInsideTlsCountsOnceAlsoWhenItHasMoved) {
  TlsFiles files;
  RunningServer back(1, small_pool, Limits{});
  back.add_memory("disk");
  const std::string path = back.directory() + "/handover";
  ASSERT_TRUE(back.server().listen_handover(path).ok());
  RunningServer front(1, small_pool, Limits{.connections_max = 2});
  ASSERT_TRUE(front.server().add_export({.name = "disk", .target = RemoteTarget{path}}).ok());
  ASSERT_TRUE(front.server().set_tls(files.certificates(TlsSettings::Mode::require)).ok());
  const auto context = client_context(files.authority(), nullptr, TLS1_3_VERSION);
  std::vector<NbdClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(front.connect());
    clients.back().greet();
    clients.back().option(wire::option_starttls);
    ASSERT_TRUE(clients.back().start_tls(context.get()));
    EXPECT_EQ(clients.back().go("disk").back().type, wire::reply_ack);
  }
  NbdClient third = front.connect();
  EXPECT_FALSE(greeted(third));
  clients.clear();
  EXPECT_TRUE(eventually([&front] {
    NbdClient next = front.connect();
    return greeted(next);
  }));
}

TEST(NbdLimits, AClientThatSaysNothingIsClosedBeforeOneThatHasBegun) {
  RunningServer running(1, small_pool, TimeLimits{.first_byte = 50ms});
  running.add_memory("disk");
  NbdClient begun = running.connect();
  begun.greet();
  EXPECT_EQ(begun.option(wire::option_list).back().type, wire::reply_ack);
  NbdClient silent = running.connect();
  EXPECT_EQ(silent.receive(sizeof(wire::Greeting)).size(), sizeof(wire::Greeting));
  EXPECT_TRUE(silent.closed());
  EXPECT_EQ(begun.go("disk").back().type, wire::reply_ack);
}

class NbdSlowClient : public testing::Test {
 protected:
  NbdClient enter() {
    NbdClient client = running_.connect();
    client.enter("disk");
    return client;
  }
  bool eventually_alone() {
    return eventually([this] { return running_.server().connections("disk") == 1; });
  }

  RunningServer running_{1, {.buffer_bytes = 64 * mebibyte}, TimeLimits{.request = 200ms, .stall_check = 20ms}};
  MemoryDevice* disk_ = &running_.add_memory("disk", {.size = 64 * mebibyte});
  NbdClient patient_ = enter();
};

TEST_F(NbdSlowClient, HalfAHeaderIsNotWaitedForForEver) {
  NbdClient client = enter();
  client.send(RequestBytes{.type = wire::command_read, .length = 512}.encode().substr(0, 27));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(patient_.read(0, 512).size(), 512U);
}

TEST_F(NbdSlowClient, HalfAPayloadIsNotWaitedForForEver) {
  for (size_t length : {512UL, 100'000UL, 4'000'256UL}) {
    NbdClient client = enter();
    client.send(RequestBytes{.type = wire::command_write, .length = length}.encode() + std::string(length - 1, 'x'));
    EXPECT_TRUE(client.closed()) << length;
  }
  EXPECT_EQ(patient_.read(0, 512), std::string(512, '\0'));
}

TEST_F(NbdSlowClient, ARefusedPayloadIsNotWaitedForForEver) {
  NbdClient client = enter();
  client.send(RequestBytes{.type = wire::command_write, .offset = 1, .length = 4096}.encode() + "x");
  EXPECT_TRUE(client.closed());
}

TEST_F(NbdSlowClient, APayloadInDropsIsNotTakenForEver) {
  NbdClient client = enter();
  client.send_request({.type = wire::command_write, .length = 4 * mebibyte});
  EXPECT_TRUE(eventually([&] { return !client.send("x") || running_.server().connections("disk") == 1; }));
  EXPECT_TRUE(eventually_alone());
}

TEST_F(NbdSlowClient, RepliesInSipsAreNotSentForEver) {
  NbdClient client = enter();
  for (uint64_t i = 0; i < 8; ++i)
    client.send_request({.type = wire::command_read, .cookie = i, .length = 4 * mebibyte});
  EXPECT_TRUE(eventually([&] { return client.receive(1).empty() || running_.server().connections("disk") == 1; }));
  EXPECT_TRUE(eventually_alone());
  EXPECT_EQ(patient_.read(0, 512).size(), 512U);
}

TEST_F(NbdSlowClient, OneThatIsIdleMayStay) {
  NbdClient slow = enter();
  slow.send("x");
  EXPECT_TRUE(slow.closed());  // longer than the limit has passed
  EXPECT_EQ(patient_.read(0, 512).size(), 512U);
}

TEST(NbdLimits, TcpConnectionsAreProbedWhenTheyAreSilent) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_client_options(fd.get(), ListenerKind::tcp);
  const auto value = [&fd](int level, int name) {
    int number = 0;
    socklen_t length = sizeof number;
    EXPECT_EQ(::getsockopt(fd.get(), level, name, &number, &length), 0);
    return number;
  };
  EXPECT_NE(value(SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_NE(value(IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPIDLE), keepalive_idle_seconds);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPINTVL), keepalive_interval_seconds);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPCNT), keepalive_count);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_USER_TIMEOUT), static_cast<int>(unacknowledged_milliseconds));
}

}  // namespace
}  // namespace cairn::test
