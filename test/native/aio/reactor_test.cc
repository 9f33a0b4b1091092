#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <numeric>
#include <thread>

#include "aio/inline_writes.h"
#include "aio/lone_calls.h"
#include "base/aligned_memory.h"
#include "test/native/support/on_reactor.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {
namespace {

using namespace std::chrono_literals;

std::vector<std::byte> pattern(size_t length) {
  std::vector<std::byte> bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

UniqueFd open_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

struct SocketPair {
  SocketPair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    near = UniqueFd(fds[0]);
    far = UniqueFd(fds[1]);
  }
  UniqueFd near;
  UniqueFd far;
};

class ReactorTest : public testing::Test {
 protected:
  OnReactor on_;
  Reactor& reactor_ = on_.reactor();
  TemporaryDirectory directory_;
};

// ---- Files ----

TEST_F(ReactorTest, WritesAndReadsAFileFromOrdinaryAndRegisteredMemory) {
  const File file = reactor_.adopt(open_file(directory_.path() + "/file"));
  const auto work = [](Reactor& reactor, const File& opened) -> Task<bool> {
    const std::vector<std::byte> data = pattern(100'000);
    std::vector<std::byte> plain(data.size());
    IoBuffer registered = co_await reactor.buffers().acquire(data.size());
    if (!(co_await reactor.write(opened, data, 4096, true)).ok()) co_return false;
    if (!(co_await reactor.read(opened, plain, 4096)).ok()) co_return false;
    if (!(co_await reactor.read(opened, registered.first(data.size()), 4096)).ok()) co_return false;
    co_return plain == data&& std::ranges::equal(registered.first(data.size()), data);
  };
  EXPECT_TRUE(on_.wait(work(reactor_, file)));
}

TEST_F(ReactorTest, AWriteIntoThePageCacheIsDoneAtOnceAndALongOrDurableOneIsNot) {
  const File file = reactor_.adopt(open_file(directory_.path() + "/file"));
  const auto work = [](Reactor& reactor, const File& opened, size_t length, bool durable) -> Task<bool> {
    const std::vector<std::byte> data = pattern(length);
    Reactor::Transfer write = reactor.write(opened, data, 0, durable);
    bool suspended = true;
    const auto watch = [](Reactor::Transfer& transfer, bool& waits) -> Task<Status> {
      const Status status = co_await transfer;
      waits = false;
      co_return status;
    };
    Status status;
    const auto begin = [](Task<Status> task, Status& into) -> Detached { into = co_await std::move(task); };
    begin(watch(write, suspended), status);
    const bool waited = suspended;
    while (suspended) co_await reactor.sleep(1ms);
    EXPECT_TRUE(status.ok());
    std::vector<std::byte> found(length);
    EXPECT_TRUE((co_await reactor.read(opened, found, 0)).ok());
    EXPECT_EQ(found, data);
    co_return waited;
  };
  EXPECT_FALSE(on_.wait(work(reactor_, file, 4096, false)));
  EXPECT_TRUE(on_.wait(work(reactor_, file, 4096, true)));
  EXPECT_TRUE(on_.wait(work(reactor_, file, InlineWrites::length_max + 4096, false)));
}

TEST_F(ReactorTest, AReadBeyondTheEndOfAFileIsAnError) {
  const File file = reactor_.adopt(open_file(directory_.path() + "/file"));
  const auto work = [](Reactor& reactor, const File& opened) -> Task<std::pair<Status, Status>> {
    const std::vector<std::byte> data = pattern(1000);
    EXPECT_TRUE((co_await reactor.write(opened, data, 0)).ok());
    std::vector<std::byte> exact(1000);
    std::vector<std::byte> longer(1001);
    const Status first = co_await reactor.read(opened, exact, 0);
    const Status second = co_await reactor.read(opened, longer, 0);
    co_return std::pair(first, second);
  };
  const auto [exact, longer] = on_.wait(work(reactor_, file));
  EXPECT_TRUE(exact.ok());
  EXPECT_EQ(longer.error(), EIO);
}

TEST_F(ReactorTest, AReadGoesOnAfterEveryShortTransfer) {
  // A pipe gives what is there. In whole sectors: a transfer goes on from a sector boundary.
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const File pipe = reactor_.adopt(UniqueFd(ends[0]));
  const UniqueFd writer(ends[1]);
  const std::vector<std::byte> data = pattern(10 * 1024);
  std::thread slow([&] {
    for (size_t at = 0; at < data.size(); at += 1024) EXPECT_EQ(::write(writer.get(), data.data() + at, 1024), 1024);
  });
  std::vector<std::byte> received(data.size());
  const auto work = [](Reactor& reactor, const File& from, std::span<std::byte> into) -> Task<Status> {
    co_return co_await reactor.read(from, into, 0);
  };
  EXPECT_TRUE(on_.wait(work(reactor_, pipe, received)).ok());
  slow.join();
  EXPECT_EQ(received, data);
}

TEST_F(ReactorTest, ReportsWhatTheSystemSays) {
  const UniqueFd keep = open_file(directory_.path() + "/file");
  const File file = reactor_.adopt(UniqueFd(::open((directory_.path() + "/file").c_str(), O_RDONLY | O_CLOEXEC)));
  const auto work = [](Reactor& reactor, const File& opened) -> Task<Status> {
    const std::vector<std::byte> data = pattern(512);
    co_return co_await reactor.write(opened, data, 0);
  };
  EXPECT_EQ(on_.wait(work(reactor_, file)).error(), EBADF);
}

TEST_F(ReactorTest, SyncsAllocatesRenamesAndUnlinks) {
  const std::string path = directory_.path() + "/file";
  const File file = reactor_.adopt(open_file(path));
  const auto work = [](Reactor& reactor, const File& opened, std::string from) -> Task<std::array<int, 6>> {
    const std::string to = from + ".new";
    std::array<int, 6> results{};
    results[0] = co_await reactor.fallocate(opened, 0, 0, 65536);
    results[1] = co_await reactor.sync_data(opened);
    results[2] = co_await reactor.sync_all(opened);
    results[3] = co_await reactor.rename(from.c_str(), to.c_str());
    results[4] = co_await reactor.unlink(to.c_str());
    results[5] = co_await reactor.unlink(to.c_str());
    co_return results;
  };
  EXPECT_EQ(on_.wait(work(reactor_, file, path)), (std::array<int, 6>{0, 0, 0, 0, 0, -ENOENT}));
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(ReactorTest, MoreFilesThanRegisteredSlotsWork) {
  std::vector<File> files;
  for (int i = 0; i < 300; ++i) files.push_back(reactor_.adopt(open_file(directory_.path() + "/" + std::to_string(i))));
  const auto work = [](Reactor& reactor, const std::vector<File>& all) -> Task<int> {
    int correct = 0;
    const std::vector<std::byte> data = pattern(16);
    for (const File& file : all) correct += (co_await reactor.write(file, data, 0)).ok() ? 1 : 0;
    co_return correct;
  };
  EXPECT_EQ(on_.wait(work(reactor_, files)), 300);
}

TEST_F(ReactorTest, AReleasedDescriptorStaysOpenAndItsSlotIsFree) {
  for (int i = 0; i < 10'000; ++i) {
    SocketPair pair;
    File file = reactor_.adopt(std::move(pair.near));
    const UniqueFd released = file.release();
    ASSERT_FALSE(file.valid());
    ASSERT_EQ(::send(released.get(), "x", 1, 0), 1);
  }
}

TEST_F(ReactorTest, MoreOperationsAtOnceThanTheRingHasEntries) {
  const File file = reactor_.adopt(open_file(directory_.path() + "/file"));
  constexpr int count = ring_entries * 3 + 7;
  int done = 0;
  const auto one = [](Reactor& reactor, const File& opened, int i) -> Task<> {
    const std::array<std::byte, 16> data{static_cast<std::byte>(i)};
    EXPECT_TRUE((co_await reactor.write(opened, data, static_cast<uint64_t>(i) * 16)).ok());
  };
  for (int i = 0; i < count; ++i) run_detached(one(reactor_, file, i), [&done] { ++done; });
  reactor_.run([&done] { return done == count; });
  EXPECT_EQ(std::filesystem::file_size(directory_.path() + "/file"), count * 16U);
}

// ---- Sockets ----

TEST_F(ReactorTest, ReceivesWhatIsThereOrAllThatIsAskedFor) {
  SocketPair pair;
  const File near = reactor_.adopt(std::move(pair.near));
  std::thread sender([&pair] {
    for (int i = 0; i < 10; ++i) EXPECT_EQ(::send(pair.far.get(), "0123456789", 10, 0), 10);
    pair.far.reset();
  });
  const auto work = [](Reactor& reactor, const File& socket) -> Task<std::array<int, 3>> {
    std::vector<std::byte> into(95);
    const int some = co_await reactor.receive(socket, std::span(into).first(5));
    const int all = co_await reactor.receive(socket, into, MSG_WAITALL);
    const int end = co_await reactor.receive(socket, into);
    co_return std::array<int, 3>{some, all, end};
  };
  EXPECT_EQ(on_.wait(work(reactor_, near)), (std::array<int, 3>{5, 95, 0}));
  sender.join();
}

TEST_F(ReactorTest, SendsEverythingToASlowReader) {
  SocketPair pair;
  const File near = reactor_.adopt(std::move(pair.near));
  std::vector<std::byte> data = pattern(3'000'000);
  std::vector<std::byte> received(data.size());
  std::thread reader([&] {
    EXPECT_EQ(::recv(pair.far.get(), received.data(), received.size(), MSG_WAITALL), static_cast<ssize_t>(data.size()));
  });
  const auto work = [](Reactor& reactor, const File& socket, std::span<std::byte> all) -> Task<int> {
    iovec pieces[2] = {{all.data(), 1000}, {all.data() + 1000, all.size() - 1000}};
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    co_return co_await reactor.send(socket, &message);
  };
  EXPECT_EQ(on_.wait(work(reactor_, near, data)), 3'000'000);
  reader.join();
  EXPECT_EQ(received, data);
}

TEST_F(ReactorTest, SendingToAClosedPeerIsAnErrorAndNoSignal) {
  SocketPair pair;
  const File near = reactor_.adopt(std::move(pair.near));
  pair.far.reset();
  const auto work = [](Reactor& reactor, const File& socket) -> Task<int> {
    iovec piece{const_cast<char*>("x"), 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    co_return co_await reactor.send(socket, &message);
  };
  EXPECT_EQ(on_.wait(work(reactor_, near)), -EPIPE);
}

TEST_F(ReactorTest, ShutdownEndsAReceive) {
  SocketPair pair;
  const File near = reactor_.adopt(std::move(pair.near));
  int result = -1;
  const auto work = [](Reactor& reactor, const File& socket) -> Task<int> {
    std::array<std::byte, 16> into;
    co_return co_await reactor.receive(socket, into);
  };
  run_detached(work(reactor_, near), [&result](int received) { result = received; });
  reactor_.post([&near] { ::shutdown(near.fd(), SHUT_RDWR); });
  reactor_.run([&result] { return result != -1; });
  EXPECT_EQ(result, 0);
}

TEST_F(ReactorTest, CancelEndsWhatIsUnderWayOnADescriptor) {
  SocketPair pair;
  const File near = reactor_.adopt(std::move(pair.near));
  std::vector<int> results;
  const auto wait = [](Reactor& reactor, const File& socket) -> Task<int> {
    co_return co_await reactor.poll(socket, POLLIN);
  };
  const auto cancel = [](Reactor& reactor, const File& socket) -> Task<int> {
    co_return co_await reactor.cancel(socket);
  };
  for (int i = 0; i < 3; ++i) run_detached(wait(reactor_, near), [&results](int result) { results.push_back(result); });
  run_detached(cancel(reactor_, near), [](int count) { EXPECT_EQ(count, 3); });
  reactor_.run([&results] { return results.size() == 3; });
  EXPECT_EQ(results, std::vector<int>(3, -ECANCELED));
}

TEST_F(ReactorTest, AcceptsConnections) {
  const std::string path = directory_.path() + "/socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  const File listener = reactor_.adopt(std::move(listening));
  const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const auto work = [](Reactor& reactor, const File& socket) -> Task<int> {
    co_return co_await reactor.accept(socket);
  };
  const UniqueFd accepted(on_.wait(work(reactor_, listener)));
  EXPECT_TRUE(accepted.valid());
  EXPECT_NE(::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC, 0);
}

// ---- Work from elsewhere, and the end ----

TEST_F(ReactorTest, RunsWhatIsPostedFromSeveralThreadsInTheOrderOfEach) {
  constexpr int thread_count = 4;
  constexpr int per_thread = 2000;
  std::array<int, thread_count> last{};
  int total = 0;
  std::vector<std::thread> posters;
  for (int t = 0; t < thread_count; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 1; i <= per_thread; ++i) {
        reactor_.post([&, t, i] {
          EXPECT_EQ(last[static_cast<size_t>(t)] + 1, i);
          last[static_cast<size_t>(t)] = i;
          ++total;
        });
      }
    });
  }
  reactor_.run([&total] { return total == thread_count * per_thread; });
  for (std::thread& poster : posters) poster.join();
}

TEST_F(ReactorTest, DeferredWorkRunsOnceAtTheEndOfALoop) {
  struct Counter final : Deferred {
    int runs = 0;
    void run_deferred() override { ++runs; }
  } counter;
  int resumed = 0;
  const auto work = [](Reactor& reactor, Counter& deferred, int& count) -> Task<> {
    for (int i = 0; i < 3; ++i) reactor.defer(&deferred);
    EXPECT_EQ(deferred.runs, count);
    co_await reactor.sleep(1ms);
    ++count;
  };
  const auto twice = [&work](Reactor& reactor, Counter& deferred, int& count) -> Task<> {
    co_await work(reactor, deferred, count);
    EXPECT_EQ(deferred.runs, 1);
    co_await work(reactor, deferred, count);
    EXPECT_EQ(deferred.runs, 2);
  };
  on_.wait(twice(reactor_, counter, resumed));
}

TEST(ReactorThreadTest, EndsOnlyWhenWhatIsUnderWayHasEnded) {
  std::atomic<bool> finished = false;
  {
    auto thread = ReactorThread::start({.buffer_bytes = 1 * mebibyte});
    ASSERT_TRUE(thread.ok());
    Reactor& reactor = thread.value()->reactor();
    const auto slow = [](Reactor& on) -> Task<> {
      for (int i = 0; i < 5; ++i) co_await on.sleep(2ms);
    };
    reactor.post([&] { run_detached(slow(reactor), [&finished] { finished = true; }); });
  }
  EXPECT_TRUE(finished);
}

TEST(InlineWritesTest, PauseWhenOneHasTakenTooLong) {
  InlineWrites writes;
  const InlineWrites::Clock::time_point start{1h};
  EXPECT_TRUE(writes.allowed(4096, start));
  EXPECT_FALSE(writes.allowed(InlineWrites::length_max + 1, start));
  writes.took(start, start + InlineWrites::patience);
  EXPECT_TRUE(writes.allowed(4096, start + InlineWrites::patience));
  const auto long_time = InlineWrites::patience + 1us;
  const auto late = start + long_time;
  writes.took(start, late);
  EXPECT_FALSE(writes.allowed(4096, late));
  EXPECT_FALSE(writes.allowed(4096, late + InlineWrites::pause * long_time - 1us));
  EXPECT_TRUE(writes.allowed(4096, late + InlineWrites::pause * long_time));
}

TEST(LoneCallsTest, OnlyAfterOperationsThatCameOneByOne) {
  LoneCalls calls;
  for (int i = 1; i < LoneCalls::streak_min; ++i) {
    EXPECT_FALSE(calls.begin(0, 4096));
    calls.end_turn();
  }
  EXPECT_TRUE(calls.begin(0, 4096));
  EXPECT_FALSE(calls.begin(0, 4096)) << "the second of a turn";
  calls.end_turn();
  EXPECT_FALSE(calls.begin(0, 4096)) << "it starts again";
}

class LoneCallsStreak : public ::testing::Test {
 protected:
  LoneCallsStreak() {
    for (int i = 0; i < LoneCalls::streak_min; ++i) next();
  }
  bool next(size_t under_way = 0, size_t length = 4096) {
    calls.end_turn();
    return calls.begin(under_way, length);
  }
  LoneCalls calls;
};

TEST_F(LoneCallsStreak, EndsWhereAnotherOperationIsUnderWay) {
  EXPECT_TRUE(next());
  EXPECT_FALSE(next(1));
  EXPECT_FALSE(next());
}

TEST_F(LoneCallsStreak, WhatAMergeDoesNowAndThenLeavesAClientMostlyAlone) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(next(1));
    next();
    next();
    EXPECT_TRUE(calls.mostly_alone());
  }
}

TEST_F(LoneCallsStreak, TwoAtATimeAreNotAlone) {
  for (int i = 0; i < LoneCalls::streak_min; ++i) {
    next();
    next(1);
  }
  EXPECT_FALSE(calls.mostly_alone());
}

TEST_F(LoneCallsStreak, LargeOnesGoThroughTheRing) {
  EXPECT_FALSE(next(0, LoneCalls::length_max + 1));
  EXPECT_TRUE(next());
}

TEST_F(LoneCallsStreak, ASlowOneKeepsTheNextFromTheThread) {
  const LoneCalls::Clock::time_point now{1h};
  calls.took(now - LoneCalls::patience, now);
  EXPECT_TRUE(calls.allowed(now));
  calls.took(now - 1s, now);
  EXPECT_FALSE(calls.allowed(now + LoneCalls::pause * 1s - 1us));
  EXPECT_TRUE(calls.allowed(now + LoneCalls::pause * 1s));
}

TEST(ReactorFiles, ReadsWritesAndSyncsAloneDoWhatTheyDoInTheRing) {
  OnReactor loop;
  TemporaryDirectory directory;
  UniqueFd fd = open_file(directory.path() + "/file");
  ASSERT_EQ(::ftruncate(fd.get(), 8192), 0);
  Reactor& reactor = loop.reactor();
  File file = reactor.adopt(std::move(fd));
  const auto one_by_one = [](Reactor& on, File& target) -> Task<Status> {
    AlignedMemory memory(4096);
    for (int i = 0; i < 3 * LoneCalls::streak_min; ++i) {
      std::fill(memory.span().begin(), memory.span().end(), static_cast<std::byte>(i));
      Status status = co_await on.write(target, memory.span(), 4096, true);
      if (status.ok()) status = Status::from_result(co_await on.sync_data(target));
      std::fill(memory.span().begin(), memory.span().end(), std::byte{0xff});
      if (status.ok()) status = co_await on.read(target, memory.span(), 4096);
      if (!status.ok()) co_return status;
      if (memory.span().back() != static_cast<std::byte>(i)) co_return Status::from_errno(EBADMSG);
      co_await on.sleep({});
    }
    // Past its end.
    co_return co_await on.read(target, memory.span(), 8192);
  };
  EXPECT_EQ(loop.wait(one_by_one(reactor, file)).error(), EIO);
}

int own_nice() { return ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())); }

/// Of a thread that asks for it.
bool may_go_first() {
  bool permitted = false;
  std::thread([&permitted] {
    permitted = ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), -10) == 0;
  }).join();
  return permitted;
}

TEST(ReactorThreadTest, GoesFirstAndItsStarterDoesNot) {
  if (!may_go_first()) GTEST_SKIP() << "needs CAP_SYS_NICE";
  const int before = own_nice();
  std::atomic<int> nice = 0;
  {
    auto thread = ReactorThread::start({.buffer_bytes = 64 * kibibyte});
    ASSERT_TRUE(thread.ok());
    thread.value()->reactor().post([&nice] { nice = own_nice(); });
  }
  EXPECT_EQ(nice, -10);
  EXPECT_EQ(own_nice(), before);
}

TEST(ReactorThreadTest, StartsAndEndsManyTimesUnderPosts) {
  for (int i = 0; i < 50; ++i) {
    auto thread = ReactorThread::start({.buffer_bytes = 64 * kibibyte});
    ASSERT_TRUE(thread.ok());
    Reactor& reactor = thread.value()->reactor();
    std::atomic<int> ran = 0;
    std::thread poster([&] {
      for (int j = 0; j < 20; ++j) reactor.post([&ran] { ++ran; });
    });
    poster.join();
    thread.value().reset();
    EXPECT_EQ(ran, 20);
  }
}

}  // namespace
}  // namespace cairn::test
