// What space a volume takes, and how it gets it back.
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

constexpr uint64_t written = 2 * mebibyte;
/// What a map and the file system's own metadata may add.
constexpr uint64_t slack = 128 * kibibyte;

class StoreSpace : public ::testing::Test {
 protected:
  void fill() { ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, written)))); }
  void fill_below_snapshot() {
    fill();
    ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  }
  StoreFixture fixture{64 * mebibyte, 512};
  const std::string id = new_id();
};

TEST_F(StoreSpace, OnlyWhatIsWrittenTakesSpace) {
  fill();
  EXPECT_GE(fixture.head_bytes(), written);
  EXPECT_LT(fixture.head_bytes(), written + slack);
}

TEST_F(StoreSpace, TrimFreesTheSpaceAndReadsAsZeros) {
  fill();
  ASSERT_TRUE(succeeded(fixture.trim(0, written)));
  EXPECT_LT(fixture.head_bytes(), slack);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
}

TEST_F(StoreSpace, WriteZeroesFreesTheSpaceAndReadsAsZeros) {
  fill();
  ASSERT_TRUE(succeeded(fixture.zero(0, written)));
  EXPECT_LT(fixture.head_bytes(), slack);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
}

TEST_F(StoreSpace, TrimAboveASnapshotReadsAsZerosAndTakesNoSpace) {
  fill_below_snapshot();
  ASSERT_TRUE(succeeded(fixture.trim(0, written)));
  EXPECT_LT(fixture.head_bytes(), slack);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
  ASSERT_TRUE(succeeded(fixture.revert(id)));
  EXPECT_EQ(fixture.read(0, written), pattern(1, written));
}

TEST_F(StoreSpace, WriteZeroesAboveASnapshotReadsAsZerosAndTakesNoSpace) {
  fill_below_snapshot();
  ASSERT_TRUE(succeeded(fixture.zero(0, written)));
  EXPECT_LT(fixture.head_bytes(), slack);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
}

TEST_F(StoreSpace, TrimmedBlocksAboveASnapshotFreeTheSnapshotsSpaceWhenItIsDeleted) {
  fill_below_snapshot();
  ASSERT_TRUE(succeeded(fixture.trim(0, written)));
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  fixture.settle();
  EXPECT_LT(fixture.disk_bytes(), 2 * slack);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
}

TEST_F(StoreSpace, ZeroesSurviveReopeningAlsoAboveASnapshot) {
  fill_below_snapshot();
  ASSERT_TRUE(succeeded(fixture.trim(4096, 8192)));
  fixture.close();
  fixture.open();
  EXPECT_EQ(fixture.read(4096, 8192), zeros(8192));
  EXPECT_NE(fixture.read(0, 4096), zeros(4096));
}

TEST_F(StoreSpace, WriteZeroesThatKeepsSpaceAllocatesIt) {
  ASSERT_TRUE(succeeded(fixture.zero(0, written, ZeroMode::keep_space)));
  EXPECT_GE(fixture.head_bytes(), written);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
}

TEST_F(StoreSpace, WriteZeroesThatKeepsSpaceAllocatesItAboveASnapshot) {
  fill_below_snapshot();
  ASSERT_TRUE(succeeded(fixture.zero(0, written, ZeroMode::keep_space)));
  EXPECT_GE(fixture.head_bytes(), written);
  EXPECT_EQ(fixture.read(0, written), zeros(written));
  ASSERT_TRUE(succeeded(fixture.revert(id)));
  EXPECT_EQ(fixture.read(0, written), pattern(1, written));
}

TEST_F(StoreSpace, WriteZeroesThatKeepsSpaceSurvivesReopening) {
  fill();
  ASSERT_TRUE(succeeded(fixture.zero(512, 1024 * 512, ZeroMode::keep_space)));
  fixture.close();
  fixture.open();
  EXPECT_EQ(fixture.read(512, 1024 * 512), zeros(1024 * 512));
  const Bytes before = pattern(1, written);
  EXPECT_EQ(fixture.read(0, 512), Bytes(before.begin(), before.begin() + 512));
}

TEST_F(StoreSpace, TrimOfPartsOfBlocksLeavesThemAlone) {
  fill();
  ASSERT_TRUE(succeeded(fixture.trim(512, 4096 + 3584)));  // covers the second block only
  Bytes expected = pattern(1, 12288);
  std::fill_n(expected.begin() + 4096, 4096, std::byte{0});
  EXPECT_EQ(fixture.read(0, 12288), expected);
  ASSERT_TRUE(succeeded(fixture.trim(8704, 3072)));
  EXPECT_EQ(fixture.read(0, 12288), expected);
}

TEST_F(StoreSpace, WriteZeroesOfPartsOfBlocksZeroesExactlyThem) {
  fill_below_snapshot();
  Bytes expected = pattern(1, 20480);
  for (const auto& [offset, length] : {std::pair{512, 512}, std::pair{3584, 1024}, std::pair{7680, 9216}}) {
    ASSERT_TRUE(succeeded(fixture.zero(static_cast<uint64_t>(offset), static_cast<uint64_t>(length))));
    std::fill_n(expected.begin() + offset, length, std::byte{0});
    ASSERT_EQ(fixture.read(0, 20480), expected);
  }
}

TEST_F(StoreSpace, TheWholeVolumeCanBeTrimmedAtOnce) {
  fill_below_snapshot();
  ASSERT_TRUE(succeeded(fixture.trim(0, 64 * mebibyte, Durability::durable)));
  EXPECT_EQ(fixture.read(0, 4 * mebibyte), zeros(4 * mebibyte));
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4 * mebibyte), zeros(4 * mebibyte));
}

TEST_F(StoreSpace, ActualSizesAreThoseOfEachLayer) {
  fill_below_snapshot();
  const uint32_t frozen = fixture.store().metadata().snapshot(id)->number;
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, mebibyte))));
  EXPECT_GE(store::allocated_bytes(fixture.path(), frozen), written);
  EXPECT_LT(store::allocated_bytes(fixture.path(), frozen), written + slack);
  EXPECT_GE(fixture.head_bytes(), mebibyte);
  EXPECT_LT(fixture.head_bytes(), mebibyte + slack);
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  fixture.settle();
  EXPECT_GE(fixture.disk_bytes(), written);
  EXPECT_LT(fixture.disk_bytes(), written + 2 * slack);
}

TEST_F(StoreSpace, BlockStatusSaysWhatReadsAsZerosWhicheverLayerHasIt) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 8192))));
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  ASSERT_TRUE(succeeded(fixture.write(8192, pattern(2, 8192))));
  ASSERT_TRUE(succeeded(fixture.trim(4096, 4096)));
  const auto status = [&](uint64_t offset, uint64_t length, size_t extents_max) {
    std::vector<Extent> extents;
    EXPECT_TRUE(
        succeeded(fixture.wait(fixture.store().block_status(offset, length, StatusQuery{}, extents_max, extents))));
    return extents;
  };
  const Extent hole{4096, true, true};
  const Extent data{8192, false, false};
  EXPECT_EQ(status(0, 20480, 16), (std::vector{Extent{4096, false, false}, hole, data, hole}));
  EXPECT_EQ(status(0, 20480, 2), (std::vector{Extent{4096, false, false}, hole}));
  EXPECT_EQ(status(512, 1024, 16), (std::vector{Extent{1024, false, false}}));
}

}  // namespace
}  // namespace cairn::test
