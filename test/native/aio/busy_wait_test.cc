#include "aio/busy_wait.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "aio/reactor.h"

namespace cairn::test {
namespace {

using namespace std::chrono_literals;

void wait(BusyWait& busy, BusyWait::Clock::duration time, int times) {
  for (int i = 0; i < times; ++i) busy.waited(time, busy.pays());
}

TEST(BusyWait, PaysAfterShortWaits) {
  BusyWait busy;
  wait(busy, BusyWait::slept_limit, BusyWait::pays_from - 1);
  EXPECT_FALSE(busy.pays());
  wait(busy, BusyWait::slept_limit, 1);
  EXPECT_TRUE(busy.pays());
}

TEST(BusyWait, StopsSoonWhenWaitsAreLong) {
  BusyWait busy;
  wait(busy, 1us, 1000);
  wait(busy, BusyWait::limit + 1ns, 3);
  EXPECT_FALSE(busy.pays());
}

TEST(BusyWait, ALongWaitNowAndThenDoesNotStopIt) {
  BusyWait busy;
  for (int i = 0; i < 100; ++i) {
    wait(busy, 1us, BusyWait::pays_from);
    wait(busy, 1s, 1);
  }
  EXPECT_TRUE(busy.pays());
}

TEST(BusyWait, NeverPaysWhereEveryOtherWaitIsLong) {
  BusyWait busy;
  for (int i = 0; i < 100; ++i) {
    wait(busy, 1us, 1);
    wait(busy, 1ms, 1);
    EXPECT_FALSE(busy.pays());
  }
}

/// Answers `count` bytes, one by one.
Detached echo(Reactor& reactor, const File& socket, int count) {
  for (int i = 0; i < count; ++i) {
    std::byte byte{};
    const int received = co_await reactor.receive(socket, std::span(&byte, 1));
    EXPECT_EQ(received, 1);
    iovec piece{&byte, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const int sent = co_await reactor.send(socket, &message);
    EXPECT_EQ(sent, 1);
  }
}

TEST(BusyWait, AReactorSeesWhatComesWhileItWatchesAndWhileItSleeps) {
  constexpr int round_trips = 2000;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd client(ends[0]);
  std::unique_ptr<Reactor> reactor = std::move(Reactor::create({.buffer_bytes = 1 * mebibyte}).value());
  File socket = reactor->adopt(UniqueFd(ends[1]));
  std::thread peer([&client] {
    for (int i = 0; i < round_trips; ++i) {
      const char sent = static_cast<char>(i);
      char back = 0;
      ASSERT_EQ(::send(client.get(), &sent, 1, 0), 1);
      ASSERT_EQ(::recv(client.get(), &back, 1, 0), 1);
      ASSERT_EQ(back, sent);
    }
  });
  echo(*reactor, socket, round_trips);
  reactor->run([] { return true; });
  peer.join();
  socket.close();
}

}  // namespace
}  // namespace cairn::test
