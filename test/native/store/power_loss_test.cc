// Crashes: a run is recorded down to each write, sync and rename; disks that a power loss or the death of the process
// at any point of it may leave are made and opened, and compared with what was flushed or acknowledged. What opening
// and the merges after it do is recorded too, and crashed in its middle.
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/crash_image.h"
#include "test/native/store/support/image_directory.h"
#include "test/native/support/scale.h"

namespace cairn::test {
namespace {

using std::chrono::steady_clock;

/// Of so many images of one run, then another is recorded.
constexpr size_t images_of_a_run = 300;
/// A crash, one in the recovery from it, and one in the recovery from that.
constexpr unsigned generations_max = 3;

struct CrashBudget {
  uint64_t images = scale("CAIRN_CRASH_IMAGES", 1000);
  std::chrono::milliseconds time = scale_seconds("CAIRN_CRASH_SECONDS", std::chrono::milliseconds(60'000));
};

class CrashTest {
 public:
  CrashTest(uint32_t block_size, store::CacheMode mode, uint64_t seed)
      : block_size_(block_size), mode_(mode), random_(seed) {}

  /// Records runs, and makes images of each, until there are enough or the time is over.
  void run(const CrashBudget& budget) {
    end_ = steady_clock::now() + budget.time;
    goal_ = budget.images;
    do record_and_check();
    while (!over());
    print_total(images_, "crash images");
    print_total(recoveries_, "crash images in the middle of a recovery");
  }

 private:
  bool over() const { return images_ >= goal_ || steady_clock::now() >= end_ || ::testing::Test::HasFailure(); }

  void record_and_check() {
    const TemporaryDirectory on_disk;
    // In memory one sees other timings, and what a store does where direct I/O is not to be had.
    const std::string directory = random_() % 2 == 0 ? on_disk.path() : images_directory_.fresh("recorded");
    const std::string path = directory + "/replica";
    const bool is_clone = random_() % 3 == 0;
    boot_ = store::random_uuid();
    uint64_t next_tag = 1;
    if (is_clone) {
      next_tag = make_clone(directory + "/parent", path);
    } else {
      ASSERT_TRUE(succeeded(store::create_replica({path, new_id(), new_id(), watched_volume_size, block_size_})));
    }
    std::optional<OpenedStore> store(std::in_place, path, boot_, mode_);
    ASSERT_EQ(store->error(), "");
    DiskJournal journal(path);
    const CrashDisk first_disk(load_image(path));
    store->reactor().set_tap(&journal);
    if (random_() % 2 == 0) store->reactor().assume_waiting_clients();
    if (is_clone) inherit(*store, journal, next_tag);
    const size_t first_crash = journal.entries().size();
    next_tag = work(*store, journal, next_tag, is_clone);
    revert(*store, journal, next_tag);
    work(*store, journal, next_tag, is_clone);
    ASSERT_TRUE(succeeded(store->wait((*store)->close())));
    watch_file_calls(nullptr);
    ASSERT_EQ(journal.failure(), "");
    ASSERT_EQ(store->failure(), "");
    store.reset();
    if (is_clone) expect_unchanged(directory + "/parent");
    check(journal.entries(), first_disk, first_crash);
  }

  /// Of the last snapshot of a parent that has some. Returns the next tag.
  uint64_t make_clone(const std::string& parent, const std::string& clone) {
    const store::Uuid boot = store::random_uuid();
    EXPECT_TRUE(succeeded(store::create_replica({parent, new_id(), new_id(), watched_volume_size, block_size_})));
    OpenedStore store(parent, boot, mode_);
    DiskJournal ignored(parent);
    const uint64_t next_tag = work(store, ignored, 1, false);
    parent_content_ = store.read_watched();
    const std::string snapshot = new_id();
    EXPECT_TRUE(succeeded(store.wait(store->create_snapshot(snapshot, snapshot))));
    EXPECT_TRUE(succeeded(store.wait(store->clone({snapshot, clone, new_id(), new_id()}))));
    EXPECT_TRUE(succeeded(store.wait(store->close())));
    return next_tag;
  }

  /// Whatever the clone does to what it shares with it.
  void expect_unchanged(const std::string& parent) {
    OpenedStore store(parent, store::random_uuid(), mode_);
    EXPECT_EQ(store.read_watched(), parent_content_);
    EXPECT_TRUE(succeeded(store.wait(store->close())));
  }

  /// What a clone begins with.
  static void inherit(OpenedStore& store, DiskJournal& journal, uint64_t next_tag) {
    journal.resize_started(store->geometry().size);
    journal.resize_done(store->geometry().size);
    journal.revert_done("", content(store, next_tag));
  }

  uint64_t work(OpenedStore& store, DiskJournal& journal, uint64_t first_tag, bool flatten) {
    Workload workload(store, journal,
                      {.seed = random_(),
                       .block_size = block_size_,
                       .steps = 20 + random_() % 20,
                       .first_tag = first_tag,
                       .flatten = flatten});
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
    journal.revert_done(id, content(store, next_tag));
  }

  /// That a sector holds what is there, or what is written from now on.
  static Windows content(OpenedStore& store, uint64_t next_tag) {
    const std::vector<std::byte> bytes = store.read_watched();
    Windows windows(watched_sectors);
    for (uint32_t sector = 0; sector < watched_sectors; ++sector) {
      const auto tag = tag_of(std::span(bytes).subspan(sector * sector_size, sector_size), sector);
      EXPECT_TRUE(tag.has_value());
      if (tag) windows[sector] = {.from = *tag, .to = *tag, .zero = 0, .floor = next_tag - 1};
    }
    return windows;
  }

  /// Follows the journal, and stops on the way to crash, from the entry `first` on.
  void check(const std::vector<JournalEntry>& entries, CrashDisk disk, size_t first) {
    CrashModel model;
    for (size_t at = 0; at < entries.size() && !over(); ++at) {
      disk.follow(entries[at]);
      model.follow(entries[at]);
      if (at < first || random_() % entries.size() >= images_of_a_run) continue;
      SCOPED_TRACE("after entry " + std::to_string(at) + " of the journal");
      crash(disk, model, random_() % 3 == 0 ? Loss::process : Loss::power, boot_);
    }
  }

  /// `boot`: of the machine when the process ran.
  void crash(const CrashDisk& disk, const CrashModel& model, Loss loss, const store::Uuid& boot) {
    crash_again(disk, {&model, loss, boot, loss}, 1);
  }

  struct Crash {
    const CrashModel* model;
    Loss worst;  // of all so far: what is lost stays lost
    store::Uuid boot;
    Loss loss;
  };
  void crash_again(const CrashDisk& disk, const Crash& crash, unsigned generation) {
    ++images_;
    if (generation > 1) ++recoveries_;
    const CrashImage image = disk.image(crash.loss, random_);
    const store::Uuid boot = crash.loss == Loss::process ? crash.boot : store::random_uuid();
    const std::vector<JournalEntry> recovery = open_and_check(image, crash, boot);
    if (recovery.empty() || generation == generations_max || over() || random_() % 2 == 0) return;
    CrashDisk halfway(image);
    const size_t cut = 1 + random_() % recovery.size();
    for (size_t at = 0; at < cut; ++at) halfway.follow(recovery[at]);
    SCOPED_TRACE("then in the middle of the recovery");
    const Loss loss = random_() % 2 == 0 ? Loss::process : Loss::power;
    const Loss worst = loss == Loss::power ? Loss::power : crash.worst;
    crash_again(halfway, {crash.model, worst, boot, loss}, generation + 1);
  }

  /// What the store did to the disk until it was as it is to be.
  std::vector<JournalEntry> open_and_check(const CrashImage& image, const Crash& crash, const store::Uuid& boot) {
    const std::string directory = images_directory_.fresh("image");
    const std::string others = images_directory_.fresh("image-others");
    save_image(image, directory, random_() % 2 == 0 ? others : "");
    DiskJournal journal(directory);
    OpenedStore store(directory, boot, mode_);
    if (store.error().empty() && random_() % 4 == 0) {
      store.reactor().set_tap(&journal);
      store->resume_maintenance();
      store.wait(store->wait_maintenance());
      store.reactor().set_tap(nullptr);
    }
    watch_file_calls(nullptr);
    const std::string wrong = crash.model->check(store, crash.worst, random_);
    EXPECT_EQ(wrong, "") << "after the loss of " << (crash.loss == Loss::power ? "power" : "the process");
    EXPECT_EQ(store.failure(), "");
    if (!wrong.empty()) keep(image);
    if (store.error().empty()) {
      EXPECT_TRUE(succeeded(store.wait(store->close())));
    }
    return journal.entries();
  }

  void keep(const CrashImage& image) {
    const std::string directory = images_directory_.fresh("failed");
    save_image(image, directory);
    images_directory_.keep();
    std::printf("the image, as it was found, is in %s\n", directory.c_str());
  }

  uint32_t block_size_;
  store::CacheMode mode_;
  std::mt19937_64 random_;
  store::Uuid boot_{};
  ImageDirectory images_directory_;
  steady_clock::time_point end_;
  std::vector<std::byte> parent_content_;
  uint64_t goal_ = 0;
  uint64_t images_ = 0;
  uint64_t recoveries_ = 0;
};

TEST(StorePowerLoss, WhatWasFlushedIsThereOn512ByteBlocks) {
  CrashTest(512, store::CacheMode::none, test_seed()).run({});
}
TEST(StorePowerLoss, WhatWasFlushedIsThereOn4096ByteBlocks) {
  CrashTest(4096, store::CacheMode::none, test_seed()).run({});
}
TEST(StorePowerLoss, WhatWasFlushedIsThereThroughThePageCache) {
  CrashTest(512, store::CacheMode::writeback, test_seed()).run({});
}

}  // namespace
}  // namespace cairn::test
