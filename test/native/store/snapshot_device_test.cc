// Snapshots as devices, and changes told since one.
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

constexpr uint64_t volume_size = 16 * mebibyte;

class StoreSnapshotDevice : public ::testing::Test {
 protected:
  void write(uint64_t offset, uint32_t tag, size_t length) {
    ASSERT_TRUE(succeeded(fixture.write(offset, pattern(tag, length))));
  }
  std::string cut(const std::string& name) {
    std::string id = new_id();
    EXPECT_TRUE(succeeded(fixture.wait(fixture.store().create_snapshot(id, name))));
    return id;
  }
  std::unique_ptr<BlockDevice> open(const std::string& name) {
    Result<std::unique_ptr<BlockDevice>> opened = fixture.wait(fixture.store().open_snapshot(name));
    EXPECT_TRUE(succeeded(opened));
    return opened.ok() ? std::move(opened.value()) : nullptr;
  }
  Bytes read(BlockDevice& device, uint64_t offset, size_t length) {
    AlignedMemory memory((length + 4095) / 4096 * 4096);
    EXPECT_TRUE(succeeded(fixture.wait(device.read(offset, memory.span().first(length)))));
    return {memory.span().begin(), memory.span().begin() + static_cast<ptrdiff_t>(length)};
  }
  static std::vector<std::string> names(const std::vector<SnapshotName>& snapshots) {
    std::vector<std::string> found;
    for (const SnapshotName& snapshot : snapshots) found.push_back(snapshot.name);
    return found;
  }
  uint32_t reference(const std::string& name) {
    for (const SnapshotName& snapshot : fixture.store().snapshots())
      if (snapshot.name == name) return snapshot.reference;
    return 0;
  }
  /// The byte ranges that changed.
  std::vector<std::pair<uint64_t, uint64_t>> changes(BlockDevice& device, uint32_t since) {
    std::vector<Extent> extents;
    EXPECT_TRUE(succeeded(fixture.wait(device.block_status(0, volume_size, {since}, 1000, extents))));
    std::vector<std::pair<uint64_t, uint64_t>> found;
    uint64_t at = 0;
    for (const Extent& extent : extents) {
      if (extent.changed) found.push_back({at, extent.length});
      at += extent.length;
    }
    EXPECT_EQ(at, volume_size);
    return found;
  }
  Status status_since(BlockDevice& device, uint32_t since) {
    std::vector<Extent> extents;
    return fixture.wait(device.block_status(0, volume_size, {since}, 1000, extents));
  }
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

  StoreFixture fixture{volume_size, 512};
};

TEST_F(StoreSnapshotDevice, ReadsTheSnapshotWhateverTheVolumeDoes) {
  write(0, 1, 16384);
  cut("one");
  write(4096, 2, 4096);
  cut("two");
  const auto one = open("one");
  const auto two = open("two");
  write(0, 3, 16384);
  ASSERT_TRUE(succeeded(fixture.trim(8192, 4096)));
  EXPECT_EQ(read(*one, 0, 16384), pattern(1, 16384));
  EXPECT_EQ(read(*two, 4096, 4096), pattern(2, 4096));
  EXPECT_EQ(read(*two, 0, 4096), pattern(1, 4096));
  EXPECT_EQ(read(*one, mebibyte, 4096), zeros(4096));
  const Bytes all = pattern(1, 16384);
  EXPECT_EQ(read(*one, 1536, 1024), Bytes(all.begin() + 1536, all.begin() + 2560));
}

TEST_F(StoreSnapshotDevice, IsReadOnlyAndOfTheSnapshotsSize) {
  cut("one");
  ASSERT_TRUE(succeeded(fixture.wait(fixture.store().resize(2 * volume_size))));
  const auto one = open("one");
  EXPECT_EQ(one->geometry().size, volume_size);
  EXPECT_EQ(one->geometry().logical_block_size, 512U);
  EXPECT_TRUE(one->geometry().read_only);
  AlignedMemory memory(4096);
  EXPECT_EQ(fixture.wait(one->write(0, memory.span(), Durability::buffered)).error(), EPERM);
  EXPECT_EQ(fixture.wait(one->trim(0, 4096, Durability::buffered)).error(), EPERM);
  EXPECT_EQ(fixture.wait(one->write_zeroes(0, 4096, ZeroMode::may_unmap, Durability::buffered)).error(), EPERM);
}

TEST_F(StoreSnapshotDevice, KeepsItsSnapshotAndHoldsMergesUp) {
  write(0, 1, 65536);
  const std::string below = cut("below");
  write(4096, 2, 131072);
  const std::string top = cut("top");
  write(0, 3, 4096);
  auto device = open("top");
  EXPECT_EQ(code_of(fixture.remove(top)), "SNAPSHOT_IN_USE");
  ASSERT_TRUE(succeeded(fixture.remove(below)));
  fixture.settle();
  EXPECT_NE(fixture.store().metadata().snapshot(below), nullptr);
  EXPECT_EQ(read(*device, 0, 4096), pattern(1, 4096));
  device.reset();
  fixture.settle();
  EXPECT_EQ(fixture.store().metadata().snapshot(below), nullptr);
  ASSERT_TRUE(succeeded(fixture.remove(top)));
  fixture.settle();
  EXPECT_EQ(fixture.read(4096, 4096), [] {
    const Bytes all = pattern(2, 131072);
    return Bytes(all.begin(), all.begin() + 4096);
  }());
}

TEST_F(StoreSnapshotDevice, OneOffTheHeadsChainIsReadToo) {
  write(0, 1, 8192);
  const std::string base = cut("base");
  write(4096, 2, 4096);
  cut("branch");
  ASSERT_TRUE(succeeded(fixture.revert(base)));
  write(0, 3, 4096);
  const auto branch = open("branch");
  EXPECT_EQ(read(*branch, 4096, 4096), pattern(2, 4096));
  EXPECT_EQ(names(fixture.store().ancestors("")), std::vector<std::string>{"base"});
  EXPECT_EQ(names(fixture.store().ancestors("branch")), std::vector<std::string>{"base"});
  EXPECT_EQ(names(fixture.store().ancestors("base")), std::vector<std::string>{});
  EXPECT_EQ(names(fixture.store().snapshots()), (std::vector<std::string>{"base", "branch"}));
  EXPECT_EQ(status_since(fixture.store(), reference("branch")).error(), EINVAL);
  EXPECT_EQ(changes(*branch, reference("base")), (Ranges{{4096, 4096}}));
}

TEST_F(StoreSnapshotDevice, SurvivesARevertAndTheStore) {
  write(0, 1, 8192);
  const std::string base = cut("base");
  write(0, 2, 8192);
  cut("later");
  auto later = open("later");
  ASSERT_TRUE(succeeded(fixture.revert(base)));
  EXPECT_EQ(read(*later, 0, 8192), pattern(2, 8192));
  fixture.close();
  EXPECT_EQ(read(*later, 0, 8192), pattern(2, 8192));
  later.reset();
  fixture.open();
}

TEST_F(StoreSnapshotDevice, OneThatIsNotThereIsMissing) {
  const std::string id = cut("one");
  EXPECT_EQ(code_of(fixture.wait(fixture.store().open_snapshot("two"))), "SNAPSHOT_MISSING");
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  EXPECT_EQ(code_of(fixture.wait(fixture.store().open_snapshot("one"))), "SNAPSHOT_MISSING");
}

TEST_F(StoreSnapshotDevice, ChangesAreToldSinceEachAncestor) {
  write(0, 1, 65536);
  cut("one");
  write(8192, 2, 8192);
  cut("two");
  ASSERT_TRUE(succeeded(fixture.trim(32768, 4096)));
  write(mebibyte, 3, 4096);
  EXPECT_EQ(changes(fixture.store(), reference("two")), (Ranges{{32768, 4096}, {mebibyte, 4096}}));
  EXPECT_EQ(changes(fixture.store(), reference("one")), (Ranges{{8192, 8192}, {32768, 4096}, {mebibyte, 4096}}));
  const auto two = open("two");
  EXPECT_EQ(changes(*two, reference("one")), (Ranges{{8192, 8192}}));
  EXPECT_EQ(status_since(fixture.store(), 4711).error(), EINVAL);
  EXPECT_EQ(status_since(*two, 4711).error(), EINVAL);
}

TEST_F(StoreSnapshotDevice, ChangesStayTheSameThroughMerges) {
  write(0, 1, mebibyte);
  const std::string oldest = cut("oldest");
  write(8192, 2, 8192);
  cut("since");
  write(16384, 3, 4096);
  const std::string middle = cut("middle");
  write(mebibyte, 4, 4096);
  cut("newest");
  const uint32_t since = reference("since");
  const Ranges expected{{16384, 4096}, {mebibyte, 4096}};
  EXPECT_EQ(changes(fixture.store(), since), expected);
  ASSERT_TRUE(succeeded(fixture.remove(middle)));
  ASSERT_TRUE(succeeded(fixture.remove(oldest)));  // `since` takes its layer
  fixture.settle();
  EXPECT_EQ(fixture.snapshots().size(), 2U);
  EXPECT_EQ(changes(fixture.store(), since), expected);
  EXPECT_EQ(reference("since"), since);
}

TEST_F(StoreSnapshotDevice, AllocationIsToldWhenNothingElseIsAskedFor) {
  write(8192, 1, 8192);
  cut("one");
  ASSERT_TRUE(succeeded(fixture.trim(8192, 4096)));
  const auto one = open("one");
  std::vector<Extent> extents;
  ASSERT_TRUE(succeeded(fixture.wait(one->block_status(0, 65536, {}, 10, extents))));
  EXPECT_EQ(extents, (std::vector<Extent>{{8192, true, true}, {8192, false, false}, {49152, true, true}}));
  extents.clear();
  ASSERT_TRUE(succeeded(fixture.wait(one->block_status(0, 65536, {}, 2, extents))));
  EXPECT_EQ(extents, (std::vector<Extent>{{8192, true, true}, {8192, false, false}}));
}

}  // namespace
}  // namespace cairn::test
