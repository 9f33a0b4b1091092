// What stands behind a replica that replicates: stamps by region, the activity log, records that free their slots.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include "store/activity_log.h"
#include "store/replica_files.h"
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/crash_image.h"

namespace cairn::test {
namespace {

constexpr uint64_t volume_size = 128 * mebibyte;

class StoreSettle : public ::testing::Test {
 protected:
  store::StampsFile table() const {
    const auto metadata = store::read_metadata(fixture.path());
    EXPECT_TRUE(metadata.ok());
    return {fixture.path(), metadata.value().head, metadata.value().block_count(), {}};
  }
  std::vector<store::PackedStamp> stamps() const {
    const auto read = store::read_stamps(table());
    EXPECT_TRUE(read.ok());
    return read.ok() ? read.value() : std::vector<store::PackedStamp>();
  }
  uint64_t region_of(uint64_t offset) const { return offset / store::region_bytes; }
  std::string file(const std::string& name) const { return fixture.path() + "/" + name; }
  void flip(const std::string& name, uint64_t offset) {
    std::fstream io(file(name), std::ios::binary | std::ios::in | std::ios::out);
    io.seekg(static_cast<std::streamoff>(offset));
    const int byte = io.get();
    io.seekp(static_cast<std::streamoff>(offset));
    io.put(static_cast<char>(byte ^ 0x10));
  }
  size_t repairs(const std::string& name) const {
    return static_cast<size_t>(std::count_if(fixture.events.begin(), fixture.events.end(), [&](const auto& event) {
      return event.kind == store::StoreEvent::Kind::repaired && event.message.find(name) != std::string::npos;
    }));
  }
  void write(uint64_t offset, uint32_t tag = 1) { ASSERT_TRUE(succeeded(fixture.write(offset, pattern(tag, 4096)))); }
  /// Twice what its timer does: extents that nothing was written to meanwhile are cold.
  void cool() {
    for (int epoch = 0; epoch < 2; ++epoch) fixture.wait(fixture.store().sweep());
  }
  bool hot(uint64_t offset) const {
    const auto loaded = store::load_activity(fixture.path(), volume_size);
    EXPECT_TRUE(loaded.ok() && !loaded.value().damaged);
    const uint64_t extent = offset / store::activity_extent_min;
    return (loaded.value().slot.hot[extent / 8] >> extent % 8 & 1) != 0;
  }

  StoreFixture fixture{volume_size, 4096};
};

TEST_F(StoreSettle, ARegionsStampIsOfItsNewestWriteAndOthersHaveNone) {
  write(0);
  const store::Stamp first = fixture.store().newest_stamp();
  for (int i = 0; i < 600; ++i) write(8 * mebibyte);
  const store::Stamp last = fixture.store().newest_stamp();
  fixture.close();
  const auto found = stamps();
  EXPECT_EQ(found[0], store::pack(first));
  EXPECT_EQ(found[region_of(8 * mebibyte)], store::pack(last));
  EXPECT_GT(found[region_of(8 * mebibyte)], found[0]);
  EXPECT_EQ(found[1], 0U);
}

TEST_F(StoreSettle, ATrimAndZeroesAreStampedToo) {
  write(0);
  ASSERT_TRUE(succeeded(fixture.trim(0, 4096)));
  ASSERT_TRUE(succeeded(fixture.zero(4 * mebibyte, 300 * kibibyte, ZeroMode::keep_space)));
  fixture.close();
  const auto found = stamps();
  EXPECT_NE(found[0], 0U);
  EXPECT_NE(found[16], 0U);
  EXPECT_NE(found[17], 0U);
  EXPECT_EQ(found[18], 0U);
}

TEST_F(StoreSettle, EveryActivationIsNewerThanAllBefore) {
  write(0);
  const store::Stamp before = fixture.store().newest_stamp();
  fixture.close();
  fixture.open();
  EXPECT_TRUE(before < fixture.store().newest_stamp());
  fixture.abandon();
  fixture.open();
  EXPECT_EQ(fixture.store().newest_stamp().term, before.term + 2);
}

TEST_F(StoreSettle, MoreWritesThanTheRingHasSlotsAreSettledOnTheWay) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(0, 64 * 4096))));
  const auto many = [](store::LayeredStore& store) -> Task<Status> {
    const AlignedMemory memory(4096);
    std::fill(memory.span().begin(), memory.span().end(), std::byte{7});
    for (uint64_t i = 0; i < store::ring_slots_min + 5000; ++i) {
      const Status status = co_await store.write(i % 64 * 4096, memory.span(), Durability::buffered);
      if (!status.ok()) co_return status;
    }
    co_return Status();
  };
  ASSERT_TRUE(succeeded(fixture.wait(many(fixture.store()))));
  fixture.abandon();
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4096), Bytes(4096, std::byte{7}));
}

/// One after the other, into blocks that nobody has written.
Task<Status> write_first(StoreFixture& on, uint64_t first_block, uint64_t count) {
  const AlignedMemory memory(4096);
  for (uint64_t block = first_block; block < first_block + count; ++block) {
    std::fill(memory.span().begin(), memory.span().end(), static_cast<std::byte>(block % 251));
    const Status status = co_await on.store().write(block * 4096, memory.span(), Durability::buffered);
    if (!status.ok()) co_return status;
    if (block % 256 == 0) co_await on.loop().reactor().sleep({});  // what is done at once would fill a debug stack
  }
  co_return Status();
}

class StoreRingGrowth : public ::testing::Test {
 protected:
  static constexpr uint64_t many = store::ring_slots_min + 1000;
  static bool grown(const StoreFixture& of) {
    struct stat status {};
    EXPECT_EQ(::stat((of.path() + "/write-ring").c_str(), &status), 0);
    return static_cast<uint64_t>(status.st_blocks) * 512 > store::ring_bytes(store::ring_slots_min);
  }
  StoreFixture fixture{gibibyte, 4096};
};

TEST_F(StoreRingGrowth, FirstWritesMakeTheRingLargerAndADeadProcessLosesNoneOfThem) {
  ASSERT_TRUE(succeeded(fixture.wait(write_first(fixture, 0, many))));
  EXPECT_TRUE(grown(fixture));
  fixture.abandon();
  fixture.open();
  for (const uint64_t block : {uint64_t{0}, store::ring_slots_min - 1, store::ring_slots_min, many - 1})
    EXPECT_EQ(fixture.read(block * 4096, 4096), Bytes(4096, static_cast<std::byte>(block % 251))) << block;
}

TEST_F(StoreRingGrowth, WhatHasGrownIsGivenBackWhenNothingIsUnderWay) {
  ASSERT_TRUE(succeeded(fixture.wait(write_first(fixture, 0, many))));
  for (int i = 0; i < 3; ++i) fixture.loop().wait(fixture.store().sweep());
  fixture.close();
  EXPECT_FALSE(grown(fixture));
  fixture.open();
  ASSERT_TRUE(succeeded(fixture.wait(write_first(fixture, many, many))));
  fixture.abandon();
  fixture.open();
  EXPECT_EQ(fixture.read((many + 7) * 4096, 4096), Bytes(4096, static_cast<std::byte>((many + 7) % 251)));
}

TEST_F(StoreRingGrowth, OverwritesDoSoWhereTheyStayInThePageCache) {
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(succeeded(fixture.wait(write_first(fixture, 0, 64))));
  EXPECT_FALSE(grown(fixture));
  StoreFixture writeback{gibibyte, 4096, store::CacheMode::writeback};
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(succeeded(writeback.wait(write_first(writeback, 0, 64))));
  EXPECT_TRUE(grown(writeback));
}

/// Syncs of one file take their time.
class SlowSync final : public IoTap {
 public:
  explicit SlowSync(std::string file) : file_(std::move(file)) {}
  Status before(const Event&) override { return Status(); }
  std::chrono::nanoseconds delay(const Event& event) override {
    if (event.kind != Kind::sync) return {};
    const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(event.fd));
    return path.filename() == file_ ? std::chrono::milliseconds(5) : std::chrono::milliseconds(0);
  }
  void after(const Event&) override {}

 private:
  std::string file_;
};

TEST_F(StoreSettle, ALayerThatIsMergedAwayIsKeptWhileAFlushWritesItsMap) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 8 * mebibyte))));
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, 65536))));  // a small head: it becomes the overlay, layer 1
  SlowSync slow("layer-1.map");
  fixture.loop().reactor().set_tap(&slow);
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  // Clients write and flush until the overlay is gone.
  bool merged = false;
  run_detached(fixture.store().wait_maintenance(), [&merged] { merged = true; });
  const auto client = [&merged](store::LayeredStore& store) -> Task<Status> {
    const AlignedMemory memory(4096);
    for (uint64_t i = 0; !merged; ++i) {
      Status status = co_await store.write(i % 16 * 4096, memory.span(), Durability::buffered);
      if (status.ok()) status = co_await store.flush();
      if (!status.ok()) co_return status;
    }
    co_return Status();
  };
  EXPECT_TRUE(succeeded(fixture.wait(client(fixture.store()))));
  fixture.loop().reactor().set_tap(nullptr);
  EXPECT_EQ(fixture.store().failure(), "");
  EXPECT_EQ(fixture.store().metadata().layers.size(), 1U);
}

// ---- The activity log -----------------------------------------------------------------------------------------------

/// In which order files are written.
class WriteOrder final : public IoTap {
 public:
  Status before(const Event& event) override {
    if (event.kind != Kind::write) return Status();
    const std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(event.fd)).string();
    order.push_back(std::filesystem::path(path).filename().string() + (event.durable ? " durably" : ""));
    return Status();
  }
  void after(const Event&) override {}
  std::vector<std::string> order;
};

TEST_F(StoreSettle, AnExtentIsHotOnTheDiskBeforeItsFirstWriteAndCostsNothingAfter) {
  WriteOrder order;
  fixture.loop().reactor().set_tap(&order);
  write(0);
  write(4096);
  write(28 * mebibyte);  // hot with its neighbours
  write(32 * mebibyte);
  fixture.loop().reactor().set_tap(nullptr);
  const std::vector<std::string> expected = {"activity durably", "layer-0.data",     "layer-0.data",
                                             "layer-0.data",     "activity durably", "layer-0.data"};
  EXPECT_EQ(order.order, expected);
}

TEST_F(StoreSettle, ExtentsCoolWhenAllInThemIsSyncedAndHeatAgain) {
  write(0);
  EXPECT_TRUE(hot(0));
  fixture.wait(fixture.store().sweep());
  EXPECT_TRUE(hot(0)) << "it was written in the epoch before";
  EXPECT_FALSE(hot(28 * mebibyte)) << "it was heated along, and not touched";
  write(8 * mebibyte);
  fixture.wait(fixture.store().sweep());
  EXPECT_FALSE(hot(0));
  EXPECT_TRUE(hot(8 * mebibyte));
  cool();
  EXPECT_FALSE(hot(8 * mebibyte));
  write(0, 2);
  EXPECT_TRUE(hot(0));
  fixture.close();
  EXPECT_FALSE(hot(0));
}

/// Syncs of region stamps take their time; whether a file was closed under one.
class SlowStamps final : public IoTap {
 public:
  Status before(const Event&) override { return Status(); }
  std::chrono::nanoseconds delay(const Event& event) override {
    if (event.kind != Kind::sync) return {};
    const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(event.fd));
    return path.extension() == ".stamps" ? std::chrono::milliseconds(30) : std::chrono::milliseconds(0);
  }
  void after(const Event& event) override {
    if (event.fd < 0) ++closed_early;
  }
  int closed_early = 0;
};

TEST_F(StoreSettle, ASnapshotWaitsForTheSyncOfItsStamps) {
  SlowStamps slow;
  fixture.loop().reactor().set_tap(&slow);
  for (int i = 0; i < 3; ++i) {
    write(0);
    bool swept = false;
    run_detached(fixture.store().sweep(), [&swept] { swept = true; });
    EXPECT_TRUE(succeeded(fixture.snapshot(new_id())));
    fixture.loop().reactor().run([&swept] { return swept; });
  }
  fixture.loop().reactor().set_tap(nullptr);
  EXPECT_EQ(slow.closed_early, 0);
}

TEST_F(StoreSettle, AfterAPowerLossHotExtentsCountAsChanged) {
  write(0);
  cool();
  write(40 * mebibyte);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  const store::Stamp base = fixture.store().newest_stamp();
  fixture.close();
  const auto found = stamps();
  EXPECT_TRUE(found[0] < store::pack(base) && found[127] == 0);
  for (uint64_t region = 128; region < 256; ++region) EXPECT_EQ(found[region], store::pack(base)) << region;
  EXPECT_EQ(found[256], 0U);
}

TEST_F(StoreSettle, AfterTheDeathOfTheProcessOnlyRecordedRegionsCountAsChanged) {
  write(0);
  cool();
  write(8 * mebibyte);
  fixture.abandon();
  fixture.open();
  const store::Stamp base = fixture.store().newest_stamp();
  fixture.close();
  const auto found = stamps();
  EXPECT_LT(found[0], store::pack(base));
  EXPECT_EQ(found[32], store::pack(base));
  EXPECT_EQ(found[33], 0U);
}

TEST_F(StoreSettle, AVolumeThatGrowsKeepsItsActivity) {
  constexpr uint64_t large = 300 * gibibyte;  // takes larger extents
  write(0);
  ASSERT_TRUE(succeeded(fixture.wait(fixture.store().resize(large))));
  write(large - 4096);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  const store::Stamp base = fixture.store().newest_stamp();
  fixture.close();
  const auto found = stamps();
  EXPECT_EQ(found.front(), store::pack(base));
  EXPECT_EQ(found.back(), store::pack(base));
  EXPECT_EQ(found[found.size() / 2], 0U);
}

// ---- Damage ---------------------------------------------------------------------------------------------------------

TEST_F(StoreSettle, ADamagedActivityLogMakesAllSuspect) {
  write(0);
  fixture.abandon();
  for (const uint64_t slot : {0, 1}) flip("activity", slot * 4096 + 100);
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(repairs("activity"), 1U);
  const store::Stamp base = fixture.store().newest_stamp();
  fixture.close();
  for (const store::PackedStamp stamp : stamps()) ASSERT_EQ(stamp, store::pack(base));
}

TEST_F(StoreSettle, AMissingActivityLogMakesAllSuspectAndIsMadeAnew) {
  write(0);
  fixture.abandon();
  std::filesystem::remove(file("activity"));
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(repairs("activity"), 1U);
  const store::Stamp base = fixture.store().newest_stamp();
  write(40 * mebibyte);
  EXPECT_TRUE(hot(40 * mebibyte));
  EXPECT_FALSE(hot(0));
  fixture.close();
  for (const store::PackedStamp stamp : stamps()) ASSERT_GE(stamp, store::pack(base));
}

TEST_F(StoreSettle, ADamagedStampTableMeansThatAllHasChanged) {
  for (const uint64_t offset : {uint64_t{16}, uint64_t{512 + 8}}) {
    fixture.events.clear();
    write(0);
    fixture.close();
    flip("layer-0.stamps", offset);
    fixture.open();
    const store::Stamp base = fixture.store().newest_stamp();
    write(0);
    fixture.close();
    EXPECT_EQ(repairs("stamps"), 1U) << offset;
    for (const store::PackedStamp stamp : stamps()) ASSERT_GE(stamp, store::pack(base));
    fixture.open();
  }
}

TEST_F(StoreSettle, AMissingStampTableMeansThatAllHasChanged) {
  write(0);
  fixture.close();
  std::filesystem::remove(file("layer-0.stamps"));
  fixture.open();
  EXPECT_EQ(repairs("stamps"), 1U);
  const store::Stamp base = fixture.store().newest_stamp();
  fixture.close();
  for (const store::PackedStamp stamp : stamps()) ASSERT_EQ(stamp, store::pack(base));
}

// ---- Format 1.0 -----------------------------------------------------------------------------------------------------

class StoreUpgrade : public StoreSettle {
 protected:
  /// As the first format left it.
  void make_old(bool clean) {
    for (const char* name : {"write-ring", "activity", "layer-0.stamps", "volume.copy.json"})
      std::filesystem::remove(file(name));
    std::ofstream(file("ring")) << "records";
    const UniqueFd fd(::open(file("superblock").c_str(), O_RDWR | O_CLOEXEC));
    auto found = store::read_superblock(fd.get(), file("superblock"));
    ASSERT_TRUE(found.ok());
    store::Superblock superblock = found.value().superblock;
    superblock.version_minor = 0;
    superblock.clean = clean ? 1 : 0;
    superblock.boot_id = fixture.boot_;
    for (int copy = 0; copy < 2; ++copy)
      ASSERT_TRUE(succeeded(store::write_superblock(fd.get(), file("superblock"), superblock)));
  }
};

TEST_F(StoreUpgrade, AClosedReplicaIsBroughtUpToDate) {
  write(0);
  fixture.close();
  make_old(true);
  fixture.events.clear();
  fixture.open();
  EXPECT_TRUE(fixture.events.empty());
  EXPECT_EQ(fixture.read(0, 4096), pattern(1, 4096));
  write(8 * mebibyte, 2);
  fixture.close();
  EXPECT_FALSE(std::filesystem::exists(file("ring")));
  for (const store::PackedStamp stamp : stamps()) ASSERT_NE(stamp, 0U);
  fixture.open();
  EXPECT_EQ(fixture.read(8 * mebibyte, 4096), pattern(2, 4096));
}

TEST_F(StoreUpgrade, OneWhoseRingIsInUseIsLeftToWhoWroteItUntilTheMachineStartsAgain) {
  write(0);
  fixture.close();
  make_old(false);
  const auto refused = store::open_replica(fixture.path(), {.boot_id = fixture.boot_});
  EXPECT_EQ(code_of(refused), "REPLICA_CORRUPT");
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4096), pattern(1, 4096));
}

// ---- Power losses ---------------------------------------------------------------------------------------------------

/// Whatever a power loss leaves: a region is never older than a write whose data may be there (I14 of the replication
/// protocol); else a replica that was away would not be sent it.
TEST(StoreStampsPowerLoss, NoRegionIsOlderThanWhatMayHaveBeenWrittenToIt) {
  std::mt19937_64 random(test_seed());
  const TemporaryDirectory recorded;
  const TemporaryDirectory images;
  const std::string path = recorded.path() + "/replica";
  ASSERT_TRUE(succeeded(store::create_replica({path, new_id(), new_id(), volume_size, 4096})));
  struct Written {
    size_t entry;  // of the journal: its data begins to be written
    uint64_t region;
    store::Stamp stamp;
  };
  std::vector<Written> writes;
  std::optional<OpenedStore> store(std::in_place, path, store::random_uuid());
  DiskJournal journal(path);
  CrashDisk disk(load_image(path));
  const auto& names = journal.first_files();
  const auto data_file = static_cast<uint32_t>(std::find(names.begin(), names.end(), "layer-0.data") - names.begin());
  store->reactor().set_tap(&journal);
  for (int i = 0; i < 60; ++i) {
    const uint64_t offset = random() % 16 * 4 * mebibyte;
    const AlignedMemory memory(4096);
    std::fill(memory.span().begin(), memory.span().end(), static_cast<std::byte>(i + 1));
    const auto before = static_cast<ptrdiff_t>(journal.entries().size());
    ASSERT_TRUE(succeeded(store->wait((*store)->write(offset, memory.span(), Durability::buffered))));
    const auto data = std::find_if(journal.entries().begin() + before, journal.entries().end(), [&](const auto& entry) {
      return entry.step == JournalEntry::Step::write && entry.file == data_file;
    });
    ASSERT_NE(data, journal.entries().end());
    writes.push_back({static_cast<size_t>(data - journal.entries().begin()), offset / store::region_bytes,
                      (*store)->newest_stamp()});
    if (random() % 6 == 0) {
      ASSERT_TRUE(succeeded(store->wait((*store)->flush())));
    }
    if (random() % 4 == 0) store->wait((*store)->sweep());
  }
  store->reactor().set_tap(nullptr);
  watch_file_calls(nullptr);
  ASSERT_TRUE(succeeded(store->wait((*store)->close())));
  store.reset();

  size_t made = 0;
  for (size_t at = 0; at < journal.entries().size() && !::testing::Test::HasFailure(); ++at) {
    disk.follow(journal.entries()[at]);
    if (random() % 3 != 0) continue;
    const std::string image = images.path() + "/" + std::to_string(made++);
    std::filesystem::create_directory(image);
    save_image(disk.image(Loss::power, random), image);
    OpenedStore opened(image, store::random_uuid());
    ASSERT_EQ(opened.error(), "");
    const store::VolumeMetadata& metadata = opened->metadata();
    const auto stamps = store::read_stamps({image, metadata.head, metadata.block_count(), {}});
    ASSERT_TRUE(stamps.ok());
    for (const Written& write : writes) {
      if (write.entry <= at) {
        EXPECT_GE(stamps.value()[write.region], store::pack(write.stamp)) << "entry " << at;
      }
    }
    ASSERT_TRUE(succeeded(opened.wait(opened->close())));
    std::filesystem::remove_all(image);
  }
  std::printf("%zu images\n", made);
}

}  // namespace
}  // namespace cairn::test
