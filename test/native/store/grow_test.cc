// Growing a volume: online, over snapshots, and what is refused.
#include <fcntl.h>

#include "block/checked_device.h"
#include "store/replica_files.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

constexpr uint64_t small = 10 * mebibyte;
constexpr uint64_t large = 30 * mebibyte;

class StoreGrow : public ::testing::Test {
 protected:
  Result<Unit> resize(uint64_t size) { return fixture.wait(fixture.store().resize(size)); }
  void reopen() {
    fixture.close();
    fixture.open();
  }
  StoreFixture fixture{small, 4096};
};

TEST_F(StoreGrow, WhatIsNewReadsAsZerosAndTakesWrites) {
  ASSERT_TRUE(succeeded(fixture.write(small - 8192, pattern(1, 8192))));
  ASSERT_TRUE(succeeded(resize(large)));
  EXPECT_EQ(fixture.store().geometry().size, large);
  EXPECT_EQ(fixture.read(small - 8192, 8192), pattern(1, 8192));
  EXPECT_EQ(fixture.read(small, large - small), zeros(large - small));
  ASSERT_TRUE(succeeded(fixture.write(small - 4096, pattern(2, 8192))));
  ASSERT_TRUE(succeeded(fixture.write(large - 4096, pattern(3, 4096), Durability::durable)));
  reopen();
  EXPECT_EQ(fixture.store().geometry().size, large);
  EXPECT_EQ(fixture.read(small - 4096, 8192), pattern(2, 8192));
  EXPECT_EQ(fixture.read(large - 4096, 4096), pattern(3, 4096));
}

TEST_F(StoreGrow, AnEmptyVolumeGrowsManyTimes) {
  for (uint64_t size = small; size <= large; size += 4096 * 257) ASSERT_TRUE(succeeded(resize(size)));
  ASSERT_TRUE(succeeded(resize(20 * tebibyte / 2)));
  ASSERT_TRUE(succeeded(fixture.write(9 * tebibyte, pattern(1, 4096))));
  EXPECT_EQ(fixture.read(9 * tebibyte, 4096), pattern(1, 4096));
  EXPECT_EQ(fixture.read(large, 4096), zeros(4096));
}

TEST_F(StoreGrow, IsDurableWhenTheCallReturns) {
  ASSERT_TRUE(succeeded(resize(large)));
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.store().geometry().size, large);
  EXPECT_EQ(fixture.read(small, 4096), zeros(4096));
}

TEST_F(StoreGrow, FrozenLayersStaySmallAndAreReadThrough) {
  ASSERT_TRUE(succeeded(fixture.write(small - 4096, pattern(1, 4096))));
  const std::string before = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(before)));
  ASSERT_TRUE(succeeded(resize(large)));
  ASSERT_TRUE(succeeded(fixture.write(small, pattern(2, 4096))));
  const std::string after = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(after)));
  const auto frozen = store::layer_data_path(fixture.path(), 0);
  EXPECT_EQ(std::filesystem::file_size(frozen), small);
  reopen();
  EXPECT_EQ(fixture.read(small - 4096, 4096), pattern(1, 4096));
  EXPECT_EQ(fixture.read(small, 4096), pattern(2, 4096));
  ASSERT_TRUE(succeeded(fixture.remove(before)));
  fixture.settle();
  EXPECT_EQ(fixture.read(small - 4096, 8192), [] {
    Bytes both = pattern(1, 4096);
    const Bytes second = pattern(2, 4096);
    both.insert(both.end(), second.begin(), second.end());
    return both;
  }());
}

TEST_F(StoreGrow, ARevertToASmallerSnapshotKeepsTheSize) {
  ASSERT_TRUE(succeeded(fixture.write(small - 4096, pattern(1, 4096))));
  const std::string before = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(before)));
  ASSERT_TRUE(succeeded(resize(large)));
  ASSERT_TRUE(succeeded(fixture.write(small, pattern(2, 4096))));
  ASSERT_TRUE(succeeded(fixture.revert(before)));
  EXPECT_EQ(fixture.store().geometry().size, large);
  EXPECT_EQ(fixture.read(small - 4096, 4096), pattern(1, 4096));
  EXPECT_EQ(fixture.read(small, large - small), zeros(large - small));
  ASSERT_TRUE(succeeded(fixture.write(large - 4096, pattern(3, 4096))));
  reopen();
  EXPECT_EQ(fixture.read(large - 4096, 4096), pattern(3, 4096));
}

TEST_F(StoreGrow, TheSameSizeIsWellAndOthersAreRefused) {
  EXPECT_TRUE(succeeded(resize(small)));
  EXPECT_EQ(code_of(resize(small - 4096)), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(resize(small + 512)), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(resize(volume_size_max + 4096)), "INVALID_ARGUMENT");
  EXPECT_EQ(fixture.store().geometry().size, small);
}

TEST_F(StoreGrow, WhatTheFileSystemCannotHoldIsRefusedAndNothingChanges) {
  const std::string probe = fixture.path() + "/probe";
  const UniqueFd file(::open(probe.c_str(), O_RDWR | O_CREAT, 0600));
  if (::ftruncate(file.get(), static_cast<off_t>(volume_size_max)) == 0)
    GTEST_SKIP() << "this file system has files of 64 TiB";
  const Result<Unit> grown = resize(volume_size_max);
  ASSERT_EQ(code_of(grown), "INVALID_ARGUMENT");
  EXPECT_NE(grown.error().message.find("XFS"), std::string::npos);
  EXPECT_EQ(fixture.store().geometry().size, small);
  ASSERT_TRUE(succeeded(resize(large)));
}

TEST_F(StoreGrow, ADeviceThatChecksLetsTheNewRangeThrough) {
  CheckedDevice device(fixture.store());
  AlignedMemory memory(4096);
  EXPECT_EQ(fixture.wait(device.read(small, memory.span())).error(), EINVAL);
  ASSERT_TRUE(succeeded(resize(large)));
  EXPECT_TRUE(succeeded(fixture.wait(device.read(small, memory.span()))));
}

TEST(StoreNames, AreUniqueAmongTheSnapshotsThatLive) {
  StoreFixture fixture(small, 4096);
  const std::string first = new_id();
  const auto cut = [&](const std::string& id, const std::string& name) {
    return fixture.wait(fixture.store().create_snapshot(id, name));
  };
  ASSERT_TRUE(succeeded(cut(first, "monday")));
  EXPECT_EQ(code_of(cut(new_id(), "monday")), "SNAPSHOT_EXISTS");
  EXPECT_EQ(code_of(cut(new_id(), "")), "INVALID_ARGUMENT");
  ASSERT_TRUE(succeeded(fixture.remove(first)));
  ASSERT_TRUE(succeeded(cut(new_id(), "monday")));
  fixture.close();
  fixture.open();
  EXPECT_NE(fixture.store().metadata().snapshot_named("monday"), nullptr);
}

}  // namespace
}  // namespace cairn::test
