// Tasks and the ways in which they wait for each other.
#include "aio/wait.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "test/native/support/on_reactor.h"

namespace cairn::test {
namespace {

using namespace std::chrono_literals;

Task<int> number(int value) { co_return value; }
Task<int> sum(int count) {
  int total = 0;
  for (int i = 0; i < count; ++i) total += co_await number(i);
  co_return total;
}
Task<std::unique_ptr<int>> owned() { co_return std::make_unique<int>(7); }

TEST(TaskTest, ATaskRunsWhenAwaitedAndYieldsItsValue) {
  OnReactor on;
  EXPECT_EQ(on.wait(sum(1000)), 499'500);
  EXPECT_EQ(*on.wait(owned()), 7);
}

TEST(TaskTest, ATaskThatIsNeverAwaitedRunsNothing) {
  bool ran = false;
  const auto work = [](bool& flag) -> Task<> {
    flag = true;
    co_return;
  };
  { Task<> never = work(ran); }
  EXPECT_FALSE(ran);
}

TEST(TaskTest, FramesFreedOnAnotherThreadAreReused) {
  for (int i = 0; i < 100; ++i) {
    std::thread other([] { run_detached(sum(10), [](int total) { EXPECT_EQ(total, 45); }); });
    other.join();
  }
}

TEST(WaitQueueTest, WakesOneOrAllInOrder) {
  OnReactor on;
  WaitQueue queue(on.reactor().ready());
  std::vector<int> order;
  const auto waiter = [](WaitQueue& in, int id, std::vector<int>& woken) -> Task<> {
    co_await in.wait();
    woken.push_back(id);
  };
  for (int i = 0; i < 5; ++i) run_detached(waiter(queue, i, order), [] {});
  EXPECT_TRUE(queue.wake_one());
  EXPECT_TRUE(order.empty());  // never inside its waker
  on.reactor().ready().run();
  EXPECT_EQ(order, std::vector<int>{0});
  queue.wake_all();
  EXPECT_FALSE(queue.wake_one());
  on.reactor().ready().run();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(queue.empty());
}

TEST(AsyncMutexTest, OnlyOneHoldsItAndTheNextInLineGetsIt) {
  OnReactor on;
  AsyncMutex mutex(on.reactor().ready());
  int inside = 0;
  std::vector<int> order;
  const auto worker = [](Reactor& reactor, AsyncMutex& held, int id, int& count, std::vector<int>& entered) -> Task<> {
    const auto guard = co_await held.lock();
    EXPECT_EQ(count++, 0);
    entered.push_back(id);
    co_await reactor.sleep(1ms);
    --count;
  };
  for (int i = 0; i < 10; ++i) run_detached(worker(on.reactor(), mutex, i, inside, order), [] {});
  EXPECT_TRUE(mutex.locked());
  on.reactor().run([&order] { return order.size() == 10; });
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_FALSE(mutex.locked());
}

TEST(AsyncMutexTest, AGuardMovesAndUnlocksOnce) {
  OnReactor on;
  AsyncMutex mutex(on.reactor().ready());
  const auto work = [](AsyncMutex& held) -> Task<> {
    AsyncMutex::Guard first = co_await held.lock();
    AsyncMutex::Guard second = std::move(first);
    first.unlock();
    EXPECT_TRUE(held.locked());
    second.unlock();
    EXPECT_FALSE(held.locked());
    second.unlock();
    first = co_await held.lock();
  };
  on.wait(work(mutex));
  EXPECT_FALSE(mutex.locked());
}

TEST(InFlightTest, WaitsUntilNothingIsInFlight) {
  OnReactor on;
  InFlight in_flight(on.reactor().ready());
  std::string events;
  const auto worker = [](Reactor& reactor, InFlight& counter, int delay_ms, std::string& log) -> Task<> {
    const InFlightScope scope(counter);
    co_await reactor.sleep(std::chrono::milliseconds(delay_ms));
    log += 'w';
  };
  const auto waiter = [](InFlight& counter, std::string& log) -> Task<> {
    co_await counter.wait_idle();
    log += 'i';
  };
  for (int delay : {5, 1, 3}) run_detached(worker(on.reactor(), in_flight, delay, events), [] {});
  EXPECT_EQ(in_flight.count(), 3U);
  run_detached(waiter(in_flight, events), [] {});
  run_detached(waiter(in_flight, events), [] {});
  on.reactor().run([&events] { return events.size() == 5; });
  EXPECT_EQ(events, "wwwii");
  on.wait(in_flight.wait_idle());  // at once
}

}  // namespace
}  // namespace cairn::test
