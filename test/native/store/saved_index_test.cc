// The index that a clean close leaves: the same as the maps say, and never used where they might say something else.
#include "store/saved_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "store/replica_files.h"
#include "store/sealed.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using store::IndexedChain;
using store::ReadIndex;
using store::Source;

/// Layers 7, 3 and 9, in slots 2, 3 and 1.
const IndexedChain chain{.session = 42, .layers = {7, 3, 9}};
const std::vector<uint16_t> places{0, 2, 0, 1};

class SavedIndex : public ::testing::Test {
 protected:
  SavedIndex() {
    std::mt19937_64 random(test_seed());
    for (int i = 0; i < 5000; ++i) {
      const uint64_t first = random() % blocks;
      const uint64_t count = std::min<uint64_t>(1 + random() % (i % 50 == 0 ? 3000 : 3), blocks - first);
      index.assign(first, count, Source(static_cast<uint16_t>(random() % 4), random() % 4 == 0));
    }
    EXPECT_TRUE(succeeded(store::save_index(directory.path(), index, chain, places)));
  }
  std::unique_ptr<ReadIndex> load(const IndexedChain& of) { return store::load_index(directory.path(), of, blocks); }
  uint64_t file_bytes() const { return std::filesystem::file_size(store::saved_index_path(directory.path())); }

  static constexpr uint64_t blocks = 1'000'003;
  TemporaryDirectory directory;
  ReadIndex index{blocks};
};

TEST_F(SavedIndex, SaysOfEachBlockWhatWasSaved) {
  const std::unique_ptr<ReadIndex> loaded = load(chain);
  ASSERT_NE(loaded, nullptr);
  for (uint64_t block = 0; block < blocks; ++block) {
    const Source saved = index.at(block);
    const Source expected =
        saved.slot() == 0 ? Source() : Source(static_cast<uint16_t>(places[saved.slot()] + 1), saved.reads_zero());
    ASSERT_EQ(loaded->at(block), expected) << "block " << block;
  }
}

TEST_F(SavedIndex, CountsForItsOwnSessionChainAndSizeAlone) {
  EXPECT_EQ(load({43, chain.layers}), nullptr);
  EXPECT_EQ(load({42, {7, 3}}), nullptr);
  EXPECT_EQ(load({42, {7, 3, 8}}), nullptr);
  EXPECT_EQ(load({42, {3, 7, 9}}), nullptr);
  EXPECT_EQ(store::load_index(directory.path(), chain, blocks + 1), nullptr);
  EXPECT_EQ(store::load_index(directory.path() + "/elsewhere", chain, blocks), nullptr);
}

TEST_F(SavedIndex, IsPassedOverWhenAnyByteOfItIsDamaged) {
  const std::string path = store::saved_index_path(directory.path());
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 200; ++i) {
    const uint64_t at = i < 64 ? static_cast<uint64_t>(i) : random() % file_bytes();
    const Result<UniqueFd> file = store::open_file(path, O_RDWR);
    std::array<std::byte, 1> byte{};
    ASSERT_TRUE(succeeded(store::read_all(file.value().get(), path, byte, at)));
    byte[0] ^= std::byte{0x10};
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path, byte, at)));
    ASSERT_EQ(load(chain), nullptr) << "byte " << at;
    byte[0] ^= std::byte{0x10};
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path, byte, at)));
  }
  EXPECT_NE(load(chain), nullptr);
}

TEST_F(SavedIndex, IsPassedOverWhenItIsCutShortOrLonger) {
  const std::string path = store::saved_index_path(directory.path());
  const uint64_t whole = file_bytes();
  for (const uint64_t size : {whole + 1, whole - 1, uint64_t{64}, uint64_t{63}, uint64_t{0}}) {
    std::filesystem::resize_file(path, size);
    EXPECT_EQ(load(chain), nullptr) << size << " bytes";
  }
}

TEST_F(SavedIndex, OfAnyRunsWithRightChecksumsBreaksNothing) {
  const std::string path = store::saved_index_path(directory.path());
  const Result<UniqueFd> file = store::open_file(path, O_RDWR);
  store::SavedIndexHeader header;
  ASSERT_TRUE(succeeded(store::read_all(file.value().get(), path, store::bytes_of(header), 0)));
  std::vector<std::byte> body(header.body_bytes);
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(succeeded(store::read_all(file.value().get(), path, body, sizeof header)));
    std::vector<std::byte> wrong = body;
    // Runs that were right up to here go on with any numbers, short and long.
    for (size_t at = 12 + random() % (body.size() - 12); at < body.size(); ++at)
      wrong[at] = static_cast<std::byte>(random() % (i % 2 == 0 ? 256 : 200));
    store::SavedIndexHeader sealed = header;
    sealed.run_count = i % 3 == 0 ? ~uint64_t{0} : header.run_count;
    sealed.body_checksum = crc32c(wrong.data(), wrong.size());
    sealed.checksum = store::checksum_of(sealed);
    const std::string copy = directory.path() + "/copy";
    std::filesystem::create_directories(copy);
    const Result<UniqueFd> target = store::open_file(store::saved_index_path(copy), O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_TRUE(succeeded(store::write_all(target.value().get(), copy, store::bytes_of(sealed), 0)));
    ASSERT_TRUE(succeeded(store::write_all(target.value().get(), copy, wrong, sizeof sealed)));
    const std::unique_ptr<ReadIndex> loaded = store::load_index(copy, chain, blocks);
    if (loaded == nullptr) continue;
    for (uint16_t slot = 4; slot < 300; ++slot) ASSERT_FALSE(loaded->mentions(slot));
  }
}

/// A volume whose index is large enough to be saved.
class StoreWithSavedIndex : public ::testing::Test {
 protected:
  static constexpr uint64_t chunks = 4100;
  static Bytes content(uint64_t chunk) { return pattern(static_cast<uint32_t>(chunk), 4096); }
  static uint64_t offset_of(uint64_t chunk) { return chunk * 2 * mebibyte + chunk % 500 * 4096; }

  void fill() {
    for (uint64_t chunk = 0; chunk < chunks; ++chunk) {
      if (chunk == chunks / 2) {
        ASSERT_TRUE(succeeded(fixture.snapshot(store::format_uuid(store::random_uuid()))));
      }
      ASSERT_TRUE(succeeded(fixture.write(offset_of(chunk), content(chunk))));
    }
    ASSERT_GE(fixture.store().index_bytes(), store::saved_index_page_bytes_min);
  }
  void expect_content() {
    for (uint64_t chunk = 0; chunk < chunks; chunk += 7)
      ASSERT_EQ(fixture.read(offset_of(chunk), 4096), content(chunk));
    EXPECT_EQ(fixture.read(mebibyte, 4096), zeros(4096));
  }
  /// In a sector that says something.
  void damage_map_of(uint32_t layer) {
    const std::string path = store::layer_map_path(fixture.path(), layer);
    const Result<UniqueFd> file = store::open_file(path, O_RDWR);
    const std::array<std::byte, 1> byte{std::byte{0xff}};
    ASSERT_TRUE(succeeded(store::write_all(file.value().get(), path, byte, store::map_sector_offset(0) + 100)));
  }
  std::string saved() const { return store::saved_index_path(fixture.path()); }

  StoreFixture fixture{16 * gibibyte, 4096, store::CacheMode::writeback};
};

TEST_F(StoreWithSavedIndex, IsOpenedAfterACloseWithoutReadingTheMaps) {
  fill();
  const uint32_t base = fixture.store().metadata().layers.front().number;
  fixture.close();
  damage_map_of(base);
  fixture.open_without_maintenance();
  expect_content();
}

TEST_F(StoreWithSavedIndex, ReadsTheMapsAfterACrash) {
  fill();
  fixture.close();
  fixture.open_without_maintenance();
  ASSERT_TRUE(succeeded(fixture.write(mebibyte + 4096, content(9999))));
  ASSERT_TRUE(succeeded(fixture.trim(offset_of(7), 4096)));
  fixture.abandon();
  fixture.open_without_maintenance();
  EXPECT_EQ(fixture.read(mebibyte + 4096, 4096), content(9999));
  EXPECT_EQ(fixture.read(offset_of(7), 4096), zeros(4096));
}

TEST_F(StoreWithSavedIndex, SavesItAnewAtEachClose) {
  fill();
  fixture.close();
  fixture.open_without_maintenance();
  ASSERT_TRUE(succeeded(fixture.snapshot(store::format_uuid(store::random_uuid()))));
  ASSERT_TRUE(succeeded(fixture.write(offset_of(7), content(9999))));
  fixture.close();
  fixture.open_without_maintenance();
  EXPECT_EQ(fixture.read(offset_of(7), 4096), content(9999));
  ASSERT_TRUE(succeeded(fixture.write(offset_of(7), content(7))));
  expect_content();
}

TEST_F(StoreWithSavedIndex, IsOpenedFromItsMapsWhereNoneCouldBeSaved) {
  fill();
  fixture.close();
  std::filesystem::remove(saved());
  fixture.open_without_maintenance();
  std::filesystem::create_directory(saved());  // no file can take its place
  fixture.close();
  fixture.open_without_maintenance();
  expect_content();
}

TEST_F(StoreWithSavedIndex, SavesNoneThatWouldBeSmall) {
  ASSERT_TRUE(succeeded(fixture.write(0, content(1))));
  fixture.close();
  EXPECT_FALSE(std::filesystem::exists(saved()));
  fixture.open_without_maintenance();
}

}  // namespace
}  // namespace cairn::test
