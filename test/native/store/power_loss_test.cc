// Power losses: a run is recorded down to each write, sync and rename; disks that a power loss at any point of it may
// leave are made, opened with another boot id, and compared with what was flushed.
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/crash_image.h"

namespace cairn::test {
namespace {

using std::chrono::steady_clock;

/// Images are made of memory where there is enough: what they test is not the disk.
class ImageDirectory {
 public:
  ImageDirectory() {
    std::string pattern =
        std::string(std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/var/tmp") + "/cairn-image-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~ImageDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string fresh() const {
    std::filesystem::remove_all(path_ + "/image");
    std::filesystem::create_directory(path_ + "/image");
    return path_ + "/image";
  }

 private:
  std::string path_;
};

class PowerLossTest {
 public:
  PowerLossTest(uint32_t block_size, store::CacheMode mode, uint64_t seed)
      : block_size_(block_size), mode_(mode), random_(seed) {}

  /// Records runs, and makes images of each, until the time is over.
  void run(std::chrono::milliseconds duration) {
    const auto end = steady_clock::now() + duration;
    do {
      record_and_check(steady_clock::now() + duration / 3);
    } while (steady_clock::now() < end && !::testing::Test::HasFailure());
    std::printf("%zu images\n", images_);
  }

 private:
  void record_and_check(steady_clock::time_point until) {
    const TemporaryDirectory recorded;
    const std::string path = recorded.path() + "/replica";
    ASSERT_TRUE(succeeded(store::create_replica({path, new_id(), new_id(), watched_volume_size, block_size_})));
    std::optional<OpenedStore> store(std::in_place, path, store::random_uuid(), mode_);
    ASSERT_EQ(store->error(), "");
    DiskJournal journal(path);
    const CrashDisk first_disk(path, journal.first_files());
    store->reactor().set_tap(&journal);
    uint64_t next_tag = work(*store, journal, 1);
    revert(*store, journal, next_tag);
    work(*store, journal, next_tag);
    ASSERT_TRUE(succeeded(store->wait((*store)->close())));
    watch_file_calls(nullptr);
    ASSERT_EQ(journal.failure(), "");
    ASSERT_EQ(store->failure(), "");
    store.reset();
    check(journal, first_disk, until);
  }

  uint64_t work(OpenedStore& store, DiskJournal& journal, uint64_t first_tag) {
    Workload workload(
        store, journal,
        {.seed = random_(), .block_size = block_size_, .steps = 20 + random_() % 20, .first_tag = first_tag});
    store.wait(workload.run());
    return workload.next_tag();
  }

  static void revert(OpenedStore& store, DiskJournal& journal, uint64_t next_tag) {
    std::string id;
    for (const store::LayerMetadata& layer : store->metadata().layers)
      if (!layer.snapshot_id.empty() && !layer.removed) id = layer.snapshot_id;
    if (id.empty()) return;
    journal.revert_started(id);
    ASSERT_TRUE(succeeded(store.wait(store->revert(id))));
    const std::vector<std::byte> content = store.read_watched();
    Windows windows(watched_sectors);
    for (uint32_t sector = 0; sector < watched_sectors; ++sector) {
      const auto tag = tag_of(std::span(content).subspan(sector * sector_size, sector_size), sector);
      ASSERT_TRUE(tag.has_value());
      windows[sector] = {.from = *tag, .to = *tag, .zero = 0, .floor = next_tag - 1};
    }
    journal.revert_done(id, std::move(windows));
  }

  /// Follows the journal, and stops on the way to lose power.
  void check(const DiskJournal& journal, CrashDisk disk, steady_clock::time_point until) {
    // As many images as there is time for, spread over the run: their number is guessed from how long they take.
    constexpr int64_t images_min = 60;
    const std::vector<JournalEntry>& entries = journal.entries();
    const auto began = steady_clock::now();
    CrashModel model;
    int64_t made = 0;
    for (size_t at = 0; at < entries.size() && !::testing::Test::HasFailure(); ++at) {
      disk.follow(entries[at]);
      model.follow(entries[at]);
      const auto per_image = (steady_clock::now() - began) / (made + 1);
      const auto affordable = std::max<int64_t>(images_min, (until - began) / per_image);
      if (static_cast<int64_t>(random_() % entries.size()) >= affordable) continue;
      ++made;
      lose_power(disk, model, at);
    }
    images_ += static_cast<size_t>(made);
  }

  void lose_power(const CrashDisk& disk, const CrashModel& model, size_t at) {
    const uint64_t seed = random_();
    std::mt19937_64 random(seed);
    const std::string image = images_directory_.fresh();
    disk.write_image(image, random);
    OpenedStore store(image, store::random_uuid(), mode_);
    EXPECT_EQ(model.check(store, random), "") << "after entry " << at << " of the journal";
    if (store.error().empty()) {
      EXPECT_TRUE(succeeded(store.wait(store->close())));
    }
  }

  uint32_t block_size_;
  store::CacheMode mode_;
  std::mt19937_64 random_;
  ImageDirectory images_directory_;
  size_t images_ = 0;
};

/// CAIRN_POWER_LOSS_TEST_SECONDS: how long each of these tests goes on.
std::chrono::milliseconds duration() {
  const char* given = std::getenv("CAIRN_POWER_LOSS_TEST_SECONDS");
  return given != nullptr ? std::chrono::seconds(std::atoi(given)) : std::chrono::milliseconds(3000);
}

TEST(StorePowerLoss, WhatWasFlushedIsThereOn512ByteBlocks) {
  PowerLossTest(512, store::CacheMode::none, test_seed()).run(duration());
}
TEST(StorePowerLoss, WhatWasFlushedIsThereOn4096ByteBlocks) {
  PowerLossTest(4096, store::CacheMode::none, test_seed()).run(duration());
}
TEST(StorePowerLoss, WhatWasFlushedIsThereThroughThePageCache) {
  PowerLossTest(512, store::CacheMode::writeback, test_seed()).run(duration());
}

}  // namespace
}  // namespace cairn::test
