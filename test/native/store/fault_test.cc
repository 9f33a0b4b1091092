// Disks that fail and disks that are full.
#include "store/region_stamps.h"
#include "store/replica_files.h"
#include "test/native/store/support/faulty_disk.h"
#include "test/native/store/support/file_calls.h"

namespace cairn::test {
namespace {

using Kind = IoTap::Kind;
using EventKind = store::StoreEvent::Kind;

class StoreFaults : public ::testing::Test {
 protected:
  StoreFaults() {
    EXPECT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
    EXPECT_TRUE(succeeded(fixture.flush()));
  }
  size_t events(EventKind kind) const {
    return static_cast<size_t>(std::count_if(fixture.events.begin(), fixture.events.end(),
                                             [kind](const store::StoreEvent& event) { return event.kind == kind; }));
  }
  int error_of_write(uint64_t offset, uint32_t tag = 9) { return fixture.write(offset, pattern(tag, 4096)).error(); }
  /// More than the layer below has: a merge of the two moves that layer's blocks up.
  void write_much() { EXPECT_TRUE(succeeded(fixture.write(524288, pattern(7, 131072)))); }
  Bytes first(size_t length) {
    const Bytes all = pattern(1, 65536);
    return Bytes(all.begin(), all.begin() + static_cast<ptrdiff_t>(length));
  }
  /// Of the process; the page cache keeps what it has.
  void kill_and_open() {
    fixture.abandon();
    fixture.open();
  }

  StoreFixture fixture{mebibyte, 4096};
  FaultyDisk disk{fixture};
};

// ---- EIO ------------------------------------------------------------------------------------------------------------

TEST_F(StoreFaults, AFailedReadIsEioAndCounted) {
  disk.fail(Kind::read, ".data", EIO);
  AlignedMemory memory(8192);
  EXPECT_EQ(fixture.wait(fixture.store().read(0, memory.span())).error(), EIO);
  EXPECT_EQ(fixture.store().counters().errors, 1U);
  disk.heal();
  EXPECT_EQ(fixture.read(0, 8192), first(8192));
}

TEST_F(StoreFaults, OneFailedPieceFailsTheWholeRead) {
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  ASSERT_TRUE(succeeded(fixture.write(4096, pattern(2, 4096))));
  disk.fail(Kind::read, "layer-1.data", EIO);
  AlignedMemory memory(16384);
  EXPECT_EQ(fixture.wait(fixture.store().read(0, memory.span())).error(), EIO);
  EXPECT_TRUE(succeeded(fixture.wait(fixture.store().read(8192, memory.span().first(4096)))));
}

TEST_F(StoreFaults, AFailedWriteIsEioAndChangesNothing) {
  disk.fail(Kind::write, ".data", EIO);
  EXPECT_EQ(error_of_write(0), EIO);
  EXPECT_EQ(error_of_write(131072), EIO);
  disk.heal();
  EXPECT_EQ(fixture.read(0, 4096), first(4096));
  EXPECT_EQ(fixture.read(131072, 4096), zeros(4096));
  EXPECT_EQ(error_of_write(131072), 0);
  EXPECT_EQ(fixture.store().failure(), "");
}

/// After a failed sync nobody knows what the disk has.
class StoreFailedSync : public StoreFaults, public ::testing::WithParamInterface<std::pair<Kind, const char*>> {};

TEST_P(StoreFailedSync, RefusesWritesUntilTheReplicaIsOpenedAgain) {
  ASSERT_EQ(error_of_write(131072, 2), 0);
  disk.fail(GetParam().first, GetParam().second, EIO);
  EXPECT_EQ(fixture.flush().error(), EIO);
  disk.heal();
  EXPECT_NE(fixture.store().failure(), "");
  EXPECT_EQ(events(EventKind::failed), 1U);
  EXPECT_EQ(error_of_write(0), EIO);
  EXPECT_EQ(error_of_write(512 * 1024), EIO);
  EXPECT_EQ(fixture.trim(0, 4096).error(), EIO);
  EXPECT_EQ(fixture.zero(0, 4096, ZeroMode::keep_space).error(), EIO);
  EXPECT_EQ(fixture.flush().error(), EIO);
  EXPECT_EQ(fixture.write(0, pattern(9, 4096), Durability::durable).error(), EIO);
  EXPECT_EQ(code_of(fixture.snapshot(new_id())), "EIO");
  EXPECT_EQ(events(EventKind::failed), 1U);
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
  kill_and_open();
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
  EXPECT_EQ(fixture.read(131072, 4096), pattern(2, 4096));
  EXPECT_EQ(error_of_write(0), 0);
  EXPECT_EQ(fixture.flush().error(), 0);
}

INSTANTIATE_TEST_SUITE_P(OfAnyFile, StoreFailedSync,
                         ::testing::Values(std::pair{Kind::sync, ".data"}, std::pair{Kind::sync, ".map"},
                                           std::pair{Kind::write, ".map"}));

TEST_F(StoreFaults, AFailedSyncOfTheDirectoryFailsTheSnapshotAndTheStore) {
  disk.fail(Kind::sync, "replica", EIO);
  EXPECT_EQ(code_of(fixture.snapshot(new_id())), "EIO");
  EXPECT_NE(fixture.store().failure(), "");
  disk.heal();
  kill_and_open();
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
}

TEST_F(StoreFaults, ARingWithoutSpaceRefusesWritesUntilThereIsSome) {
  fixture.close();
  fixture.open();
  disk.fail(Kind::allocate, "write-ring", EIO);
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(error_of_write(131072 + i * 8192), EIO);
  EXPECT_EQ(error_of_write(0), EIO);
  EXPECT_EQ(fixture.store().failure(), "");
  disk.heal();
  EXPECT_EQ(error_of_write(131072, 4), 0);
  kill_and_open();
  EXPECT_EQ(fixture.read(131072, 4096), pattern(4, 4096));
  EXPECT_EQ(fixture.read(131072 + 8192, 4096), zeros(4096));
}

TEST_F(StoreFaults, AnActivityLogThatCannotBeWrittenRefusesTheWrite) {
  fixture.close();
  fixture.open();
  disk.fail(Kind::write, "activity", EIO);
  EXPECT_EQ(error_of_write(0), EIO);
  EXPECT_EQ(fixture.read(0, 4096), first(4096));
  disk.heal();
  EXPECT_EQ(error_of_write(0, 3), 0);
  EXPECT_EQ(fixture.read(0, 4096), pattern(3, 4096));
}

TEST_F(StoreFaults, AMergeThatCannotReadStopsAndKeepsTheContent) {
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  write_much();
  disk.fail(Kind::read, "layer-0.data", EIO);
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  fixture.settle();
  EXPECT_EQ(events(EventKind::failed), 1U);
  EXPECT_EQ(fixture.store().failure(), "");
  disk.heal();
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
  EXPECT_EQ(error_of_write(0), 0);
  fixture.close();
  fixture.open();
  fixture.settle();
  EXPECT_EQ(fixture.store().metadata().layers.size(), 1U);
  EXPECT_EQ(fixture.read(4096, 4096), [&] {
    const Bytes two = first(8192);
    return Bytes(two.begin() + 4096, two.end());
  }());
}

TEST_F(StoreFaults, AMergeWhoseChildCannotBeSyncedIsNotReadFromTheChild) {
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  write_much();
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));  // the child is frozen
  disk.fail(Kind::sync, "layer-1.data", EIO);
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  fixture.settle();
  EXPECT_NE(fixture.store().failure(), "");
  disk.heal();
  disk.fail(Kind::read, "layer-1.data", EIO);
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
  disk.heal();
  kill_and_open();
  fixture.settle();
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
}

/// Fails fsync of directories.
class FailingDirectorySync final : public FileCallWatch {
 public:
  FailingDirectorySync() { watch_file_calls(this); }
  ~FailingDirectorySync() override { watch_file_calls(nullptr); }
  int sync_error(int fd) override {
    struct stat status {};
    ::fstat(fd, &status);
    return S_ISDIR(status.st_mode) && ++syncs_ > allowed ? EIO : 0;
  }
  int allowed = 0;

 private:
  int syncs_ = 0;
};

TEST_F(StoreFaults, ARevertWhoseDirectoryCannotBeSyncedLeavesAReplicaThatOpens) {
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  ASSERT_EQ(error_of_write(0), 0);
  {
    FailingDirectorySync failing;
    failing.allowed = 1;  // the new head's files are there, and volume.json names them
    EXPECT_EQ(code_of(fixture.revert(id)), "EIO");
  }
  EXPECT_NE(fixture.store().failure(), "");
  kill_and_open();
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
  EXPECT_EQ(error_of_write(0), 0);
}

// ---- ENOSPC ---------------------------------------------------------------------------------------------------------

class StoreFullDisk : public StoreFaults, public ::testing::WithParamInterface<std::pair<Kind, const char*>> {};

TEST_P(StoreFullDisk, RefusesWhatNeedsRoomAndGoesOnWhenThereIsSome) {
  fixture.close();
  fixture.open();  // it knows of no space that is reserved
  disk.fail(GetParam().first, GetParam().second, ENOSPC);
  const int error = error_of_write(131072, 2);
  const int flush_error = fixture.flush().error();
  EXPECT_TRUE(error == ENOSPC || flush_error == ENOSPC);
  EXPECT_EQ(events(EventKind::no_space), 1U);
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
  EXPECT_EQ(fixture.store().failure(), "");
  disk.heal();
  EXPECT_EQ(error_of_write(131072, 3), 0);
  EXPECT_EQ(fixture.flush().error(), 0);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.read(131072, 4096), pattern(3, 4096));
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
}

INSTANTIATE_TEST_SUITE_P(OfAnyFile, StoreFullDisk,
                         ::testing::Values(std::pair{Kind::write, ".data"}, std::pair{Kind::write, ".map"},
                                           std::pair{Kind::allocate, "write-ring"}, std::pair{Kind::allocate, ".map"}));

TEST_F(StoreFaults, AFullDiskIsReportedOnceUntilAWriteFindsRoom) {
  fixture.close();
  fixture.open();
  disk.fail(Kind::allocate, ".map", ENOSPC);
  EXPECT_EQ(error_of_write(131072), ENOSPC);
  EXPECT_EQ(error_of_write(0), 0);  // an overwrite needs none
  EXPECT_EQ(error_of_write(131072), ENOSPC);
  EXPECT_EQ(events(EventKind::no_space), 1U);
  disk.heal();
  EXPECT_EQ(error_of_write(131072), 0);
  disk.fail(Kind::write, ".data", ENOSPC);
  EXPECT_EQ(error_of_write(262144), ENOSPC);
  EXPECT_EQ(events(EventKind::no_space), 2U);
}

TEST_F(StoreFaults, ASnapshotOnAFullDiskIsRefusedAndNotThere) {
  ASSERT_EQ(error_of_write(131072, 2), 0);
  disk.fail(Kind::write, ".map", ENOSPC);
  const std::string id = new_id();
  EXPECT_EQ(code_of(fixture.snapshot(id)), "ENOSPC");
  EXPECT_TRUE(fixture.snapshots().empty());
  disk.heal();
  EXPECT_TRUE(succeeded(fixture.snapshot(id)));
  EXPECT_EQ(fixture.read(131072, 4096), pattern(2, 4096));
}

TEST_F(StoreFaults, AMergeOnAFullDiskGoesOnWhenThereIsRoom) {
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  write_much();
  disk.fail(Kind::write, "layer-1.data", ENOSPC);
  ASSERT_TRUE(succeeded(fixture.remove(id)));
  fixture.loop().reactor().run([&] { return events(EventKind::no_space) > 0; });
  EXPECT_EQ(events(EventKind::failed), 0U);
  disk.heal();
  fixture.settle();
  EXPECT_EQ(events(EventKind::merge_finished), 1U);
  EXPECT_EQ(fixture.read(0, 65536), first(65536));
}

/// Whose free space is what the reserve has held.
class FullDisk final : public FileCallWatch {
 public:
  explicit FullDisk(std::string replica) : replica_(std::move(replica)) { watch_file_calls(this); }
  ~FullDisk() override { watch_file_calls(nullptr); }
  int write_error(int fd, uint64_t) override {
    const std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    const bool is_full = std::filesystem::exists(store::reserve_path(replica_)) || used_up;
    return is_full && path.starts_with(replica_) && path.ends_with(".new") ? ENOSPC : 0;
  }
  std::atomic<bool> used_up = false;

 private:
  std::string replica_;
};

TEST_F(StoreFaults, ASnapshotIsDeletedOnAFullDiskWithTheSpaceThatIsReservedForIt) {
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  EXPECT_FALSE(std::filesystem::exists(store::reserve_path(fixture.path())));
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  ASSERT_TRUE(std::filesystem::exists(store::reserve_path(fixture.path())));
  ASSERT_TRUE(succeeded(fixture.write(4096, pattern(2, 4096))));
  {
    FullDisk full(fixture.path());
    EXPECT_TRUE(succeeded(fixture.remove(id)));
    full.used_up = true;  // somebody was faster
    EXPECT_EQ(code_of(fixture.snapshot(new_id())), "ENOSPC");
  }
  fixture.store().resume_maintenance();
  fixture.settle();
  EXPECT_TRUE(fixture.snapshots().empty());
  EXPECT_TRUE(std::filesystem::exists(store::reserve_path(fixture.path())));
  EXPECT_EQ(fixture.read(4096, 4096), pattern(2, 4096));
}

TEST_F(StoreFaults, ADeletionThatFindsNoSpaceAtAllIsRefusedAndChangesNothing) {
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  {
    FullDisk full(fixture.path());
    full.used_up = true;
    EXPECT_EQ(code_of(fixture.remove(id)), "ENOSPC");
  }
  EXPECT_EQ(fixture.snapshots(), std::vector{id});
  EXPECT_TRUE(succeeded(fixture.remove(id)));
}

/// Only what is there already can be written.
class NoNewStamps final : public FileCallWatch {
 public:
  NoNewStamps() { watch_file_calls(this); }
  ~NoNewStamps() override { watch_file_calls(nullptr); }
  int write_error(int fd, uint64_t offset) override {
    const std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    if (!path.ends_with(".stamps") || offset == 0) return 0;
    ++refused;
    return ENOSPC;
  }
  std::atomic<int> refused = 0;
};

TEST_F(StoreFaults, AReplicaOnAFullDiskIsOpenedAfterACrash) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  fixture.abandon();
  {
    NoNewStamps disk_is_full;
    fixture.open();
    EXPECT_GT(disk_is_full.refused, 0);
  }
  EXPECT_EQ(fixture.read(0, 65536), pattern(1, 65536));
  // What could not be noted for its region counts for all of them.
  fixture.close();
  const store::VolumeMetadata metadata = store::read_metadata(fixture.path()).value();
  const Result<std::vector<store::PackedStamp>> stamps = store::read_stamps(
      {fixture.path(), metadata.head, metadata.block_count(), *store::parse_uuid(metadata.volume_id)});
  ASSERT_TRUE(succeeded(stamps));
  for (const store::PackedStamp stamp : stamps.value()) EXPECT_GE(stamp, store::pack({2, 0, 0}));
  fixture.open();
}

}  // namespace
}  // namespace cairn::test
