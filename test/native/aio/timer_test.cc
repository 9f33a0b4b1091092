#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "test/native/support/on_reactor.h"

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using Clock = Reactor::Clock;

TEST(TimerTest, SleepersWakeInTheOrderOfTheirTimesAndNotBefore) {
  OnReactor on;
  std::vector<int> order;
  const auto sleeper = [](Reactor& reactor, int delay_ms, std::vector<int>& woken) -> Task<> {
    const auto start = Clock::now();
    co_await reactor.sleep(std::chrono::milliseconds(delay_ms));
    EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(delay_ms));
    woken.push_back(delay_ms);
  };
  for (int delay : {30, 10, 20, 0, 40}) run_detached(sleeper(on.reactor(), delay, order), [] {});
  on.reactor().run([&order] { return order.size() == 5; });
  EXPECT_EQ(order, (std::vector<int>{0, 10, 20, 30, 40}));
}

TEST(TimerTest, FiresOnceAndCanBeStartedAgain) {
  OnReactor on;
  int fired = 0;
  Timer timer(on.reactor(), [&fired] { ++fired; });
  timer.start(1ms);
  EXPECT_TRUE(timer.running());
  on.reactor().run([&fired] { return fired == 1; });
  EXPECT_FALSE(timer.running());
  timer.start(1ms);
  on.reactor().run([&fired] { return fired == 2; });
}

TEST(TimerTest, AStoppedTimerDoesNotFireAndHoldsNothingUp) {
  OnReactor on;
  Timer timer(on.reactor(), [] { ADD_FAILURE() << "fired"; });
  timer.start(1h);
  timer.stop();
  timer.stop();
  on.reactor().run([] { return true; });
  {
    Timer gone(on.reactor(), [] { ADD_FAILURE() << "fired"; });
    gone.start(1h);
  }
  on.reactor().run([] { return true; });
}

TEST(TimerTest, StartingAgainMovesItsTime) {
  OnReactor on;
  bool moved_fired = false;
  bool done = false;
  Timer moved(on.reactor(), [&] { moved_fired = true; });
  Timer marker(on.reactor(), [&] {
    EXPECT_FALSE(moved_fired);
    done = true;
    moved.stop();
  });
  moved.start(1ms);
  moved.start(1h);
  marker.start(20ms);
  on.reactor().run([&done] { return done; });
}

TEST(TimerTest, MayBeStoppedAndStartedByTimersThatFire) {
  OnReactor on;
  std::vector<std::unique_ptr<Timer>> timers;
  int fired = 0;
  for (int i = 0; i < 20; ++i) {
    timers.push_back(std::make_unique<Timer>(on.reactor(), [&timers, &fired, i] {
      ++fired;
      const auto next = static_cast<size_t>(i + 1);
      if (next < timers.size()) timers[next]->stop();  // it would fire in the same batch
    }));
  }
  for (auto& timer : timers) timer->start(0ms);
  on.reactor().run([&fired] { return fired >= 10; });
  EXPECT_EQ(fired, 10);
}

TEST(TimerTest, ManyTimersFireInOrderWhateverIsStoppedBetween) {
  OnReactor on;
  using Moment = Reactor::Clock::time_point;
  std::mt19937 random(3);
  // When each was due: a busy machine may let time pass between two starts.
  std::vector<std::pair<Moment, Moment>> due(200);
  std::vector<size_t> order;
  size_t stopped = 0;
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < due.size(); ++i) {
    const std::chrono::milliseconds delay(random() % 30);
    timers.push_back(std::make_unique<Timer>(on.reactor(), [&order, i] { order.push_back(i); }));
    due[i].first = Reactor::Clock::now() + delay;
    timers.back()->start(delay);
    due[i].second = Reactor::Clock::now() + delay;
  }
  for (size_t i = 0; i < timers.size(); i += 3) {
    timers[i]->stop();
    ++stopped;
  }
  on.reactor().run([&] { return order.size() == timers.size() - stopped; });
  for (size_t i = 1; i < order.size(); ++i) EXPECT_LE(due[order[i - 1]].first, due[order[i]].second) << i;
}

}  // namespace
}  // namespace cairn::test
