#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <map>
#include <random>

#include "test/native/support/on_reactor.h"

namespace cairn::test {
namespace {

TEST(BufferPoolTest, HandsOutAlignedPiecesOfPowersOfTwo) {
  ReadyQueue ready;
  BufferPool pool(ready, 1 * mebibyte);
  for (size_t length : {1UL, 4095UL, 4096UL, 4097UL, 65536UL, 65537UL, 1048576UL}) {
    IoBuffer buffer = pool.try_acquire(length);
    ASSERT_TRUE(buffer.valid()) << length;
    EXPECT_GE(buffer.size(), length);
    EXPECT_LT(buffer.size() / 2, std::max(length, io_buffer_min));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % io_buffer_min, 0U);
  }
  EXPECT_EQ(pool.free_bytes(), pool.region().size());
}

TEST(BufferPoolTest, RoundsItsSizeToWholeLargestPieces) {
  ReadyQueue ready;
  EXPECT_EQ(BufferPool(ready, 1).region().size(), io_buffer_min);
  EXPECT_EQ(BufferPool(ready, 5000).piece_max(), 8192U);
  EXPECT_EQ(BufferPool(ready, 33 * mebibyte).piece_max(), 32 * mebibyte);
  EXPECT_EQ(BufferPool(ready, 33 * mebibyte).region().size(), 64 * mebibyte);
}

TEST(BufferPoolTest, HasNothingWhenEverythingIsOut) {
  ReadyQueue ready;
  BufferPool pool(ready, 64 * kibibyte);
  std::list<IoBuffer> all;
  for (int i = 0; i < 16; ++i) {
    all.push_back(pool.try_acquire(4096));
    EXPECT_TRUE(all.back().valid());
  }
  EXPECT_FALSE(pool.try_acquire(1).valid());
  all.pop_back();
  EXPECT_FALSE(pool.try_acquire(4097).valid());
  EXPECT_TRUE(pool.try_acquire(4096).valid());
}

TEST(BufferPoolTest, FreePiecesBecomeLargeOnesAgain) {
  ReadyQueue ready;
  BufferPool pool(ready, 1 * mebibyte);
  {
    std::vector<IoBuffer> all;
    while (true) {
      IoBuffer buffer = pool.try_acquire(4096);
      if (!buffer.valid()) break;
      all.push_back(std::move(buffer));
    }
    EXPECT_EQ(all.size(), 256U);
    std::ranges::shuffle(all, std::mt19937(4));
    while (!all.empty()) all.pop_back();
  }
  EXPECT_TRUE(pool.try_acquire(1 * mebibyte).valid());
}

TEST(BufferPoolTest, BuffersMoveAndAreGivenBackOnce) {
  ReadyQueue ready;
  BufferPool pool(ready, 64 * kibibyte);
  IoBuffer first = pool.try_acquire(4096);
  IoBuffer second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
  first = std::move(second);
  first = pool.try_acquire(8192);
  EXPECT_EQ(pool.free_bytes(), 64 * kibibyte - 8192);
  first.reset();
  first.reset();
  EXPECT_EQ(pool.free_bytes(), 64 * kibibyte);
}

TEST(BufferPoolTest, RandomUseNeverOverlapsAndAccountsForEveryByte) {
  ReadyQueue ready;
  BufferPool pool(ready, 2 * mebibyte);
  std::mt19937_64 random(5);
  std::map<std::byte*, IoBuffer> out;
  size_t held = 0;
  for (int i = 0; i < 50'000; ++i) {
    if (random() % 2 == 0) {
      IoBuffer buffer = pool.try_acquire(1 + random() % (random() % 8 == 0 ? 1048576 : 20000));
      if (buffer.valid()) {
        const auto next = out.lower_bound(buffer.data());
        EXPECT_TRUE(next == out.end() || buffer.data() + buffer.size() <= next->first);
        EXPECT_TRUE(next == out.begin() || std::prev(next)->first + std::prev(next)->second.size() <= buffer.data());
        held += buffer.size();
        std::memset(buffer.data(), 0xaa, buffer.size());  // the pool keeps nothing in memory that is out
        out.emplace(buffer.data(), std::move(buffer));
      }
    } else if (!out.empty()) {
      auto victim = std::next(out.begin(), static_cast<ptrdiff_t>(random() % out.size()));
      held -= victim->second.size();
      out.erase(victim);
    }
    ASSERT_EQ(pool.free_bytes(), pool.region().size() - held);
  }
  out.clear();
  EXPECT_TRUE(pool.try_acquire(2 * mebibyte).valid());
}

TEST(BufferPoolTest, WaitersAreServedInOrderALargeOneToo) {
  OnReactor on(64 * kibibyte);
  BufferPool& pool = on.reactor().buffers();
  std::vector<int> order;
  std::list<IoBuffer> held;
  for (int i = 0; i < 16; ++i) held.push_back(pool.try_acquire(4096));
  const auto waiter = [](BufferPool& from, size_t length, int number, std::vector<int>& served) -> Task<> {
    const IoBuffer buffer = co_await from.acquire(length);
    EXPECT_GE(buffer.size(), length);
    served.push_back(number);
  };
  run_detached(waiter(pool, 4096, 1, order), [] {});
  run_detached(waiter(pool, 65536, 2, order), [] {});
  run_detached(waiter(pool, 4096, 3, order), [] {});
  EXPECT_TRUE(order.empty());
  held.pop_back();
  on.reactor().ready().run();
  EXPECT_EQ(order, std::vector<int>{1});  // the next waits for everything, and the one behind it for its turn
  held.clear();
  on.reactor().run([&order] { return order.size() == 3; });
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(BufferPoolTest, AnAcquireThatCanBeServedDoesNotOvertakeWaiters) {
  OnReactor on(64 * kibibyte);
  BufferPool& pool = on.reactor().buffers();
  IoBuffer half = pool.try_acquire(32768);
  std::vector<int> order;
  const auto waiter = [](BufferPool& from, size_t length, int number, std::vector<int>& served) -> Task<> {
    const IoBuffer buffer = co_await from.acquire(length);
    served.push_back(number);
  };
  run_detached(waiter(pool, 65536, 1, order), [] {});
  run_detached(waiter(pool, 4096, 2, order), [] {});
  on.reactor().ready().run();
  EXPECT_TRUE(order.empty());
  half.reset();
  on.reactor().run([&order] { return order.size() == 2; });
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

}  // namespace
}  // namespace cairn::test
