// Token buckets and rates, by a clock of their own.
#include "qos/rate_limit.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using qos::Clock;
using qos::Rate;
using qos::RateLimit;

/// Asks without pause for `amount` at a time, looking whenever the limit says that it is time, but `late` then.
class Saturation {
 public:
  Saturation(Rate rate, uint64_t amount, Clock::duration late = 0ns) : amount_(amount), late_(late) {
    limit_.set(rate, now_);
  }

  /// What passes from here on in `duration`.
  uint64_t run(Clock::duration duration) {
    const Clock::time_point end = now_ + duration;
    uint64_t passed = 0;
    while (next_ < end) {
      now_ = next_;
      limit_.fill(now_);
      while (limit_.open()) {
        limit_.take(amount_);
        passed += amount_;
      }
      next_ = now_ + std::max<Clock::duration>(limit_.until_open(), 1ns) + late_;
    }
    now_ = end;
    return passed;
  }

  void rest(Clock::duration duration) {
    now_ += duration;
    next_ = std::max(next_, now_);
  }
  void set(Rate rate) {
    limit_.set(rate, now_);
    next_ = now_;
  }

 private:
  RateLimit limit_;
  Clock::time_point now_{1h};
  Clock::time_point next_{1h};
  uint64_t amount_;
  Clock::duration late_;
};

void expect_within_5_percent(uint64_t passed, double expected) {
  EXPECT_GE(static_cast<double>(passed), expected * 0.95);
  EXPECT_LE(static_cast<double>(passed), expected * 1.05);
}

TEST(RateLimitTest, EverySecondHasTheRateTo5Percent) {
  for (const uint64_t rate : {100UL, 1'000UL, 20'000UL, 1'000'000UL}) {
    Saturation saturation({.sustained = rate}, 1);
    for (int second = 0; second < 20; ++second) expect_within_5_percent(saturation.run(1s), static_cast<double>(rate));
  }
}

TEST(RateLimitTest, ASecondThatBeginsAnywhereHasIt) {
  Saturation saturation({.sustained = 1000}, 1);
  saturation.rest(10s);
  for (int i = 0; i < 50; ++i) {
    (void)saturation.run(37ms);
    expect_within_5_percent(saturation.run(1s), 1000);
  }
}

TEST(RateLimitTest, OneASecondIsOneASecond) {
  Saturation saturation({.sustained = 1}, 1);
  (void)saturation.run(1s);
  for (int second = 0; second < 10; ++second) EXPECT_EQ(saturation.run(1s), 1U);
}

TEST(RateLimitTest, AnIdleTimeSavesNothingUpWithoutBursts) {
  Saturation saturation({.sustained = 1000}, 1);
  (void)saturation.run(1s);
  saturation.rest(1h);
  expect_within_5_percent(saturation.run(1s), 1000);
}

TEST(RateLimitTest, RequestsLargerThanTheBucketPassAndAreMadeUpFor) {
  Saturation saturation({.sustained = 10 * mebibyte}, 4 * mebibyte);
  EXPECT_EQ(saturation.run(1ms), 4 * mebibyte);
  EXPECT_EQ(saturation.run(370ms), 0U);  // until 4 MiB less the depth of the bucket are paid for
  const double average = static_cast<double>(saturation.run(100s)) / 100;
  EXPECT_NEAR(average, 10.0 * mebibyte, 0.01 * 10 * mebibyte);
}

TEST(RateLimitTest, LateTimersLoseNothing) {
  Saturation saturation({.sustained = 5000}, 1, 5ms);
  for (int second = 0; second < 10; ++second) expect_within_5_percent(saturation.run(1s), 5000);
}

TEST(RateLimitTest, ABurstLastsAsLongAsItIsSaid) {
  Saturation saturation({.sustained = 500, .burst = 2000, .burst_seconds = 3}, 1);
  for (int second = 0; second < 3; ++second) expect_within_5_percent(saturation.run(1s), 2000);
  for (int second = 0; second < 5; ++second) expect_within_5_percent(saturation.run(1s), 500);
}

TEST(RateLimitTest, RestSavesUpForAnotherBurst) {
  Saturation saturation({.sustained = 500, .burst = 2000, .burst_seconds = 3}, 1);
  (void)saturation.run(10s);
  saturation.rest(3s);  // 1500 saved: a second of 2000 needs that beyond what comes in
  expect_within_5_percent(saturation.run(1s), 2000);
  expect_within_5_percent(saturation.run(1s), 500);
  saturation.rest(1h);  // no more than a whole burst
  for (int second = 0; second < 3; ++second) expect_within_5_percent(saturation.run(1s), 2000);
  expect_within_5_percent(saturation.run(1s), 500);
}

TEST(RateLimitTest, ANewRateHoldsAtOnce) {
  Saturation saturation({.sustained = 1}, 1);
  (void)saturation.run(2s);
  saturation.set({.sustained = 10'000});
  expect_within_5_percent(saturation.run(1s), 10'000);
  saturation.set({.sustained = 100});
  expect_within_5_percent(saturation.run(1s), 100);
}

TEST(RateLimitTest, ANewRateForgetsDebt) {
  Saturation saturation({.sustained = 4096}, 32 * mebibyte);
  EXPECT_EQ(saturation.run(1s), 32 * mebibyte);
  EXPECT_EQ(saturation.run(1h), 0U);
  saturation.set({.sustained = 64 * mebibyte});
  EXPECT_EQ(saturation.run(1ms), 32 * mebibyte);
}

TEST(RateLimitTest, TheSameRateAgainRestoresNoBurst) {
  const Rate rate{.sustained = 500, .burst = 2000, .burst_seconds = 3};
  Saturation saturation(rate, 1);
  (void)saturation.run(5s);
  saturation.set(rate);
  expect_within_5_percent(saturation.run(1s), 500);
}

TEST(RateLimitTest, NoRateIsNoLimit) {
  RateLimit limit;
  limit.take(1'000'000'000);
  EXPECT_TRUE(limit.open());
  EXPECT_EQ(limit.until_open(), 0ns);
  limit.set({.sustained = 1}, Clock::time_point(1h));
  limit.take(1'000'000'000);
  EXPECT_FALSE(limit.open());
  limit.set({}, Clock::time_point(1h));
  EXPECT_TRUE(limit.open());
}

TEST(RateLimitTest, ADebtOfCenturiesIsATime) {
  RateLimit limit;
  limit.set({.sustained = 1}, Clock::time_point(1h));
  for (int i = 0; i < 64; ++i) limit.take(UINT64_MAX / 2);
  limit.fill(Clock::time_point(2h));
  EXPECT_GT(limit.until_open(), 24h * 365 * 100);
}

}  // namespace
}  // namespace cairn::test
