// The list of runs beside a frozen layer: the same as its map says, and gone before the map says something else.
#include "store/run_list.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "store/replica_files.h"
#include "store/sealed.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using store::BlockState;
using store::StateRun;

constexpr uint32_t layer = 5;

/// A map of random runs, and what it says as a state of each block.
class RunList : public ::testing::Test {
 protected:
  void make(uint64_t block_count, const std::function<BlockState(uint64_t)>& state_of) {
    states.resize(block_count);
    for (uint64_t block = 0; block < block_count; ++block) states[block] = state_of(block);
    const std::string path = store::layer_map_path(directory.path(), layer);
    const Result<UniqueFd> map = store::open_file(path, O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_TRUE(succeeded(map));
    ASSERT_TRUE(succeeded(store::create_map(map.value().get(), path, layer, block_count, store::random_uuid())));
    for (uint32_t number = 0; number < store::map_sector_count(block_count); ++number) {
      store::MapSector sector;
      const uint64_t first = uint64_t{number} * store::map_sector_blocks;
      for (uint64_t block = first; block < std::min(block_count, first + store::map_sector_blocks); ++block)
        store::set_states(sector, static_cast<uint32_t>(block - first), 1, states[block]);
      store::seal(sector, number);
      if (std::all_of(sector.states.begin(), sector.states.end(), [](uint8_t byte) { return byte == 0; })) continue;
      ASSERT_TRUE(succeeded(
          store::write_all(map.value().get(), path, store::bytes_of(sector), store::map_sector_offset(number))));
    }
  }
  void make_random(uint64_t block_count) {
    std::mt19937_64 random(test_seed());
    uint64_t end = 0;
    BlockState state = BlockState::absent;
    make(block_count, [&](uint64_t block) {
      if (block < end) return state;
      end = block + 1 + random() % (random() % 20 == 0 ? 9000 : 40);
      state = static_cast<BlockState>(random() % 3);
      return state;
    });
  }
  Result<Unit> build(int* steps = nullptr) {
    store::RunListBuilder builder;
    Result<Unit> done = builder.begin(directory.path(), layer);
    for (; done.ok() && !builder.whole(); done = builder.step())
      if (steps != nullptr) ++*steps;
    return done.ok() ? builder.finish(directory.path()) : done;
  }
  std::optional<std::vector<BlockState>> listed(uint64_t block_count, uint32_t number = layer) {
    std::vector<BlockState> found(block_count, BlockState::absent);
    uint64_t end = 0;
    const bool usable = store::read_run_list(directory.path(), number, block_count, [&](const StateRun& run) {
      ASSERT_GE(run.first, end);
      ASSERT_LE(run.first + run.count, block_count);
      ASSERT_NE(run.state, BlockState::absent);
      end = run.first + run.count;
      std::fill_n(found.begin() + static_cast<ptrdiff_t>(run.first), run.count, run.state);
    });
    if (!usable) {
      EXPECT_EQ(end, 0U) << "something was visited, although nothing counts";
      return std::nullopt;
    }
    return found;
  }
  std::string path() const { return store::run_list_path(directory.path(), layer); }

  TemporaryDirectory directory;
  std::vector<BlockState> states;
};

TEST_F(RunList, SaysWhatTheMapSays) {
  make_random(1'000'003);
  ASSERT_TRUE(succeeded(build()));
  EXPECT_EQ(listed(1'000'003), states);
}

TEST_F(RunList, OfAnEmptyLayerIsEmpty) {
  make(5000, [](uint64_t) { return BlockState::absent; });
  ASSERT_TRUE(succeeded(build()));
  EXPECT_EQ(listed(5000), states);
}

TEST_F(RunList, OfAWrittenLayerIsOneRunInManySteps) {
  make(20'000'000, [](uint64_t) { return BlockState::data; });
  int steps = 0;
  ASSERT_TRUE(succeeded(build(&steps)));
  EXPECT_GT(steps, 1);
  EXPECT_LT(std::filesystem::file_size(path()), 80U);
  EXPECT_EQ(listed(20'000'000), states);
}

TEST_F(RunList, IsMadeOnce) {
  make_random(100'000);
  int steps = 0;
  ASSERT_TRUE(succeeded(build(&steps)));
  EXPECT_GT(steps, 0);
  steps = 0;
  ASSERT_TRUE(succeeded(build(&steps)));
  EXPECT_EQ(steps, 0);
}

TEST_F(RunList, ThatWouldBeLongerThanItsMapIsNotKeptAndNotTriedAgain) {
  make(300'000, [](uint64_t block) { return block % 2 == 0 ? BlockState::data : BlockState::absent; });
  ASSERT_TRUE(succeeded(build()));
  EXPECT_EQ(std::filesystem::file_size(path()), sizeof(store::RunListHeader));
  EXPECT_EQ(listed(300'000), std::nullopt);
  int steps = 0;
  ASSERT_TRUE(succeeded(build(&steps)));
  EXPECT_EQ(steps, 0);
}

TEST_F(RunList, OfAnotherLayerOrSizeIsPassedOver) {
  make_random(100'000);
  ASSERT_TRUE(succeeded(build()));
  EXPECT_EQ(listed(100'001), std::nullopt);
  EXPECT_EQ(listed(99'999), std::nullopt);
  std::filesystem::copy(path(), store::run_list_path(directory.path(), layer + 1));
  EXPECT_EQ(listed(100'000, layer + 1), std::nullopt);
  EXPECT_EQ(listed(100'000, layer + 2), std::nullopt);
}

TEST_F(RunList, IsPassedOverWhenAnyByteIsDamagedAndMadeAnew) {
  make_random(100'000);
  ASSERT_TRUE(succeeded(build()));
  std::mt19937_64 random(test_seed());
  for (uint64_t i = 0; i < 100; ++i) {
    const uint64_t at = i < 64 ? i : random() % std::filesystem::file_size(path());
    const Result<UniqueFd> file = store::open_file(path(), O_RDWR);
    std::array<std::byte, 1> byte{};
    ASSERT_TRUE(succeeded(store::read_all(file.value().get(), path(), byte, at)));
    byte[0] ^= std::byte{0x10};
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path(), byte, at)));
    ASSERT_EQ(listed(100'000), std::nullopt) << "byte " << at;
    ASSERT_TRUE(succeeded(build()));
    ASSERT_EQ(listed(100'000), states);
  }
}

TEST_F(RunList, IsPassedOverWhenItIsCutShortOrLonger) {
  make_random(100'000);
  ASSERT_TRUE(succeeded(build()));
  const uint64_t whole = std::filesystem::file_size(path());
  for (const uint64_t size : {whole + 1, whole - 1, uint64_t{64}, uint64_t{63}, uint64_t{0}}) {
    std::filesystem::resize_file(path(), size);
    EXPECT_EQ(listed(100'000), std::nullopt) << size << " bytes";
  }
}

TEST_F(RunList, OfAnyNumbersWithRightChecksumsBreaksNothing) {
  make_random(100'000);
  ASSERT_TRUE(succeeded(build()));
  const Result<UniqueFd> file = store::open_file(path(), O_RDWR);
  store::RunListHeader header;
  ASSERT_TRUE(succeeded(store::read_all(file.value().get(), path(), store::bytes_of(header), 0)));
  std::vector<std::byte> body(header.body_bytes);
  ASSERT_TRUE(succeeded(store::read_all(file.value().get(), path(), body, sizeof header)));
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> wrong = body;
    for (size_t at = random() % wrong.size(); at < wrong.size(); ++at)
      wrong[at] = static_cast<std::byte>(random() % (i % 2 == 0 ? 256 : 200));
    store::RunListHeader sealed = header;
    if (i % 3 == 0) sealed.run_count = random() % 2 == 0 ? store::run_list_unkept - 1 : random() % header.run_count;
    sealed.body_checksum = crc32c(wrong.data(), wrong.size());
    sealed.checksum = store::checksum_of(sealed);
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path(), store::bytes_of(sealed), 0)));
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path(), wrong, sizeof sealed)));
    (void)listed(100'000);
  }
}

TEST_F(RunList, OfADamagedMapIsNotMade) {
  make_random(100'000);
  const std::string map = store::layer_map_path(directory.path(), layer);
  const Result<UniqueFd> file = store::open_file(map, O_RDWR);
  const std::array<std::byte, 1> byte{std::byte{0xff}};
  ASSERT_TRUE(succeeded(store::write_all(file.value().get(), map, byte, store::map_sector_offset(1) + 100)));
  EXPECT_EQ(code_of(build()), "REPLICA_CORRUPT");
  EXPECT_FALSE(std::filesystem::exists(path()));
}

/// Of a volume.
class StoreWithRunLists : public ::testing::Test {
 protected:
  std::string cut() {
    std::string id = new_id();
    EXPECT_TRUE(succeeded(fixture.snapshot(id)));
    return id;
  }
  void write(uint64_t offset, uint32_t tag) { ASSERT_TRUE(succeeded(fixture.write(offset, pattern(tag, 8192)))); }
  void describe_all() {
    fixture.store().start_checksums();
    fixture.settle();
  }
  void crash() {
    fixture.abandon();
    fixture.open_without_maintenance();
  }
  uint32_t number(const std::string& id) { return fixture.store().metadata().snapshot(id)->number; }
  bool has_list(uint32_t of) { return std::filesystem::exists(store::run_list_path(fixture.path(), of)); }
  void damage_map(uint32_t of) {
    const std::string path = store::layer_map_path(fixture.path(), of);
    const Result<UniqueFd> file = store::open_file(path, O_RDWR);
    const std::array<std::byte, 1> byte{std::byte{0xff}};
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path, byte, store::map_sector_offset(0) + 100)));
  }

  StoreFixture fixture{64 * mebibyte, 4096};
};

TEST_F(StoreWithRunLists, IsOpenedAfterACrashWithoutReadingTheMapsOfFrozenLayers) {
  write(0, 1);
  const std::string first = cut();
  write(mebibyte, 2);
  describe_all();
  ASSERT_TRUE(has_list(number(first)));
  EXPECT_FALSE(has_list(fixture.store().metadata().head));
  damage_map(number(first));
  crash();
  EXPECT_EQ(fixture.read(0, 8192), pattern(1, 8192));
  EXPECT_EQ(fixture.read(mebibyte, 8192), pattern(2, 8192));
}

TEST_F(StoreWithRunLists, AMergeLeavesNoneOfWhatTheLayersHadBefore) {
  write(0, 1);
  write(mebibyte, 2);
  const std::string first = cut();
  write(0, 3);
  const std::string second = cut();
  write(2 * mebibyte, 4);
  describe_all();
  ASSERT_TRUE(has_list(number(first)) && has_list(number(second)));
  ASSERT_TRUE(succeeded(fixture.remove(first)));
  fixture.settle();
  ASSERT_EQ(fixture.snapshots().size(), 1U);
  EXPECT_FALSE(has_list(number(second)));
  crash();
  EXPECT_EQ(fixture.read(0, 8192), pattern(3, 8192));
  EXPECT_EQ(fixture.read(mebibyte, 8192), pattern(2, 8192));
  EXPECT_EQ(fixture.read(2 * mebibyte, 8192), pattern(4, 8192));
  describe_all();
  EXPECT_TRUE(has_list(number(second)));
  crash();
  EXPECT_EQ(fixture.read(0, 8192), pattern(3, 8192));
  EXPECT_EQ(fixture.read(mebibyte, 8192), pattern(2, 8192));
}

TEST_F(StoreWithRunLists, ALayerThatIsWrittenAgainHasNone) {
  for (uint64_t at = 0; at < 32; ++at) write(at * mebibyte, 1);
  const std::string only = cut();
  const uint32_t below = number(only);
  write(0, 2);
  describe_all();
  ASSERT_TRUE(has_list(below));
  // The large layer below becomes the head.
  ASSERT_TRUE(succeeded(fixture.remove(only)));
  fixture.settle();
  ASSERT_EQ(fixture.store().metadata().head, below);
  EXPECT_FALSE(has_list(below));
  write(40 * mebibyte, 3);
  crash();
  EXPECT_EQ(fixture.read(0, 8192), pattern(2, 8192));
  EXPECT_EQ(fixture.read(mebibyte, 8192), pattern(1, 8192));
  EXPECT_EQ(fixture.read(40 * mebibyte, 8192), pattern(3, 8192));
}

TEST_F(StoreWithRunLists, ThatCannotBeMadeAreDoneWithout) {
  write(0, 1);
  const std::string first = cut();
  std::filesystem::create_directory(store::run_list_path(fixture.path(), number(first)) + ".new");
  describe_all();
  EXPECT_FALSE(has_list(number(first)));
  EXPECT_TRUE(fixture.store().metadata().snapshot(first)->checksummed);
  std::filesystem::remove(store::run_list_path(fixture.path(), number(first)) + ".new");
  crash();
  EXPECT_EQ(fixture.read(0, 8192), pattern(1, 8192));
}

/// The disk returned zeros, which is a sector that says nothing.
TEST_F(StoreWithRunLists, AMergeStopsBeforeItDropsALayerWhoseMapLacksBlocks) {
  write(0, 1);
  const std::string first = cut();
  for (uint64_t at = 1; at < 8; ++at) write(at * mebibyte, 2);
  describe_all();
  const std::string path = store::layer_map_path(fixture.path(), number(first));
  const store::MapSector nothing;
  const Result<UniqueFd> file = store::open_file(path, O_RDWR);
  ASSERT_TRUE(
      succeeded(store::write_all(file.value().get(), path, store::bytes_of(nothing), store::map_sector_offset(0))));
  crash();
  ASSERT_TRUE(succeeded(fixture.remove(first)));
  fixture.store().resume_maintenance();
  fixture.settle();
  EXPECT_EQ(fixture.snapshots().size(), 1U) << "it is still there";
  EXPECT_EQ(fixture.read(0, 8192), pattern(1, 8192));
  EXPECT_EQ(fixture.events.back().kind, store::StoreEvent::Kind::failed);
}

}  // namespace
}  // namespace cairn::test
