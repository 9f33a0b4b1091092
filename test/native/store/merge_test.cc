// Merges: which way they go, that they take no room, and that they can be cut short anywhere.
#include "store/replica_files.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

constexpr uint64_t volume_size = 64 * mebibyte;
constexpr uint64_t sector_bytes = uint64_t{store::map_sector_blocks} * store_block_size;

class StoreMerge : public ::testing::Test {
 protected:
  void write(uint64_t offset, uint32_t tag, size_t length) {
    const Bytes bytes = pattern(tag, length);
    ASSERT_TRUE(succeeded(fixture.write(offset, bytes)));
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<ptrdiff_t>(offset));
  }
  void trim(uint64_t offset, size_t length) {
    ASSERT_TRUE(succeeded(fixture.trim(offset, length)));
    std::fill_n(content.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
  }
  std::string cut() {
    std::string id = new_id();
    EXPECT_TRUE(succeeded(fixture.snapshot(id)));
    return id;
  }
  void remove_and_settle(const std::string& id) {
    ASSERT_TRUE(succeeded(fixture.remove(id)));
    fixture.settle();
    ASSERT_EQ(fixture.store().metadata().snapshot(id), nullptr);
  }
  /// Runs the loop, maintenance and all, until the condition holds, which is looked at each millisecond; closes then.
  template <typename Condition>
  void run_until(Condition condition) {
    const auto watch = [&]() -> Task<> {
      while (!condition()) co_await fixture.loop().reactor().sleep(std::chrono::milliseconds(1));
      // Maintenance ends with the step at hand.
      EXPECT_TRUE(succeeded(co_await fixture.store().close()));
    };
    fixture.loop().wait(watch());
    fixture.abandon();
  }
  uint32_t head() { return fixture.store().metadata().head; }
  void expect_content() { EXPECT_TRUE(fixture.read(0, volume_size) == content); }
  void expect_content_after_reopening() {
    expect_content();
    fixture.close();
    fixture.open();
    expect_content();
  }

  StoreFixture fixture{volume_size, 4096};
  Bytes content = zeros(volume_size);
};

TEST_F(StoreMerge, ABigHeadTakesTheBlocksOfASmallSnapshot) {
  write(0, 1, mebibyte);
  const std::string id = cut();
  write(8192, 2, 4096);
  write(20 * mebibyte, 3, 4 * mebibyte);
  const uint32_t before = head();
  remove_and_settle(id);
  EXPECT_EQ(head(), before);
  expect_content_after_reopening();
}

TEST_F(StoreMerge, ASmallHeadGivesItsBlocksToABigSnapshotThatBecomesTheHead) {
  write(0, 1, 24 * mebibyte);
  const std::string id = cut();
  write(8192, 2, 4096);
  write(30 * mebibyte, 3, 8192);
  trim(4 * mebibyte, mebibyte);
  const uint64_t big = fixture.store().metadata().layers.front().number;
  remove_and_settle(id);
  EXPECT_EQ(head(), big);
  EXPECT_EQ(fixture.store().metadata().layers.size(), 1U);
  EXPECT_LT(fixture.head_bytes(), 24 * mebibyte);  // what was trimmed is given back
  expect_content_after_reopening();
}

TEST_F(StoreMerge, AFrozenChildTakesOrGivesWhateverIsLess) {
  write(0, 1, 2 * mebibyte);
  const std::string small = cut();
  write(4096, 2, 8 * mebibyte);
  const std::string big = cut();
  trim(0, 8192);
  write(16384, 3, 4096);
  const std::string tail = cut();
  write(0, 4, 4096);
  const uint32_t big_layer = fixture.store().metadata().snapshot(big)->number;
  remove_and_settle(small);  // up, into `big`
  EXPECT_EQ(fixture.store().metadata().snapshot(big)->number, big_layer);
  expect_content();
  remove_and_settle(big);  // `tail` comes down, and the layer takes its name
  EXPECT_EQ(fixture.store().metadata().snapshot(tail)->number, big_layer);
  EXPECT_EQ(fixture.store().metadata().snapshot_named("of " + tail)->number, big_layer);
  expect_content_after_reopening();
  content = zeros(volume_size);
  const auto put = [this](uint64_t offset, const Bytes& bytes) {
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<ptrdiff_t>(offset));
  };
  put(0, pattern(1, 2 * mebibyte));
  put(4096, pattern(2, 8 * mebibyte));
  put(0, zeros(8192));
  put(16384, pattern(3, 4096));
  ASSERT_TRUE(succeeded(fixture.revert(tail)));
  expect_content();
}

TEST_F(StoreMerge, TakesNoRoomBeyondTheBlocksItMoves) {
  write(0, 1, 16 * mebibyte);
  const std::string id = cut();
  write(20 * mebibyte, 2, 20 * mebibyte);
  fixture.close();
  fixture.open_without_maintenance();
  const uint64_t before = fixture.disk_bytes();
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  uint64_t most = 0;
  size_t looks = 0;
  run_until([&] {
    most = std::max(most, fixture.disk_bytes());
    ++looks;
    return fixture.store().metadata().layers.size() == 1;
  });
  EXPECT_GT(looks, 5U);
  fixture.open();
  EXPECT_LE(most, before + sector_bytes + mebibyte);
  EXPECT_LE(fixture.disk_bytes(), before + 64 * kibibyte);
  expect_content();
}

TEST_F(StoreMerge, WhatIsDoneStaysDone) {
  write(0, 1, 24 * mebibyte);
  const std::string id = cut();
  write(30 * mebibyte, 2, 30 * mebibyte);
  const uint32_t below = fixture.store().metadata().snapshot(id)->number;
  const uint64_t whole = store::allocated_bytes(fixture.path(), below);
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  const auto below_bytes = [&] { return store::allocated_bytes(fixture.path(), below); };
  run_until([&] { return below_bytes() <= whole / 2; });
  const uint64_t left = below_bytes();
  EXPECT_GT(left, 0U);
  EXPECT_LE(left, whole / 2);
  fixture.open_without_maintenance();
  EXPECT_EQ(below_bytes(), left);
  expect_content();
  fixture.store().resume_maintenance();
  fixture.settle();
  expect_content_after_reopening();
}

/// A head with an overlay over it, held there: the merge waits while nobody runs it.
class StoreOverlay : public StoreMerge {
 protected:
  /// Stops in the middle of the overlay's drain, closed.
  void make_overlay() {
    write(0, 1, 60 * mebibyte);
    id = cut();
    for (uint64_t at = 0; at < 56 * mebibyte; at += 2 * mebibyte) write(at, 2, 256 * kibibyte);
    trim(33 * mebibyte, mebibyte);
    ASSERT_TRUE(succeeded(fixture.remove(id)));
    run_until([&] { return fixture.store().metadata().overlay.has_value(); });
    fixture.open_without_maintenance();
    ASSERT_TRUE(fixture.store().metadata().overlay.has_value());
  }
  void finish() {
    fixture.store().resume_maintenance();
    fixture.settle();
    EXPECT_EQ(fixture.store().metadata().overlay, std::nullopt);
  }
  std::string id;
};

TEST_F(StoreOverlay, IsFoundAgainAndReadFirst) {
  make_overlay();
  expect_content();
  finish();
  EXPECT_EQ(fixture.store().metadata().layers.size(), 1U);
  expect_content_after_reopening();
}

TEST_F(StoreOverlay, WhatIsWrittenOverItSurvivesAKill) {
  make_overlay();
  write(50 * mebibyte, 3, 8192);            // the overlay's
  write(50 * mebibyte + 8704, 4, 512 * 3);  // a part of its block
  trim(52 * mebibyte, 65536);
  write(51 * mebibyte, 5, 8192);  // the head's
  fixture.abandon();
  fixture.open_without_maintenance();
  expect_content();
  fixture.abandon();
  fixture.open();
  fixture.settle();
  expect_content_after_reopening();
}

TEST_F(StoreOverlay, WhatWasFlushedOverItSurvivesAPowerLoss) {
  make_overlay();
  write(50 * mebibyte, 3, 8192);
  trim(52 * mebibyte, 65536);
  ASSERT_TRUE(succeeded(fixture.flush()));
  fixture.abandon();
  fixture.new_boot();
  fixture.open_without_maintenance();
  expect_content();
  const Bytes durable = pattern(6, 4096);
  ASSERT_TRUE(succeeded(fixture.write(48 * mebibyte, durable, Durability::durable)));
  std::copy(durable.begin(), durable.end(), content.begin() + 48 * mebibyte);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  expect_content();
  fixture.settle();
  expect_content();
}

TEST_F(StoreOverlay, ASnapshotMakesItAFrozenLayer) {
  make_overlay();
  write(50 * mebibyte, 3, 8192);
  const std::string kept = cut();
  const Bytes frozen = content;
  EXPECT_EQ(fixture.store().metadata().overlay, std::nullopt);
  EXPECT_TRUE(fixture.store().metadata().snapshot(id)->removed);
  write(50 * mebibyte, 4, 4096);
  fixture.abandon();
  fixture.open();
  expect_content();
  fixture.settle();
  EXPECT_EQ(fixture.snapshots(), std::vector{kept});
  expect_content();
  ASSERT_TRUE(succeeded(fixture.revert(kept)));
  content = frozen;
  expect_content();
}

TEST_F(StoreOverlay, ARevertThrowsBothAway) {
  write(0, 7, 4096);
  const std::string base = cut();
  const Bytes at_base = content;
  make_overlay();
  ASSERT_TRUE(succeeded(fixture.revert(base)));
  content = at_base;
  expect_content();
  finish();
  const auto all = std::filesystem::directory_iterator(fixture.path());
  EXPECT_EQ(std::count_if(begin(all), end(all), [](const auto& entry) { return entry.path().extension() == ".data"; }),
            2);
  expect_content_after_reopening();
}

TEST_F(StoreOverlay, TheVolumeGrowsUnderIt) {
  make_overlay();
  ASSERT_TRUE(succeeded(fixture.wait(fixture.store().resize(2 * volume_size))));
  ASSERT_TRUE(succeeded(fixture.write(volume_size, pattern(8, 8192))));
  finish();
  expect_content_after_reopening();
  EXPECT_EQ(fixture.read(volume_size, 8192), pattern(8, 8192));
}

TEST_F(StoreMerge, ASnapshotOfASmallerVolumeGrowsWhenItTakesItsChildsPlace) {
  write(0, 1, 16 * mebibyte);
  const std::string small = cut();
  ASSERT_TRUE(succeeded(fixture.wait(fixture.store().resize(2 * volume_size))));
  ASSERT_TRUE(succeeded(fixture.write(volume_size + 4096, pattern(5, 4096))));
  const std::string large = cut();
  remove_and_settle(small);
  EXPECT_EQ(fixture.read(volume_size + 4096, 4096), pattern(5, 4096));
  expect_content();
  remove_and_settle(large);
  fixture.close();
  fixture.open();
  EXPECT_EQ(fixture.read(volume_size + 4096, 4096), pattern(5, 4096));
  expect_content();
}

TEST_F(StoreMerge, ReadersThatKeepComingDoNotHoldItUp) {
  write(0, 1, 24 * mebibyte);
  const std::string id = cut();
  write(8 * mebibyte, 2, 4096);
  bool stop = false;
  size_t reads = 0;
  InFlight readers(fixture.loop().reactor().ready());
  const auto reader = [&](uint64_t offset) -> Task<> {
    AlignedMemory memory(65536);
    while (!stop) {
      EXPECT_TRUE(succeeded(co_await fixture.store().read(offset, memory.span())));
      ++reads;
    }
    readers.remove();
  };
  for (uint64_t i = 0; i < 8; ++i) {
    readers.add();
    run_detached(reader(i * 65536), [] {});
  }
  const auto remove_between = [&]() -> Task<> {
    EXPECT_TRUE(succeeded(co_await fixture.store().delete_snapshot(id)));
    co_await fixture.store().wait_maintenance();
    stop = true;
    co_await readers.wait_idle();
  };
  fixture.loop().wait(remove_between());
  EXPECT_EQ(fixture.store().metadata().layers.size(), 1U);
  EXPECT_GT(reads, 0U);
  expect_content();
}

/// Counts what is copied at once in large pieces; a client of another volume asks for something all the while.
class CopyWatch final : public IoTap {
 public:
  CopyWatch(Reactor& reactor, bool busy) : reactor_(reactor), client_(reactor), busy_(busy) { reactor.set_tap(this); }
  ~CopyWatch() override { reactor_.set_tap(nullptr); }
  Status before(const Event& event) override {
    if (event.kind == Kind::write && event.length > 64 * kibibyte) ++large;
    if (busy_) client_.acts();
    return Status();
  }
  void after(const Event&) override {}

  int large = 0;

 private:
  Reactor& reactor_;
  Reactor::Client client_;
  bool busy_;
};

TEST_F(StoreMerge, CopiesLittleAtOnceWhileAClientOfAnotherVolumeIsBusy) {
  for (const bool busy : {false, true}) {
    write(0, 1, 3 * sector_bytes);
    const std::string id = cut();
    write(4 * sector_bytes, 2, 4 * sector_bytes - 4096);
    CopyWatch watch(fixture.loop().reactor(), busy);
    remove_and_settle(id);
    const int each = static_cast<int>(sector_bytes / (256 * kibibyte));
    if (busy)
      EXPECT_LE(watch.large, each) << "it rests after the first sector at the latest, and then knows";
    else
      EXPECT_GE(watch.large, 3 * each - 3);
  }
  expect_content_after_reopening();
}

}  // namespace
}  // namespace cairn::test
