// Snapshots: what they hold, how they go, and branches.
#include <atomic>
#include <future>

#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

constexpr uint64_t volume_size = 16 * mebibyte;
constexpr size_t watched = 64 * kibibyte;

class StoreSnapshots : public ::testing::Test {
 protected:
  /// Writes so that each snapshot differs from its neighbours in some blocks, shares others, and has zeroes; then cuts.
  void make_snapshot() {
    const auto step = static_cast<uint32_t>(ids.size());
    change(step % 3 * 4096, pattern(step * 2, 20480));
    ASSERT_TRUE(succeeded(fixture.trim(step % 5 * 8192, 4096)));
    std::fill_n(content.begin() + static_cast<ptrdiff_t>(step % 5 * 8192), 4096, std::byte{0});
    ids.push_back(new_id());
    contents.push_back(content);
    ASSERT_TRUE(succeeded(fixture.snapshot(ids.back())));
  }
  void change(uint64_t offset, const Bytes& bytes) {
    ASSERT_TRUE(succeeded(fixture.write(offset, bytes)));
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<ptrdiff_t>(offset));
  }
  void remove(size_t index) {
    ASSERT_TRUE(succeeded(fixture.remove(ids[index])));
    fixture.settle();
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(index));
    contents.erase(contents.begin() + static_cast<ptrdiff_t>(index));
  }
  void expect_all_exact() {
    EXPECT_EQ(fixture.read(0, watched), content);
    EXPECT_EQ(fixture.snapshots(), ids);
    const std::string present = new_id();
    ASSERT_TRUE(succeeded(fixture.snapshot(present)));
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_TRUE(succeeded(fixture.revert(ids[i])));
      EXPECT_TRUE(fixture.read(0, watched) == contents[i]) << "snapshot " << i;
    }
    ASSERT_TRUE(succeeded(fixture.revert(present)));
    EXPECT_EQ(fixture.read(0, watched), content);
  }
  size_t data_files() const {
    const auto all = std::filesystem::directory_iterator(fixture.path());
    return static_cast<size_t>(
        std::count_if(begin(all), end(all), [](const auto& entry) { return entry.path().extension() == ".data"; }));
  }

  StoreFixture fixture{volume_size, 4096};
  Bytes content = zeros(watched);
  std::vector<std::string> ids;
  std::vector<Bytes> contents;
};

TEST_F(StoreSnapshots, HoldExactlyWhatWasWrittenBefore) {
  for (int i = 0; i < 4; ++i) make_snapshot();
  change(0, pattern(99, 4096));
  expect_all_exact();
}

TEST_F(StoreSnapshots, HoldTheSameAfterReopening) {
  for (int i = 0; i < 4; ++i) make_snapshot();
  change(8192, pattern(99, 4096));
  fixture.close();
  fixture.open();
  expect_all_exact();
}

TEST_F(StoreSnapshots, AreDurableWhenTheCallReturns) {
  for (int i = 0; i < 3; ++i) make_snapshot();
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  expect_all_exact();
}

TEST_F(StoreSnapshots, TheOldestCanBeDeleted) {
  for (int i = 0; i < 4; ++i) make_snapshot();
  remove(0);
  EXPECT_EQ(data_files(), 4U);
  expect_all_exact();
}

TEST_F(StoreSnapshots, OneInTheMiddleCanBeDeleted) {
  for (int i = 0; i < 4; ++i) make_snapshot();
  remove(1);
  expect_all_exact();
}

TEST_F(StoreSnapshots, TheNewestCanBeDeleted) {
  for (int i = 0; i < 4; ++i) make_snapshot();
  change(4096, pattern(77, 8192));
  remove(3);
  expect_all_exact();
}

TEST_F(StoreSnapshots, AllCanBeDeletedAtOnce) {
  for (int i = 0; i < 6; ++i) make_snapshot();
  for (const std::string& id : ids) ASSERT_TRUE(succeeded(fixture.remove(id)));
  ids.clear();
  contents.clear();
  fixture.settle();
  EXPECT_EQ(data_files(), 1U);
  fixture.close();
  fixture.open();
  expect_all_exact();
}

TEST_F(StoreSnapshots, DeletionGoesOnAfterReopening) {
  for (int i = 0; i < 3; ++i) make_snapshot();
  ASSERT_TRUE(succeeded(fixture.remove(ids[1])));
  fixture.close();  // before the merge is done
  ids.erase(ids.begin() + 1);
  contents.erase(contents.begin() + 1);
  fixture.open();
  fixture.settle();
  expect_all_exact();
}

TEST_F(StoreSnapshots, ADeletedOneEmitsMergeFinished) {
  make_snapshot();
  const std::string id = ids[0];
  remove(0);
  ASSERT_EQ(fixture.events.size(), 1U);
  EXPECT_EQ(fixture.events[0].kind, store::StoreEvent::Kind::merge_finished);
  EXPECT_EQ(fixture.events[0].message, id);
}

TEST_F(StoreSnapshots, WithTwoChildrenADeletedOneWaitsUntilOneIsLeft) {
  make_snapshot();  // 0: the parent of both
  make_snapshot();  // 1: one child
  ASSERT_TRUE(succeeded(fixture.revert(ids[0])));
  content = contents[0];
  make_snapshot();  // 2: the other child
  const std::string parent = ids[0];
  ASSERT_TRUE(succeeded(fixture.remove(parent)));
  fixture.settle();
  ASSERT_NE(fixture.store().metadata().snapshot(parent), nullptr);
  EXPECT_TRUE(fixture.store().metadata().snapshot(parent)->removed);
  ASSERT_TRUE(succeeded(fixture.remove(ids[1])));
  fixture.settle();
  EXPECT_EQ(fixture.store().metadata().snapshot(parent), nullptr);
  EXPECT_EQ(fixture.snapshots(), std::vector{ids[2]});
  EXPECT_EQ(fixture.read(0, watched), content);
  ASSERT_TRUE(succeeded(fixture.revert(ids[2])));
  EXPECT_EQ(fixture.read(0, watched), contents[2]);
}

TEST_F(StoreSnapshots, ABranchKeepsItsContentWhenTheOtherIsDeleted) {
  for (int i = 0; i < 3; ++i) make_snapshot();
  ASSERT_TRUE(succeeded(fixture.revert(ids[0])));
  content = contents[0];
  change(16384, pattern(50, 4096));
  make_snapshot();
  ASSERT_TRUE(succeeded(fixture.remove(ids[1])));  // outside the chain, merged into 2, which is outside too
  fixture.settle();
  ids.erase(ids.begin() + 1);
  contents.erase(contents.begin() + 1);
  expect_all_exact();
}

TEST_F(StoreSnapshots, TheHeadIsThrownAwayByRevert) {
  make_snapshot();
  change(0, pattern(40, 32768));
  ASSERT_TRUE(succeeded(fixture.revert(ids[0])));
  EXPECT_EQ(fixture.read(0, watched), contents[0]);
  EXPECT_EQ(data_files(), 2U);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.read(0, watched), contents[0]);
}

TEST_F(StoreSnapshots, ARevertDuringAMergeEndsBothWell) {
  for (int i = 0; i < 5; ++i) make_snapshot();
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(succeeded(fixture.remove(ids[1])));
    ids.erase(ids.begin() + 1);
    contents.erase(contents.begin() + 1);
    ASSERT_TRUE(succeeded(fixture.revert(ids[0])));
    content = contents[0];
    make_snapshot();
  }
  fixture.settle();
  for (const store::StoreEvent& event : fixture.events)
    EXPECT_NE(event.kind, store::StoreEvent::Kind::failed) << event.message;
  expect_all_exact();
}

/// Holds the blocking thread's queue at this place until it is let go.
class Barrier {
 public:
  explicit Barrier(BlockingThread& thread) {
    thread.run([this] {
      reached_ = true;
      gate_.get_future().wait();
    });
  }
  bool reached() const { return reached_; }
  void let_go() { gate_.set_value(); }

 private:
  std::promise<void> gate_;
  std::atomic<bool> reached_ = false;
};

TEST_F(StoreSnapshots, ARevertThatEndsWhileAMergeReadsAMapLeavesItsFilesOpen) {
  for (int i = 0; i < 3; ++i) make_snapshot();
  ASSERT_TRUE(succeeded(fixture.remove(ids[1])));
  fixture.close();  // before the merge is done
  fixture.open_without_maintenance();
  ASSERT_NE(fixture.store().metadata().snapshot(ids[1]), nullptr);
  const auto turn = [&] {
    fixture.loop().wait([](Reactor& reactor) -> Task<> {
      co_await reactor.sleep(std::chrono::microseconds(100));
    }(fixture.loop().reactor()));
  };
  const auto turn_until = [&](auto condition) {
    while (!condition()) turn();
  };
  // The revert's last step but one, then the merge's first read, in the queue of the thread that blocks.
  Barrier before_switch(fixture.blocking());
  std::optional<Result<Unit>> reverted;
  run_detached(fixture.store().revert(ids[0]), [&](Result<Unit> result) { reverted.emplace(std::move(result)); });
  Barrier after_preparation(fixture.blocking());
  before_switch.let_go();
  turn_until([&] { return after_preparation.reached(); });
  turn();  // the revert hears of its preparation, and its switch is in the queue before the read
  Barrier before_read(fixture.blocking());
  fixture.store().resume_maintenance();
  const uint32_t old_head = fixture.store().metadata().head;
  after_preparation.let_go();
  turn_until([&] { return fixture.store().metadata().head != old_head; });
  before_read.let_go();
  turn_until([&] { return reverted.has_value(); });
  EXPECT_TRUE(succeeded(*reverted));
  fixture.settle();
  for (const store::StoreEvent& event : fixture.events)
    EXPECT_NE(event.kind, store::StoreEvent::Kind::failed) << event.message;
  EXPECT_EQ(fixture.read(0, watched), contents[0]);
}

TEST_F(StoreSnapshots, NamesThatAreTakenMissingOrNoUuidsAreRefused) {
  make_snapshot();
  EXPECT_EQ(code_of(fixture.snapshot(ids[0])), "SNAPSHOT_EXISTS");
  EXPECT_EQ(code_of(fixture.snapshot("yesterday")), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(fixture.snapshot("")), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(fixture.remove(new_id())), "SNAPSHOT_MISSING");
  EXPECT_EQ(code_of(fixture.remove("")), "SNAPSHOT_MISSING");
  EXPECT_EQ(code_of(fixture.revert(new_id())), "SNAPSHOT_MISSING");
  EXPECT_EQ(code_of(fixture.revert("head-1")), "SNAPSHOT_MISSING");
}

TEST_F(StoreSnapshots, ADeletedOneIsMissingAtOnce) {
  make_snapshot();
  ASSERT_TRUE(succeeded(fixture.remove(ids[0])));
  EXPECT_EQ(code_of(fixture.remove(ids[0])), "SNAPSHOT_MISSING");
  EXPECT_EQ(code_of(fixture.revert(ids[0])), "SNAPSHOT_MISSING");
}

TEST_F(StoreSnapshots, TheListNamesParentsAndTheChain) {
  make_snapshot();
  make_snapshot();
  ASSERT_TRUE(succeeded(fixture.revert(ids[0])));
  const std::vector<store::LayerStatus> layers = fixture.store().layers();
  ASSERT_EQ(layers.size(), 3U);
  EXPECT_EQ(layers[0].id, ids[0]);
  EXPECT_EQ(layers[0].parent, "");
  EXPECT_TRUE(layers[0].in_chain);
  EXPECT_EQ(layers[1].id, ids[1]);
  EXPECT_EQ(layers[1].parent, ids[0]);
  EXPECT_FALSE(layers[1].in_chain);
  EXPECT_EQ(layers[2].id, "head-" + std::to_string(fixture.store().metadata().head));
  EXPECT_EQ(layers[2].parent, ids[0]);
  EXPECT_TRUE(layers[2].in_chain);
}

TEST(StoreManySnapshots, ThreeHundredAreReadThrough) {
  constexpr uint32_t count = 300;
  StoreFixture fixture(8 * mebibyte, 4096);
  std::vector<std::string> ids;
  for (uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(succeeded(fixture.write(i * 4096, pattern(i, 8192))));
    ids.push_back(new_id());
    ASSERT_TRUE(succeeded(fixture.snapshot(ids.back())));
  }
  const auto expect_content = [&] {
    const Bytes all = fixture.read(0, count * 4096);
    for (uint32_t i = 0; i < count; ++i) {
      const Bytes expected = pattern(i, 4096);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), all.begin() + i * 4096)) << "block " << i;
    }
  };
  expect_content();
  fixture.close();
  fixture.open();
  expect_content();
  ASSERT_TRUE(succeeded(fixture.revert(ids[100])));
  EXPECT_EQ(fixture.read(101 * 4096, 4096), [] {
    const Bytes two = pattern(100, 8192);
    return Bytes(two.begin() + 4096, two.end());
  }());
  EXPECT_EQ(fixture.read(102 * 4096, 4096), zeros(4096));
}

}  // namespace
}  // namespace cairn::test
