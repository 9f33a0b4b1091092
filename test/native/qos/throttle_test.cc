// A volume's throttle over a device that notes what reaches it, by a clock of the test's own.
#include "qos/throttled_device.h"

#include <gtest/gtest.h>

#include "block/memory_device.h"
#include "test/native/nbd/support/memory_snapshots.h"
#include "test/native/qos/fake_time.h"

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using qos::Limits;
enum class Operation { read, write, flush, trim, write_zeroes, block_status };

constexpr uint64_t size = 16 * mebibyte;
constexpr uint64_t crowd = 64 * kibibyte;

/// Notes an operation when it begins, not when it is asked for.
class NotingDevice final : public BlockDevice {
 public:
  Geometry geometry() const override { return {.size = size, .logical_block_size = 512}; }
  Task<Status> read(uint64_t offset, std::span<std::byte>) override { return note(Operation::read, offset); }
  Task<Status> write(uint64_t offset, std::span<const std::byte>, Durability) override {
    return note(Operation::write, offset);
  }
  Task<Status> flush() override { return note(Operation::flush, 0); }
  Task<Status> trim(uint64_t offset, uint64_t, Durability) override { return note(Operation::trim, offset); }
  Task<Status> write_zeroes(uint64_t offset, uint64_t, ZeroMode, Durability) override {
    return note(Operation::write_zeroes, offset);
  }
  Task<Status> block_status(uint64_t offset, uint64_t, StatusQuery, size_t, std::vector<Extent>& extents) override {
    extents = content;
    return note(Operation::block_status, offset);
  }

  std::vector<Extent> content;

  std::vector<std::pair<Operation, uint64_t>> reached;  // with their offsets
  int error = 0;

 private:
  Task<Status> note(Operation operation, uint64_t offset) {
    reached.emplace_back(operation, offset);
    co_return Status::from_errno(error);
  }
};

class ThrottleTest : public testing::Test {
 protected:
  void read(uint64_t offset, size_t length = 4096) { start(device_.read(offset, std::span(buffer_).first(length))); }
  void start(Task<Status> operation) {
    ++started_;
    run_detached(std::move(operation), [this](Status status) {
      ++finished_;
      statuses_.push_back(status.error());
    });
    settle();
  }
  void reads(int count, size_t length = 4096) {
    for (int i = 0; i < count; ++i) read(0, length);
  }
  void settle() { ready_.run(); }
  void pass(qos::Clock::duration duration) {
    time_.pass(duration, [this] { settle(); });
  }
  int finished_in(qos::Clock::duration duration) {
    const int before = finished_;
    pass(duration);
    return finished_ - before;
  }
  Task<> room() {
    while (throttle_.admission().crowded()) co_await throttle_.admission().room();
  }

  ReadyQueue ready_;
  NotingDevice below_;
  FakeTime time_;
  FakeAlarm limit_alarm_{time_};
  FakeAlarm share_alarm_{time_};
  qos::FairShare all_;
  qos::Throttle throttle_{ready_, all_, limit_alarm_, share_alarm_, crowd};
  qos::ThrottledDevice device_{below_, throttle_};
  std::vector<std::byte> buffer_ = std::vector<std::byte>(size);
  int started_ = 0;
  int finished_ = 0;
  std::vector<int> statuses_;
};

TEST_F(ThrottleTest, WithoutLimitsEverythingPassesAtOnce) {
  reads(1000);
  EXPECT_EQ(finished_, 1000);
  EXPECT_TRUE(throttle_.passes());
  EXPECT_EQ(throttle_.counters().requests, 0U);
}

TEST_F(ThrottleTest, EverySecondHasAsManyOperationsAsTheLimitSays) {
  throttle_.set_limits({.operations = {.sustained = 500}});
  reads(3000);
  for (int second = 0; second < 5; ++second) EXPECT_NEAR(finished_in(1s), 500, 25);
  EXPECT_GT(throttle_.counters().requests, 2000U);
  EXPECT_GT(throttle_.counters().waited, 2000s);
  throttle_.lift();
  settle();
}

TEST_F(ThrottleTest, EverySecondHasAsManyBytesAsTheLimitSays) {
  throttle_.set_limits({.bytes = {.sustained = 10 * mebibyte}});
  reads(1000, 64 * kibibyte);
  for (int second = 0; second < 5; ++second) EXPECT_NEAR(finished_in(1s), 160, 8);
  throttle_.lift();
  settle();
}

TEST_F(ThrottleTest, TheTighterLimitHolds) {
  throttle_.set_limits({.operations = {.sustained = 100}, .bytes = {.sustained = 100 * 4096 * 10}});
  reads(300);
  EXPECT_NEAR(finished_in(1s), 100, 5);
  throttle_.set_limits({.operations = {.sustained = 1000}, .bytes = {.sustained = 50 * 4096}});
  EXPECT_NEAR(finished_in(1s), 50, 3);
  throttle_.lift();
  settle();
}

TEST_F(ThrottleTest, WritesCountLikeReads) {
  throttle_.set_limits({.bytes = {.sustained = 4096}});
  const std::span<const std::byte> data = std::span(buffer_).first(4096);
  start(device_.write(0, data, Durability::buffered));
  start(device_.write(4096, data, Durability::buffered));
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(finished_in(990ms), 1);
}

TEST_F(ThrottleTest, TrimsAndZeroesCountAsOperationsWithoutBytes) {
  throttle_.set_limits({.bytes = {.sustained = 4096}});
  for (int i = 0; i < 10; ++i) start(device_.trim(0, size, Durability::buffered));
  for (int i = 0; i < 10; ++i) start(device_.write_zeroes(0, size, ZeroMode::may_unmap, Durability::buffered));
  EXPECT_EQ(finished_, 20);
  throttle_.set_limits({.operations = {.sustained = 10}});
  for (int i = 0; i < 10; ++i) start(device_.trim(0, size, Durability::buffered));
  EXPECT_LE(finished_, 21);
  EXPECT_NEAR(finished_in(1s), 9, 1);
}

TEST_F(ThrottleTest, FlushAndBlockStatusAreFreeAndOvertake) {
  throttle_.set_limits({.operations = {.sustained = 1}});
  reads(3);
  start(device_.flush());
  std::vector<Extent> extents;
  start(device_.block_status(0, 4096, StatusQuery{}, 8, extents));
  EXPECT_EQ(finished_, 3);
  EXPECT_EQ(below_.reached.back().first, Operation::block_status);
  pass(3s);
}

TEST_F(ThrottleTest, AReadThatIsAllZerosCountsThoughItReadsNothing) {
  throttle_.set_limits({.bytes = {.sustained = 128 * kibibyte}});
  below_.content = {{64 * kibibyte, true, true}, {64 * kibibyte, false, true}};
  std::vector<Extent> extents;
  const auto ask = [&] { start(device_.block_status(0, 128 * kibibyte, {.for_read = true}, 8, extents)); };
  ask();
  ask();
  EXPECT_EQ(finished_, 1);
  pass(990ms);
  EXPECT_EQ(finished_, 2);
  below_.content[1].zero = false;  // a read follows, and counts
  ask();
  below_.content.pop_back();
  ask();
  EXPECT_EQ(finished_, 4);
}

TEST_F(ThrottleTest, RequestsGoOnInTheOrderOfTheirArrival) {
  throttle_.set_limits({.bytes = {.sustained = 1 * mebibyte}});
  read(0, 2 * mebibyte);
  for (uint64_t i = 1; i < 20; ++i) read(i * 4096, i % 2 == 0 ? 4096 : 512 * kibibyte);
  pass(20s);
  ASSERT_EQ(below_.reached.size(), 20U);
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(below_.reached[i].second, i * 4096);
}

TEST_F(ThrottleTest, WhoComesWhenTheLimitHasJustOpenedDoesNotOvertakeThoseThatWait) {
  throttle_.set_limits({.operations = {.sustained = 10'000}});
  while (finished_ == started_) read(0);
  pass(500us);  // the alarm is for later
  EXPECT_LT(finished_, started_);
  read(4096);
  pass(1ms);
  EXPECT_EQ(finished_, started_);
  EXPECT_EQ(below_.reached.back().second, 4096U);
}

TEST_F(ThrottleTest, ASmallRequestDoesNotOvertakeALargeOneThatWaits) {
  throttle_.set_limits({.bytes = {.sustained = 1 * mebibyte}});
  read(0, 1 * mebibyte);
  read(4096, 8 * mebibyte);
  read(8192, 512);
  pass(500ms);
  EXPECT_EQ(below_.reached.size(), 1U);
  pass(500ms);
  EXPECT_EQ(below_.reached.size(), 2U);
  pass(7900ms);
  EXPECT_EQ(below_.reached.size(), 2U);
  pass(100ms);
  EXPECT_EQ(below_.reached.size(), 3U);
}

TEST_F(ThrottleTest, WhatWaitsFollowsNewLimitsAtOnce) {
  throttle_.set_limits({.operations = {.sustained = 1}});
  reads(2000);
  EXPECT_LE(finished_in(1s), 2);
  throttle_.set_limits({.operations = {.sustained = 1000}});
  settle();
  EXPECT_NEAR(finished_in(1s), 1000, 50);
  throttle_.set_limits({});
  settle();
  EXPECT_EQ(finished_, 2000);
  const uint64_t waited = throttle_.counters().requests;
  reads(100);
  EXPECT_EQ(finished_, 2100);
  EXPECT_EQ(throttle_.counters().requests, waited);
}

TEST_F(ThrottleTest, ADetachDoesNotWaitForTheLimits) {
  throttle_.set_limits({.operations = {.sustained = 1}});
  reads(300);
  throttle_.lift();
  settle();
  EXPECT_EQ(finished_, 300);
  reads(10);  // still on their way when it began
  EXPECT_EQ(finished_, 310);
  throttle_.restore();
  reads(10);
  EXPECT_LE(finished_, 311);
  pass(10s);
  EXPECT_EQ(finished_, 320);
}

TEST_F(ThrottleTest, LimitsHoldAgainWhenTheLastWhoLiftedThemIsDone) {
  throttle_.set_limits({.operations = {.sustained = 1}});
  throttle_.lift();
  throttle_.lift();
  throttle_.restore();
  reads(10);
  EXPECT_EQ(finished_, 10);
  throttle_.restore();
  reads(10);
  EXPECT_LE(finished_, 11);
  pass(10s);
}

TEST_F(ThrottleTest, ErrorsComeThroughAndCount) {
  throttle_.set_limits({.operations = {.sustained = 10}});
  below_.error = EIO;
  reads(20);
  EXPECT_NEAR(finished_in(1s), 10, 1);
  pass(1s);
  EXPECT_EQ(statuses_, std::vector<int>(20, EIO));
}

TEST_F(ThrottleTest, AFrontendIsAskedToWaitWhileMuchWaits) {
  throttle_.set_limits({.bytes = {.sustained = 64 * kibibyte}});
  read(0, 64 * kibibyte);
  read(0, 64 * kibibyte);
  EXPECT_FALSE(throttle_.admission().crowded());
  read(0, 512);
  EXPECT_TRUE(throttle_.admission().crowded());
  int let_in = 0;
  for (int i = 0; i < 3; ++i) run_detached(room(), [&let_in] { ++let_in; });
  pass(500ms);
  EXPECT_EQ(let_in, 0);
  pass(500ms);
  EXPECT_EQ(let_in, 1);  // one for each that goes on
  pass(2s);
  EXPECT_EQ(let_in, 3);
}

TEST_F(ThrottleTest, WhoWaitsForRoomIsLetInWhenLimitsAreLifted) {
  throttle_.set_limits({.bytes = {.sustained = 4096}});
  reads(3, 64 * kibibyte);
  EXPECT_TRUE(throttle_.admission().crowded());
  int let_in = 0;
  for (int i = 0; i < 3; ++i) run_detached(room(), [&let_in] { ++let_in; });
  throttle_.lift();
  settle();
  EXPECT_EQ(let_in, 3);
}

TEST_F(ThrottleTest, SnapshotsShareTheLimitsOfTheirVolume) {
  MemorySnapshots snapshots;
  snapshots.take("one", MemoryDevice(size, 512));
  qos::ThrottledSnapshots throttled(snapshots, throttle_);
  std::unique_ptr<BlockDevice> snapshot;
  run_detached(throttled.open_snapshot("one"), [&](Result<std::unique_ptr<BlockDevice>> opened) {
    ASSERT_TRUE(opened.ok());
    snapshot = std::move(opened.value());
  });
  throttle_.set_limits({.operations = {.sustained = 1}});
  read(0);
  pass(10ms);
  start(snapshot->read(0, std::span(buffer_).first(4096)));
  EXPECT_EQ(finished_, 1);
  pass(1s);
  EXPECT_EQ(finished_, 2);
  EXPECT_EQ(throttled.snapshots().size(), 1U);
  run_detached(throttled.open_snapshot("two"),
               [](Result<std::unique_ptr<BlockDevice>> opened) { EXPECT_EQ(opened.error().code, "SNAPSHOT_MISSING"); });
}

}  // namespace
}  // namespace cairn::test
