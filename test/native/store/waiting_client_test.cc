// Overwrites of a client that waits for each reply: answered from the page cache, as durable after a FLUSH as any.
#include <fcntl.h>
#include <sys/mman.h>

#include <thread>

#include "test/native/store/store_fixture.h"
#include "test/native/store/support/file_calls.h"
#include "test/native/store/support/write_together.h"

namespace cairn::test {
namespace {

/// Counts which way data goes, of the head's file and all others.
class Ways final : public IoTap {
 public:
  Status before(const Event& event) override {
    const bool direct = (::fcntl(event.fd, F_GETFL) & O_DIRECT) != 0;
    if (event.kind == Kind::write) ++(direct ? direct_writes : cached_writes);
    if (event.kind == Kind::read) ++(direct ? direct_reads : cached_reads);
    if (event.kind == Kind::sync) ++syncs;
    return Status();
  }
  void after(const Event&) override {}
  std::chrono::nanoseconds delay(const Event& event) override {
    return event.kind == Kind::write ? write_delay : std::chrono::nanoseconds();
  }
  void reset() { direct_writes = cached_writes = direct_reads = cached_reads = syncs = 0; }

  std::chrono::nanoseconds write_delay{};
  int direct_writes = 0;
  int cached_writes = 0;
  int direct_reads = 0;
  int cached_reads = 0;
  int syncs = 0;
};

constexpr uint64_t volume_size = 32 * mebibyte;

class StoreWaitingClient : public ::testing::Test {
 protected:
  StoreWaitingClient() : fixture(volume_size, 512) {
    expect_ok(fixture.write(0, pattern(1, 32 * 4096)));
    expect_ok(fixture.flush());
    fixture.loop().reactor().set_tap(&ways);
    fixture.loop().reactor().assume_waiting_clients();
  }
  ~StoreWaitingClient() override { fixture.loop().reactor().set_tap(nullptr); }
  static void expect_ok(Status status) { EXPECT_TRUE(succeeded(status)); }

  StoreFixture fixture;
  Ways ways;
};

TEST_F(StoreWaitingClient, OverwritesGoThroughThePageCacheUntilASync) {
  expect_ok(fixture.write(4096, pattern(2, 8192)));
  EXPECT_EQ(ways.cached_writes, 1);
  EXPECT_EQ(ways.direct_writes, 0);
  EXPECT_EQ(fixture.read(4096, 8192), pattern(2, 8192));
  EXPECT_EQ(ways.cached_reads, 1);

  ways.reset();
  expect_ok(fixture.flush());
  EXPECT_EQ(ways.syncs, 1);
  EXPECT_EQ(ways.direct_writes + ways.cached_writes, 0) << "no map says anything new";
  EXPECT_EQ(fixture.read(4096, 8192), pattern(2, 8192));
  EXPECT_EQ(ways.direct_reads, 1);
  EXPECT_EQ(ways.cached_reads, 0);
}

TEST_F(StoreWaitingClient, DurableAndPartialAndLargeOnesGoDirectly) {
  expect_ok(fixture.write(0, pattern(2, 4096), Durability::durable));
  expect_ok(fixture.write(512, pattern(3, 1024)));
  expect_ok(fixture.write(0, pattern(4, 17 * 4096)));
  EXPECT_EQ(ways.cached_writes, 0);
  EXPECT_EQ(ways.direct_writes, 3);
}

TEST_F(StoreWaitingClient, WhatComesWhileAnotherWriteIsUnderWayGoesDirectly) {
  ways.write_delay = std::chrono::milliseconds(1);
  const AlignedMemory block(4096);
  expect_ok(fixture.wait(write_together(fixture.store(), block.span(), 3)));
  EXPECT_EQ(ways.cached_writes, 1);
  EXPECT_EQ(ways.direct_writes, 2);
}

/// Over blocks that are not in the page cache yet, as often as it takes.
Task<> overwrite_until_synced(StoreFixture& fixture, const Ways& ways, uint64_t& overwritten) {
  const AlignedMemory block(4096);
  while (ways.syncs == 0 && overwritten < volume_size / 4096) {
    const Status written = co_await fixture.store().write(overwritten++ * 4096, block.span(), Durability::buffered);
    EXPECT_TRUE(succeeded(written));
  }
}

TEST_F(StoreWaitingClient, ASyncFollowsByItselfWhenManyAreInThePageCache) {
  expect_ok(fixture.write(0, zeros(volume_size)));
  expect_ok(fixture.flush());
  ways.reset();
  uint64_t overwritten = 0;
  fixture.wait(overwrite_until_synced(fixture, ways, overwritten));
  EXPECT_GE(overwritten, 4096u);
  EXPECT_LT(overwritten, 4200u);
  fixture.wait(fixture.store().wait_maintenance());
  expect_ok(fixture.flush());
  ways.reset();
  fixture.read(0, 4096);
  EXPECT_EQ(ways.direct_reads, 1);
}

TEST_F(StoreWaitingClient, WhatWasFlushedIsThereAfterASnapshotATrimAndAnotherOverwrite) {
  expect_ok(fixture.write(0, pattern(2, 4 * 4096)));
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  expect_ok(fixture.write(0, pattern(3, 4096)));
  expect_ok(fixture.trim(4096, 4096));
  expect_ok(fixture.write(0, pattern(4, 4096)));
  expect_ok(fixture.flush());
  fixture.loop().reactor().set_tap(nullptr);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  const Bytes frozen = pattern(2, 4 * 4096);
  EXPECT_EQ(fixture.read(0, 4096), pattern(4, 4096));
  EXPECT_EQ(fixture.read(4096, 4096), zeros(4096));
  EXPECT_EQ(fixture.read(8192, 8192), Bytes(frozen.begin() + 8192, frozen.end()));
}

/// Counts syncs on one thread that are plain calls: the ring's are the kernel's own affair.
class PlainSyncs final : public FileCallWatch {
 public:
  PlainSyncs() { watch_file_calls(this); }
  ~PlainSyncs() override { watch_file_calls(nullptr); }
  uint64_t sync_begins(int) override {
    if (std::this_thread::get_id() == thread_) ++count;
    return 0;
  }

  int count = 0;

 private:
  std::thread::id thread_ = std::this_thread::get_id();
};

/// The thread has waited for something of the kernel's, as it does for a client's next request.
Task<> next_turn(Reactor& reactor) {
  const AlignedMemory memory(4096);
  EXPECT_EQ(co_await reactor.advise(memory.span().data(), 4096, MADV_WILLNEED), 0);
}

/// The thread would sleep in the call, and clients with it.
TEST(StoreUpkeep, ASnapshotSyncsThroughTheRingWhereAClientsFlushIsAPlainCall) {
  StoreFixture fixture(volume_size, 4096);
  PlainSyncs syncs;
  for (uint32_t tag = 0; tag < 1000 && syncs.count < 20; ++tag) {
    ASSERT_TRUE(succeeded(fixture.write(tag % 64 * 4096, pattern(tag, 4096))));
    fixture.wait(next_turn(fixture.loop().reactor()));
    ASSERT_TRUE(succeeded(fixture.flush()));
    fixture.wait(next_turn(fixture.loop().reactor()));
  }
  if (syncs.count < 20) GTEST_SKIP() << "this disk is too slow for plain calls";
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(7, 4096))));
  fixture.wait(next_turn(fixture.loop().reactor()));
  syncs.count = 0;
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  EXPECT_EQ(syncs.count, 0);
}

}  // namespace
}  // namespace cairn::test
