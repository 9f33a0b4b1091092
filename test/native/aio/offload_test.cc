#include "aio/offload.h"

#include <gtest/gtest.h>

#include <future>

#include "test/native/support/on_reactor.h"

namespace cairn::test {
namespace {

TEST(BlockingThread, RunsJobsOneAfterTheOther) {
  std::vector<int> order;
  {
    BlockingThread thread;
    for (int job = 0; job < 100; ++job) thread.run([&order, job] { order.push_back(job); });
  }
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(BlockingThread, AnUrgentJobWaitsForNoneThatIsNot) {
  std::promise<void> released;
  std::promise<bool> first;
  std::atomic<bool> ended{false};
  BlockingThread thread;  // ends before what its jobs use
  thread.run([&] {
    released.get_future().wait();
    ended = true;
  });
  thread.run([&] { first.set_value(!ended); }, Urgency::urgent);
  EXPECT_TRUE(first.get_future().get());
  released.set_value();
}

TEST(BlockingThread, OffloadedWorkReturnsToItsReactor) {
  OnReactor loop;
  BlockingThread thread;
  const std::thread::id here = std::this_thread::get_id();
  for (const Urgency urgency : {Urgency::ordinary, Urgency::urgent}) {
    const auto work = [](BlockingThread& on, Reactor& reactor, Urgency how) -> Task<std::thread::id> {
      co_return co_await Offload(
          on, reactor, [] { return std::this_thread::get_id(); }, how);
    };
    EXPECT_NE(loop.wait(work(thread, loop.reactor(), urgency)), here);
  }
}

}  // namespace
}  // namespace cairn::test
