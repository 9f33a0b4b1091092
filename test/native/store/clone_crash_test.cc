// Crashes while a clone is made: it is there with the snapshot's content, or it is not, and can be made again.
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/crash_image.h"
#include "test/native/store/support/image_directory.h"
#include "test/native/support/scale.h"

namespace cairn::test {
namespace {

class CloneCrashTest {
 public:
  explicit CloneCrashTest(uint64_t seed) : random_(seed) {}

  void run(uint64_t images) {
    while (images_ < images && !::testing::Test::HasFailure()) record_and_check();
    EXPECT_GT(opened_, 0U);
    EXPECT_LT(opened_, images_);
    print_total(images_, "crash images");
  }

 private:
  void record_and_check() {
    const TemporaryDirectory directory;
    const std::string parent = directory.path() + "/parent";
    const std::string clone = directory.path() + "/clone";
    const store::Uuid boot = store::random_uuid();
    ASSERT_TRUE(succeeded(store::create_replica({parent, new_id(), new_id(), watched_volume_size, 4096})));
    OpenedStore store(parent, boot);
    const std::string snapshot = fill(store, parent);
    expected_ = store.read_watched();
    std::filesystem::create_directory(clone);
    DiskJournal journal(clone);
    ASSERT_TRUE(succeeded(store.wait(store->clone({snapshot, clone, new_id(), new_id()}))));
    journal.snapshot_done(snapshot);  // the answer
    ASSERT_TRUE(succeeded(store.wait(store->close())));
    watch_file_calls(nullptr);
    check(journal.entries());
  }

  std::string fill(OpenedStore& store, const std::string& parent) {
    DiskJournal ignored(parent);
    Workload workload(store, ignored, {.seed = random_(), .block_size = 4096, .steps = 10});
    store.wait(workload.run());
    std::string snapshot = new_id();
    EXPECT_TRUE(succeeded(store.wait(store->create_snapshot(snapshot, snapshot))));
    return snapshot;
  }

  void check(const std::vector<JournalEntry>& entries) {
    CrashDisk disk({});
    bool answered = false;
    for (size_t at = 0; at < entries.size() && !::testing::Test::HasFailure(); ++at) {
      disk.follow(entries[at]);
      answered = answered || entries[at].step == JournalEntry::Step::snapshot_done;
      SCOPED_TRACE("after entry " + std::to_string(at) + " of the journal");
      for (const Loss loss : {Loss::power, Loss::power, Loss::process}) crash(disk, loss, answered);
    }
  }

  void crash(const CrashDisk& disk, Loss loss, bool answered) {
    ++images_;
    const CrashImage image = disk.image(loss, random_);
    const std::string directory = images_directory_.fresh("image");
    save_image(image, directory);
    {
      OpenedStore store(directory, store::random_uuid());
      if (store.error().empty()) {
        ++opened_;
        EXPECT_EQ(store.read_watched(), expected_);
        EXPECT_TRUE(succeeded(store.wait(store->close())));
        return;
      }
      EXPECT_FALSE(answered) << store.error();
      EXPECT_FALSE(image.contains("volume.json")) << store.error();
    }
    // What is left does not stand in the way of another attempt.
    EXPECT_TRUE(succeeded(store::create_replica({directory, new_id(), new_id(), watched_volume_size, 4096})));
  }

  std::mt19937_64 random_;
  ImageDirectory images_directory_;
  std::vector<std::byte> expected_;
  uint64_t images_ = 0;
  uint64_t opened_ = 0;
};

TEST(StorePowerLoss, ACloneIsThereOrItIsNot) { CloneCrashTest(test_seed()).run(scale("CAIRN_CRASH_IMAGES", 1000) / 4); }

}  // namespace
}  // namespace cairn::test
