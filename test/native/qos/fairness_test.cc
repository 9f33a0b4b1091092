// Volumes over one device that serves what it is given in turn, by a clock of the test's own.
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <utility>

#include "qos/throttled_device.h"
#include "test/native/qos/fake_time.h"

namespace cairn::test {
namespace {

using namespace std::chrono_literals;

/// Serves one request after the other: some time for each, and some for its bytes.
class SerialDisk {
 public:
  SerialDisk(FakeTime& time, ReadyQueue& ready) : alarm_(time), ready_(ready) {
    alarm_.ring = [this] {
      ready_.push(queue_.pop_front());
      start_next();
    };
  }

  struct Service : Waiter {
    Service(SerialDisk& owner, uint64_t length) : disk(owner), bytes(length) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      const bool idle = disk.queue_.empty();
      disk.queue_.push_back(this);
      if (idle) disk.start_next();
    }
    void await_resume() const noexcept {}
    SerialDisk& disk;
    uint64_t bytes;
  };

 private:
  void start_next() {
    if (queue_.empty()) return;
    alarm_.set(20us + std::chrono::nanoseconds(queue_.front()->bytes));  // 1 GB/s
  }

  FakeAlarm alarm_;
  ReadyQueue& ready_;
  IntrusiveList<Service> queue_;
};

class DiskDevice final : public BlockDevice {
 public:
  explicit DiskDevice(SerialDisk& disk) : disk_(disk) {}
  Geometry geometry() const override { return {.size = gibibyte, .logical_block_size = 512}; }
  Task<Status> read(uint64_t, std::span<std::byte> into) override { return serve(into.size()); }
  Task<Status> write(uint64_t, std::span<const std::byte> from, Durability) override { return serve(from.size()); }
  Task<Status> flush() override { return serve(0); }
  Task<Status> trim(uint64_t, uint64_t, Durability) override { return serve(0); }
  Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { return serve(0); }
  Task<Status> block_status(uint64_t, uint64_t, StatusQuery, size_t, std::vector<Extent>&) override { return serve(0); }

 private:
  Task<Status> serve(uint64_t bytes) {
    SerialDisk::Service service(disk_, bytes);
    co_await service;
    co_return Status();
  }
  SerialDisk& disk_;
};

/// A volume and clients that ask without pause, `depth` at a time.
class Tenant {
 public:
  Tenant(FakeTime& time, ReadyQueue& ready, qos::FairShare& all, SerialDisk& disk, size_t bytes = 4096)
      : limit_alarm_(time),
        share_alarm_(time),
        throttle_(ready, all, limit_alarm_, share_alarm_, mebibyte),
        below_(disk),
        device_(below_, throttle_),
        buffer_(bytes) {}

  void start(int depth) {
    stopped_ = false;
    for (int i = 0; i < depth; ++i) ask();
  }
  void stop() { stopped_ = true; }
  uint64_t take_done() { return std::exchange(done_, 0); }
  qos::Clock::duration longest() { return std::exchange(longest_, {}); }
  qos::Throttle& throttle() { return throttle_; }

 private:
  Detached ask() {
    while (!stopped_) {
      const qos::Clock::time_point begun = limit_alarm_.now();
      (void)co_await device_.read(0, buffer_);
      longest_ = std::max(longest_, limit_alarm_.now() - begun);
      ++done_;
    }
  }

  FakeAlarm limit_alarm_;
  FakeAlarm share_alarm_;
  qos::Throttle throttle_;
  DiskDevice below_;
  qos::ThrottledDevice device_;
  std::vector<std::byte> buffer_;
  bool stopped_ = true;
  uint64_t done_ = 0;
  qos::Clock::duration longest_{0};
};

class FairnessTest : public testing::Test {
 protected:
  ~FairnessTest() override {
    for (auto& tenant : tenants_) tenant->stop();
    pass(1s);
  }
  Tenant& tenant(size_t bytes = 4096) {
    tenants_.push_back(std::make_unique<Tenant>(time_, ready_, all_, disk_, bytes));
    return *tenants_.back();
  }
  void pass(qos::Clock::duration duration) {
    time_.pass(duration, [this] { ready_.run(); });
  }
  /// What each has done in the next second, of everything.
  std::vector<double> shares() {
    for (auto& tenant : tenants_) (void)tenant->take_done();
    pass(1s);
    std::vector<double> done;
    for (auto& tenant : tenants_) done.push_back(static_cast<double>(tenant->take_done()));
    total_ = std::accumulate(done.begin(), done.end(), 0.0);
    for (double& each : done) each /= total_;
    return done;
  }

  FakeTime time_;
  ReadyQueue ready_;
  qos::FairShare all_;
  SerialDisk disk_{time_, ready_};
  std::vector<std::unique_ptr<Tenant>> tenants_;
  double total_ = 0;
};

constexpr double disk_rate = 1e9 / (20'000 + 4096);

TEST_F(FairnessTest, OneVolumeAloneHasAllItAsksFor) {
  Tenant& alone = tenant();
  alone.start(256);
  pass(500ms);
  EXPECT_TRUE(alone.throttle().passes());
  (void)shares();
  EXPECT_NEAR(total_, disk_rate, disk_rate * 0.01);
  EXPECT_EQ(alone.throttle().counters().requests, 0U);
}

TEST_F(FairnessTest, ADeepQueueTakesNoMoreThanAShallowOne) {
  tenant().start(8);
  tenant().start(256);
  pass(3s);
  for (int second = 0; second < 3; ++second) {
    const std::vector<double> share = shares();
    EXPECT_GE(share[0], 0.4);
    EXPECT_LE(share[0], 0.6);
    EXPECT_NEAR(total_, disk_rate, disk_rate * 0.01);
  }
}

TEST_F(FairnessTest, NeitherDoesOneWithManyMoreConnections) {
  tenant().start(16);
  tenant().start(1024);
  pass(3s);
  EXPECT_GE(shares()[0], 0.4);
}

TEST_F(FairnessTest, ThreeHaveAThirdEach) {
  tenant().start(8);
  tenant().start(64);
  tenant().start(512);
  pass(3s);
  for (const double share : shares()) EXPECT_NEAR(share, 1.0 / 3, 0.07);
}

TEST_F(FairnessTest, EqualOnesAreNotHeldBack) {
  tenant().start(32);
  tenant().start(32);
  pass(3s);
  EXPECT_NEAR(shares()[0], 0.5, 0.02);
  EXPECT_NEAR(total_, disk_rate, disk_rate * 0.01);
}

TEST_F(FairnessTest, ALoneRequestIsAnsweredSoonAndCostsTheOthersNothing) {
  Tenant& lone = tenant();
  tenant().start(1024);
  lone.start(1);
  pass(3s);
  (void)lone.longest();
  (void)shares();
  EXPECT_LT(lone.longest(), 4ms);  // of 25 with 1024 before it
  EXPECT_NEAR(total_, disk_rate, disk_rate * 0.01);
}

TEST_F(FairnessTest, LargeRequestsWeighMore) {
  tenant(4096).start(8);
  tenant(mebibyte).start(32);
  pass(3s);
  const double large = shares()[1];
  // 8 small ones for each large one that is under way.
  EXPECT_LE(large, 0.15);
  EXPECT_GE(large, 0.05);
}

TEST_F(FairnessTest, WhoIsLeftHasItAllAgain) {
  Tenant& goes = tenant();
  Tenant& stays = tenant();
  goes.start(8);
  stays.start(256);
  pass(3s);
  goes.stop();
  pass(200ms);
  EXPECT_TRUE(stays.throttle().passes());
  EXPECT_FALSE(stays.throttle().admission().crowded());
}

TEST_F(FairnessTest, TellsOfContentionWhileThereIsSome) {
  Tenant& goes = tenant();
  Tenant& stays = tenant();
  int competing = 0;
  for (Tenant* each : {&goes, &stays})
    each->throttle().contention = [&competing](bool begins) { competing += begins ? 1 : -1; };
  stays.start(256);
  pass(1s);
  EXPECT_EQ(competing, 0);
  goes.start(8);
  pass(1s);
  EXPECT_EQ(competing, 2);
  goes.stop();
  pass(1s);
  EXPECT_EQ(competing, 0);
  goes.start(8);
  pass(1s);
  tenants_.front()->stop();
  tenants_.back()->stop();
  pass(1s);
  tenants_.clear();
  EXPECT_EQ(competing, 0);
}

TEST_F(FairnessTest, AVolumeHeldByItsOwnLimitsHoldsNobodyBack) {
  Tenant& limited = tenant();
  Tenant& other = tenant();
  limited.throttle().set_limits({.operations = {.sustained = 100}});
  limited.start(256);
  other.start(256);
  pass(3s);
  (void)shares();
  EXPECT_NEAR(total_, disk_rate, disk_rate * 0.01);
  limited.throttle().lift();
  ready_.run();
}

/// A disk that serves so many at a time, each in `latency`, and two volumes that always want `shallow` and `deep`.
class ModelDisk {
 public:
  ModelDisk(double parallel, double shallow, double deep) : parallel_(parallel), wanted_{shallow, deep} {}

  void run(int rounds) {
    for (unsigned period = 0; period < static_cast<unsigned>(rounds) * 5; ++period) {
      const double total = under_way(0) + under_way(1);
      // By Little's law: the rate is bounded by what is under way, or by the disk.
      const double each = std::min(1.0, parallel_ / total);
      for (int i : {0, 1}) {
        rates[i] = 100 * under_way(i) * each;
        const qos::FairShare::Report report{.demand = static_cast<uint64_t>(wanted_[i]),
                                            .under_way = under_way(i),
                                            .done = static_cast<uint64_t>(rates[i])};
        window_ = static_cast<double>(all_.update(&wanted_[i], report).window);
      }
      sum_[0] += rates[0];
      sum_[1] += rates[1];
      ++periods_;
    }
  }
  double average(int i) const { return sum_[i] / periods_; }
  void forget() {
    sum_[0] = sum_[1] = 0;
    periods_ = 0;
  }

  double rates[2] = {};

 private:
  double under_way(int i) const { return window_ == 0 ? wanted_[i] : std::min(wanted_[i], window_); }

  qos::FairShare all_;
  double parallel_;
  double wanted_[2];
  double window_ = 0;
  double sum_[2] = {};
  int periods_ = 0;
};

TEST(FairShareTest, ADiskThatIsBusyWithLittleIsHalved) {
  ModelDisk disk(2, 8, 256);
  disk.run(20);
  disk.forget();
  disk.run(40);
  EXPECT_GE(disk.average(0) / (disk.average(0) + disk.average(1)), 0.4);
}

TEST(FairShareTest, ADiskThatServesMuchAtATimeIsNotLeftIdleForMoreThanFairness) {
  ModelDisk disk(64, 32, 256);
  disk.run(20);
  disk.forget();
  disk.run(40);
  const double part = disk.average(0) / (disk.average(0) + disk.average(1));
  EXPECT_GE(part, 0.4);
  EXPECT_LE(part, 0.45);
  EXPECT_GE(disk.average(0) + disk.average(1), 0.99 * 6400);
}

TEST(FairShareTest, VolumesThatAreNotSaturatedDenyNobodyAnything) {
  qos::FairShare all;
  const int volumes[2] = {};
  for (int i = 0; i < 100; ++i) {
    (void)all.update(&volumes[0], {.demand = 32, .under_way = qos::share_saturated_least - 0.1, .done = 1});
    const auto beside = all.update(&volumes[1], {.demand = 256, .under_way = 100, .done = 10'000});
    EXPECT_EQ(beside.window, qos::share_window_beside_lone_requests);
  }
}

TEST(FairShareTest, NobodyIsHeldBackWithoutNeed) {
  ModelDisk disk(16, 32, 32);
  disk.run(20);
  disk.forget();
  disk.run(40);
  EXPECT_GE(disk.average(0) + disk.average(1), 0.99 * 1600);
  EXPECT_NEAR(disk.average(0), disk.average(1), 16);
}

TEST(FairShareTest, OneAloneHasNoWindow) {
  qos::FairShare all;
  const int volumes[2] = {};
  EXPECT_FALSE(all.update(&volumes[0], {.demand = 100, .done = 100}).contended);
  EXPECT_TRUE(all.update(&volumes[1], {.demand = 8, .done = 10}).contended);
  EXPECT_GT(all.update(&volumes[0], {.demand = 100, .done = 100}).window, 0U);
  all.leave(&volumes[1]);
  EXPECT_FALSE(all.update(&volumes[0], {.demand = 100, .done = 100}).contended);
  EXPECT_EQ(all.update(&volumes[0], {.demand = 100, .done = 100}).window, 0U);
}

}  // namespace
}  // namespace cairn::test
