// Checksums of frozen layers, what a scrub finds, and what it repairs.
#include <fcntl.h>
#include <sys/stat.h>

#include <mutex>

#include "store/layer_sums.h"
#include "store/replica_files.h"
#include "store/run_list.h"
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/faulty_disk.h"
#include "test/native/store/support/file_calls.h"
#include "test/native/support/scale.h"

namespace cairn::test {
namespace {

using State = store::ScrubStatus::State;
using EventKind = store::StoreEvent::Kind;

constexpr uint64_t volume_size = 32 * mebibyte;

class StoreScrub : public ::testing::Test {
 protected:
  StoreScrub() {
    write(0, 1, 65536);
    write(20 * mebibyte, 2, mebibyte);
    EXPECT_TRUE(succeeded(fixture.trim(20 * mebibyte + 8192, 4096)));
    first = cut("first");
    write(4096, 3, 8192);
    EXPECT_TRUE(succeeded(fixture.trim(16384, 4096)));
    second = cut("second");
  }
  void write(uint64_t offset, uint32_t tag, size_t length) {
    ASSERT_TRUE(succeeded(fixture.write(offset, pattern(tag, length))));
  }
  std::string cut(const std::string& name) {
    std::string id = new_id();
    EXPECT_TRUE(succeeded(fixture.wait(fixture.store().create_snapshot(id, name))));
    return id;
  }
  void sum_all() {
    fixture.store().start_checksums();
    fixture.settle();
  }
  uint32_t layer(const std::string& id) { return fixture.store().metadata().snapshot(id)->number; }
  bool checksummed(const std::string& id) { return fixture.store().metadata().snapshot(id)->checksummed; }
  /// It would be read in place of the map.
  void remove_list(const std::string& id) {
    ASSERT_TRUE(std::filesystem::remove(store::run_list_path(fixture.path(), layer(id))));
  }
  store::ScrubStatus scrub() {
    EXPECT_TRUE(succeeded(fixture.store().start_scrub()));
    EXPECT_EQ(fixture.store().scrub_status().state, State::running);
    EXPECT_EQ(code_of(fixture.store().start_scrub()), "SCRUB_RUNNING");
    fixture.settle();
    return fixture.store().scrub_status();
  }
  static void damage(const std::string& path, uint64_t offset) {
    const UniqueFd file(::open(path.c_str(), O_RDWR));
    ASSERT_TRUE(file.valid());
    std::array<std::byte, 4> bytes;
    ASSERT_EQ(::pread(file.get(), bytes.data(), 4, static_cast<off_t>(offset)), 4);
    for (std::byte& byte : bytes) byte ^= std::byte{0x55};
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), 4, static_cast<off_t>(offset)), 4);
    ASSERT_EQ(::fsync(file.get()), 0);
  }
  size_t events(EventKind kind) const {
    return static_cast<size_t>(std::count_if(fixture.events.begin(), fixture.events.end(),
                                             [kind](const store::StoreEvent& event) { return event.kind == kind; }));
  }
  void expect_content() {
    const Bytes below = pattern(1, 65536);
    const Bytes above = pattern(3, 8192);
    const Bytes all = fixture.read(0, 65536);
    EXPECT_TRUE(std::equal(above.begin(), above.end(), all.begin() + 4096));
    EXPECT_TRUE(std::equal(below.begin() + 20480, below.end(), all.begin() + 20480));
    EXPECT_EQ(fixture.read(16384, 4096), zeros(4096));
    EXPECT_EQ(fixture.read(20 * mebibyte + 8192, 4096), zeros(4096));
  }

  StoreFixture fixture{volume_size, 4096};
  std::string first, second;
};

/// Which files are synced, in order, by the inode.
class SyncOrder final : public FileCallWatch {
 public:
  SyncOrder() { watch_file_calls(this); }
  ~SyncOrder() override { watch_file_calls(nullptr); }
  uint64_t sync_begins(int fd) override {
    struct stat status {};
    ::fstat(fd, &status);
    const std::lock_guard lock(mutex_);
    inodes_.push_back(status.st_ino);
    return 0;
  }
  size_t place(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::find(inodes_.begin(), inodes_.end(), status.st_ino) - inodes_.begin());
  }
  size_t count() const { return inodes_.size(); }

 private:
  std::mutex mutex_;
  std::vector<ino_t> inodes_;
};

/// A process that died before may have left data that is in the page cache alone, and no record of it: a merge's.
TEST_F(StoreScrub, WhatChecksumsAreMadeOfIsOnTheDiskBeforeThem) {
  SyncOrder order;
  sum_all();
  const std::string layer_1 = fixture.path() + "/layer-" + std::to_string(layer(first));
  EXPECT_LT(order.place(layer_1 + ".sum"), order.count());
  EXPECT_LT(order.place(layer_1 + ".data"), order.place(layer_1 + ".sum"));
  EXPECT_LT(order.place(layer_1 + ".map"), order.place(layer_1 + ".sum"));
}

TEST_F(StoreScrub, FrozenLayersGetChecksumsAndAreWell) {
  EXPECT_FALSE(checksummed(first));
  sum_all();
  EXPECT_TRUE(checksummed(first));
  EXPECT_TRUE(checksummed(second));
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.state, State::finished);
  EXPECT_EQ(status.progress, 1);
  EXPECT_EQ(status.blocks_checked, 16U + 255U + 2U);
  EXPECT_EQ(status.blocks_damaged, 0U);
  EXPECT_EQ(status.blocks_unverified, 0U);
  EXPECT_TRUE(status.findings.empty());
  EXPECT_EQ(events(EventKind::scrub_finished), 1U);
  fixture.close();
  fixture.open();
  EXPECT_TRUE(checksummed(first));
  expect_content();
}

TEST_F(StoreScrub, WithoutChecksumsDataIsCountedAsUnverified) {
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.blocks_checked, 0U);
  EXPECT_EQ(status.blocks_unverified, 16U + 255U + 2U);
}

TEST_F(StoreScrub, ADamagedBlockIsFoundByLayerAndBytes) {
  sum_all();
  damage(store::layer_data_path(fixture.path(), layer(first)), 20 * mebibyte + 5000);
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.blocks_damaged, 1U);
  ASSERT_EQ(status.findings.size(), 1U);
  EXPECT_NE(status.findings[0].find("snapshot first"), std::string::npos) << status.findings[0];
  EXPECT_NE(status.findings[0].find("bytes 20975616 to 20979712"), std::string::npos) << status.findings[0];
  EXPECT_EQ(status.repaired, 0U);
}

TEST_F(StoreScrub, ADamagedMapSectorIsMadeAnew) {
  sum_all();
  const std::string map = store::layer_map_path(fixture.path(), layer(first));
  damage(map, store::map_sector_offset(2) + 100);
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.repaired, 1U);
  EXPECT_EQ(status.blocks_damaged, 0U);
  EXPECT_EQ(events(EventKind::repaired), 1U);
  fixture.close();
  fixture.open();
  expect_content();
  EXPECT_TRUE(scrub().findings.empty());
}

TEST_F(StoreScrub, OpeningMakesADamagedMapSectorAnew) {
  sum_all();
  const std::string map = store::layer_map_path(fixture.path(), layer(first));
  remove_list(first);
  fixture.close();
  damage(map, store::map_sector_offset(2) + 100);
  fixture.open();
  EXPECT_EQ(events(EventKind::repaired), 1U);
  expect_content();
  EXPECT_TRUE(scrub().findings.empty());
}

TEST_F(StoreScrub, OpeningRefusesADamagedMapSectorWhoseDataIsWrongToo) {
  sum_all();
  const std::string map = store::layer_map_path(fixture.path(), layer(first));
  const std::string data = store::layer_data_path(fixture.path(), layer(first));
  remove_list(first);
  fixture.close();
  damage(map, store::map_sector_offset(0) + 100);
  damage(data, 5000);
  EXPECT_EQ(code_of(store::open_replica(fixture.path(), {.boot_id = fixture.boot_})), "REPLICA_CORRUPT");
}

TEST_F(StoreScrub, AMapSectorIsNotMadeAnewWhenTheDataIsWrongToo) {
  sum_all();
  damage(store::layer_map_path(fixture.path(), layer(first)), store::map_sector_offset(0) + 100);
  damage(store::layer_data_path(fixture.path(), layer(first)), 5000);
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.repaired, 0U);
  EXPECT_GT(status.blocks_damaged, 0U);
}

TEST_F(StoreScrub, ADamagedPageOfChecksumsIsReportedAndNotMadeUp) {
  sum_all();
  damage(store::layer_path(fixture.path(), layer(first), ".sum"), 4096 + 8);
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.blocks_unverified, 16U);
  ASSERT_EQ(status.findings.size(), 1U);
  EXPECT_NE(status.findings[0].find("checksums are damaged"), std::string::npos);
  EXPECT_EQ(scrub().blocks_unverified, 16U);
}

TEST_F(StoreScrub, MergesKeepChecksumsTrue) {
  write(24 * mebibyte, 4, 4 * mebibyte);
  write(8192, 5, 4096);
  const std::string third = cut("third");
  write(0, 6, 4096);
  const std::string fourth = cut("fourth");
  sum_all();
  ASSERT_TRUE(succeeded(fixture.remove(second)));  // up, into the third
  ASSERT_TRUE(succeeded(fixture.remove(third)));   // from the fourth down, over it
  fixture.settle();
  EXPECT_TRUE(checksummed(first));
  EXPECT_TRUE(checksummed(fourth));
  const store::ScrubStatus status = scrub();
  EXPECT_EQ(status.blocks_damaged, 0U);
  EXPECT_EQ(status.blocks_unverified, 0U);
  EXPECT_TRUE(status.findings.empty());
}

TEST_F(StoreScrub, AMergeDoesNotPassDamageOn) {
  write(24 * mebibyte, 4, 4 * mebibyte);
  cut("third");
  sum_all();
  damage(store::layer_data_path(fixture.path(), layer(second)), 5000);
  ASSERT_TRUE(succeeded(fixture.remove(second)));
  fixture.settle();
  EXPECT_EQ(events(EventKind::failed), 1U);
  EXPECT_NE(fixture.store().metadata().snapshot(second), nullptr);
  EXPECT_EQ(fixture.store().failure(), "");
}

TEST_F(StoreScrub, ChecksumsGoOnWhereTheyWereCutShort) {
  store::SumBuilder builder;
  ASSERT_TRUE(succeeded(fixture.flush()));
  ASSERT_TRUE(succeeded(builder.begin(fixture.path(), layer(first))));
  ASSERT_TRUE(succeeded(builder.step()));
  fixture.close();
  fixture.open();
  EXPECT_FALSE(checksummed(first));
  sum_all();
  EXPECT_TRUE(checksummed(first));
  EXPECT_TRUE(scrub().findings.empty());
}

TEST_F(StoreScrub, ALayerThatIsWrittenAgainHasNone) {
  ASSERT_TRUE(succeeded(fixture.remove(second)));
  fixture.settle();  // the small head goes down: the second snapshot's layer is the head now
  sum_all();
  ASSERT_TRUE(succeeded(fixture.remove(first)));
  fixture.settle();
  const uint32_t head = fixture.store().metadata().head;
  EXPECT_FALSE(fixture.store().metadata().layer(head)->checksummed);
  EXPECT_FALSE(std::filesystem::exists(store::layer_path(fixture.path(), head, ".sum")));
  write(0, 9, 65536);
  const std::string again = cut("again");
  sum_all();
  EXPECT_TRUE(checksummed(again));
  EXPECT_TRUE(scrub().findings.empty());
}

/// While it lives, temporary directories are in memory where there is such a file system.
class InMemory {
 public:
  InMemory() {
    const char* given = std::getenv("CAIRN_TEST_DIRECTORY");
    if (given != nullptr) before_ = given;
    if (std::filesystem::is_directory("/dev/shm")) ::setenv("CAIRN_TEST_DIRECTORY", "/dev/shm", 1);
  }
  ~InMemory() {
    if (before_)
      ::setenv("CAIRN_TEST_DIRECTORY", before_->c_str(), 1);
    else
      ::unsetenv("CAIRN_TEST_DIRECTORY");
  }

 private:
  std::optional<std::string> before_;
};

TEST(StoreThousandsOfSnapshots, AreMadeReadReopenedAndDeleted) {
  // In memory: what it tests is not the disk, which would be synced ten thousand times.
  const InMemory in_memory;
  // Each snapshot writes all of volume.json: two thousand take a while under a sanitizer.
  const auto count = static_cast<uint32_t>(scale("CAIRN_SNAPSHOT_COUNT", 300));
  StoreFixture fixture(16 * mebibyte, 4096, store::CacheMode::writeback);
  std::vector<std::string> ids;
  for (uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(succeeded(fixture.write(i * 4096, pattern(i, 8192))));
    ids.push_back(new_id());
    ASSERT_TRUE(succeeded(fixture.snapshot(ids.back())));
  }
  const auto expect_content = [&] {
    const Bytes all = fixture.read(0, size_t{count} * 4096);
    for (uint32_t i = 0; i < count; ++i) {
      const Bytes expected = pattern(i, 4096);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), all.begin() + i * 4096)) << "block " << i;
    }
  };
  expect_content();
  fixture.close();
  const auto started = std::chrono::steady_clock::now();
  fixture.open_without_maintenance();
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  expect_content();
  EXPECT_EQ(fixture.store().layers().size(), count + 1);
  EXPECT_EQ(fixture.store().snapshots().size(), count);
  for (uint32_t i = count / 3; i < count / 3 + 5; ++i) ASSERT_TRUE(succeeded(fixture.remove(ids[i])));
  fixture.settle();
  EXPECT_EQ(fixture.store().metadata().layers.size(), count - 4);
  fixture.close();
  fixture.open_without_maintenance();
  expect_content();
  Result<std::unique_ptr<BlockDevice>> device = fixture.wait(fixture.store().open_snapshot("of " + ids[count / 2]));
  ASSERT_TRUE(succeeded(device));
  AlignedMemory memory(4096);
  ASSERT_TRUE(succeeded(fixture.wait(device.value()->read((count / 2 + 2) * 4096, memory.span()))));
  EXPECT_TRUE(std::all_of(memory.span().begin(), memory.span().end(), [](std::byte b) { return b == std::byte{0}; }));
}

/// Three snapshots, the lower ones larger: a merge of one goes backward, its child's blocks over its own. The merge of
/// the middle one is cut short between its data and its checksums.
class StoreHalfReplaced : public StoreScrub {
 protected:
  StoreHalfReplaced() {
    write(4 * mebibyte, 6, mebibyte);
    lower = cut("lower");
    write(mebibyte, 4, 65536);
    const std::string middle = cut("middle");
    write(mebibyte, 5, 8192);
    cut("last");
    sum_all();
    EXPECT_TRUE(checksummed(middle));
    FaultyDisk disk(fixture);
    disk.fail(IoTap::Kind::sync, "layer-" + std::to_string(layer(middle)) + ".data", EIO);
    EXPECT_TRUE(succeeded(fixture.remove(middle)));
    fixture.settle();
    EXPECT_GE(disk.failed(), 1U);
    fixture.abandon();
  }
  void expect_all() {
    EXPECT_EQ(fixture.store().failure(), "");
    expect_content();
    EXPECT_EQ(fixture.read(mebibyte, 8192), pattern(5, 8192));
    const Bytes below = pattern(4, 65536);
    EXPECT_EQ(fixture.read(mebibyte + 8192, 65536 - 8192), Bytes(below.begin() + 8192, below.end()));
  }

  std::string lower;
};

TEST_F(StoreHalfReplaced, IsMergedDownBeforeItIsWholeAgain) {
  const size_t failures = events(EventKind::failed);
  fixture.open_without_maintenance();
  ASSERT_TRUE(succeeded(fixture.remove(lower)));
  fixture.settle();
  expect_all();
  EXPECT_EQ(fixture.snapshots().size(), 3U);
  EXPECT_EQ(events(EventKind::failed), failures);
  sum_all();
  EXPECT_EQ(scrub().blocks_damaged, 0U);
}

}  // namespace
}  // namespace cairn::test
