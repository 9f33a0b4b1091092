// Clones of snapshots: linked, deeper, outliving their parents, flattened.
#include <fcntl.h>

#include "store/private_copy.h"
#include "store/replica_files.h"
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/file_calls.h"
#include "test/native/store/support/opened_store.h"

namespace cairn::test {
namespace {

constexpr uint64_t volume_size = 32 * mebibyte;

Bytes read_of(OpenedStore& store, uint64_t offset, size_t length) {
  AlignedMemory memory(length);
  EXPECT_TRUE(succeeded(store.wait(store->read(offset, memory.span()))));
  return {memory.span().begin(), memory.span().end()};
}

Status write_to(OpenedStore& store, uint64_t offset, const Bytes& bytes) {
  AlignedMemory memory(bytes.size());
  std::copy(bytes.begin(), bytes.end(), memory.span().begin());
  return store.wait(store->write(offset, memory.span(), Durability::buffered));
}

class StoreClone : public ::testing::Test {
 protected:
  StoreClone() {
    // Two snapshots, of which the second sees through the first; then what no snapshot has.
    EXPECT_TRUE(succeeded(fixture.write(0, pattern(1, 12288))));
    first = new_id();
    EXPECT_TRUE(succeeded(fixture.snapshot(first)));
    EXPECT_TRUE(succeeded(fixture.write(4096, pattern(2, 4096))));
    EXPECT_TRUE(succeeded(fixture.write(16 * mebibyte, pattern(3, mebibyte))));
    second = new_id();
    EXPECT_TRUE(succeeded(fixture.snapshot(second)));
    EXPECT_TRUE(succeeded(fixture.write(0, pattern(4, 4096))));
  }
  std::string clone_path(int number = 0) const { return fixture.path() + "-clone-" + std::to_string(number); }
  Result<Unit> clone(const std::string& snapshot, int number = 0) {
    return fixture.wait(fixture.store().clone({snapshot, clone_path(number), new_id(), new_id()}));
  }
  static Bytes second_content() {
    Bytes all = pattern(1, 12288);
    const Bytes changed = pattern(2, 4096);
    std::copy(changed.begin(), changed.end(), all.begin() + 4096);
    return all;
  }
  static void expect_second(OpenedStore& store) {
    EXPECT_EQ(read_of(store, 0, 12288), second_content());
    EXPECT_EQ(read_of(store, 16 * mebibyte, mebibyte), pattern(3, mebibyte));
    EXPECT_EQ(read_of(store, 20 * mebibyte, 4096), zeros(4096));
  }
  size_t shared_layers(OpenedStore& store) {
    size_t count = 0;
    for (const store::LayerMetadata& layer : store->metadata().layers)
      if (store::layer_shared(store->directory(), layer.number)) ++count;
    return count;
  }

  StoreFixture fixture{volume_size, 4096};
  std::string first, second;
  store::Uuid boot = store::random_uuid();
};

TEST_F(StoreClone, HasTheSnapshotsContentAndGoesItsOwnWay) {
  ASSERT_TRUE(succeeded(clone(second)));
  OpenedStore copy(clone_path(), boot);
  ASSERT_EQ(copy.error(), "");
  expect_second(copy);
  EXPECT_TRUE(copy->metadata().snapshot_named("of " + second) == nullptr);
  ASSERT_TRUE(succeeded(write_to(copy, 8192, pattern(9, 4096))));
  EXPECT_EQ(fixture.read(8192, 4096), [] {
    const Bytes all = pattern(1, 12288);
    return Bytes(all.begin() + 8192, all.end());
  }());
  ASSERT_TRUE(succeeded(fixture.write(16 * mebibyte, pattern(8, 4096))));
  EXPECT_EQ(read_of(copy, 16 * mebibyte, mebibyte), pattern(3, mebibyte));
  EXPECT_EQ(read_of(copy, 8192, 4096), pattern(9, 4096));
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, TakesNoSpaceOfItsOwn) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(5, 8 * mebibyte))));
  const std::string third = new_id();
  ASSERT_TRUE(succeeded(fixture.snapshot(third)));
  ASSERT_TRUE(succeeded(clone(third)));
  OpenedStore copy(clone_path(), boot);
  EXPECT_LT(store::allocated_bytes(clone_path(), copy->metadata().head), 64 * kibibyte);
  EXPECT_EQ(shared_layers(copy), 3U);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, LayersThatTwoHaveAreNotMergedBeforeOneLetsGo) {
  ASSERT_TRUE(succeeded(clone(second)));
  ASSERT_TRUE(succeeded(fixture.remove(first)));
  ASSERT_TRUE(succeeded(fixture.remove(second)));
  fixture.settle();
  EXPECT_EQ(fixture.snapshots().size(), 2U);
  {
    OpenedStore copy(clone_path(), boot);
    copy->resume_maintenance();
    copy.wait(copy->wait_maintenance());
    EXPECT_EQ(copy->metadata().layers.size(), 3U);
    expect_second(copy);
    ASSERT_TRUE(succeeded(copy.wait(copy->close())));
  }
  std::filesystem::remove_all(clone_path());
  fixture.store().resume_maintenance();
  fixture.settle();
  EXPECT_TRUE(fixture.snapshots().empty());
  EXPECT_EQ(fixture.read(0, 4096), pattern(4, 4096));
  EXPECT_EQ(fixture.read(4096, 4096), pattern(2, 4096));
}

TEST_F(StoreClone, OutlivesItsParentAndCollapsesThen) {
  ASSERT_TRUE(succeeded(clone(second)));
  fixture.close();
  std::filesystem::remove_all(fixture.path());
  OpenedStore copy(clone_path(), boot);
  ASSERT_EQ(copy.error(), "");
  expect_second(copy);
  copy->resume_maintenance();
  copy.wait(copy->wait_maintenance());
  EXPECT_EQ(copy->metadata().layers.size(), 1U);
  expect_second(copy);
  EXPECT_EQ(copy.failure(), "");
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, ACloneOfACloneAndALargerOne) {
  ASSERT_TRUE(succeeded(clone(first)));
  OpenedStore copy(clone_path(), boot);
  ASSERT_TRUE(succeeded(copy.wait(copy->resize(2 * volume_size))));
  ASSERT_TRUE(succeeded(write_to(copy, volume_size, pattern(6, 8192))));
  const std::string inner = new_id();
  ASSERT_TRUE(succeeded(copy.wait(copy->create_snapshot(inner, "inner"))));
  ASSERT_TRUE(succeeded(copy.wait(copy->clone({inner, clone_path(1), new_id(), new_id()}))));
  OpenedStore deeper(clone_path(1), boot);
  ASSERT_EQ(deeper.error(), "");
  EXPECT_EQ(deeper->geometry().size, 2 * volume_size);
  EXPECT_EQ(read_of(deeper, 0, 12288), pattern(1, 12288));
  EXPECT_EQ(read_of(deeper, volume_size, 8192), pattern(6, 8192));
  ASSERT_TRUE(succeeded(deeper.wait(deeper->close())));
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, HasTheSizeOfTheSnapshot) {
  ASSERT_TRUE(succeeded(fixture.wait(fixture.store().resize(2 * volume_size))));
  ASSERT_TRUE(succeeded(clone(second)));
  OpenedStore copy(clone_path(), boot);
  EXPECT_EQ(copy->geometry().size, volume_size);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, WhatACloneThatWasCutShortLeftIsReplaced) {
  ASSERT_TRUE(succeeded(clone(second)));
  std::filesystem::remove(clone_path() + "/volume.json");
  ASSERT_TRUE(succeeded(clone(first)));
  OpenedStore copy(clone_path(), boot);
  ASSERT_EQ(copy.error(), "");
  EXPECT_EQ(read_of(copy, 0, 12288), pattern(1, 12288));
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, IsRefusedWhereItCannotBe) {
  EXPECT_EQ(code_of(clone(new_id())), "SNAPSHOT_MISSING");
  ASSERT_TRUE(succeeded(clone(second)));
  EXPECT_EQ(code_of(clone(second)), "REPLICA_EXISTS");
  const bool in_memory = fixture.path().starts_with("/dev/shm/");
  std::string elsewhere = std::string(in_memory ? "/var/tmp" : "/dev/shm") + "/cairn-clone-XXXXXX";
  ASSERT_NE(::mkdtemp(elsewhere.data()), nullptr);
  const Result<Unit> other = fixture.wait(fixture.store().clone({second, elsewhere + "/replica", new_id(), new_id()}));
  EXPECT_EQ(code_of(other), "CLONE_OTHER_FILE_SYSTEM");
  std::filesystem::remove_all(elsewhere);
}

// ---- Flatten --------------------------------------------------------------------------------------------------------

TEST_F(StoreClone, FlattenedItSharesNothingAndCollapses) {
  ASSERT_TRUE(succeeded(clone(second)));
  OpenedStore copy(clone_path(), boot);
  ASSERT_TRUE(succeeded(copy.wait(copy->flatten())));
  EXPECT_TRUE(copy->flattening());
  copy.wait(copy->wait_maintenance());
  EXPECT_FALSE(copy->flattening());
  EXPECT_EQ(copy->flatten_progress(), 1);
  EXPECT_EQ(shared_layers(copy), 0U);
  EXPECT_EQ(copy->metadata().layers.size(), 1U);
  expect_second(copy);
  // The parent is whole, and free to merge.
  EXPECT_EQ(fixture.read(4096, 4096), pattern(2, 4096));
  ASSERT_TRUE(succeeded(fixture.remove(first)));
  fixture.settle();
  EXPECT_EQ(fixture.snapshots(), std::vector{second});
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, FlatteningGoesOnAfterItWasCutShort) {
  ASSERT_TRUE(succeeded(clone(second)));
  const std::string private_copy = store::layer_data_path(clone_path(), 1) + ".private";
  {
    OpenedStore copy(clone_path(), boot);
    ASSERT_TRUE(succeeded(copy.wait(copy->flatten())));
    ASSERT_TRUE(succeeded(copy.wait(copy->close())));
  }
  // Half of a copy, and something of a layer that is not there.
  std::filesystem::copy_file(store::layer_data_path(clone_path(), 1), private_copy,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::resize_file(private_copy, volume_size / 2);
  std::filesystem::copy_file(private_copy, clone_path() + "/layer-77.data.private");
  OpenedStore copy(clone_path(), boot);
  ASSERT_EQ(copy.error(), "");
  EXPECT_TRUE(copy->flattening());
  copy->resume_maintenance();
  copy.wait(copy->wait_maintenance());
  EXPECT_FALSE(copy->flattening());
  EXPECT_EQ(shared_layers(copy), 0U);
  expect_second(copy);
  EXPECT_FALSE(std::filesystem::exists(clone_path() + "/layer-77.data.private"));
  EXPECT_FALSE(std::filesystem::exists(private_copy));
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

/// A copy that was begun while the parent was there; then the layers become this volume's own, change, and are shared
/// again.
TEST(StoreCloneLarge, AHalfCopyIsNotContinuedOnceTheLayerHasChanged) {
  constexpr uint64_t chunk = store::PrivateCopy::chunk;
  StoreFixture fixture(4 * chunk, 4096);
  const store::Uuid boot = store::random_uuid();
  const std::string path = fixture.path() + "-clone";
  const std::string snapshot = new_id();
  const std::string mark = new_id();
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 8192))));
  ASSERT_TRUE(succeeded(fixture.write(3 * chunk, pattern(2, 8192))));
  ASSERT_TRUE(succeeded(fixture.snapshot(snapshot)));
  ASSERT_TRUE(succeeded(fixture.wait(fixture.store().clone({snapshot, path, new_id(), new_id()}))));
  std::optional<OpenedStore> opened(std::in_place, path, boot);
  OpenedStore& copy = *opened;
  // As a copy looks that was cut short after three chunks.
  const std::string data = store::layer_data_path(path, 0);
  ASSERT_TRUE(std::filesystem::copy_file(data, store::PrivateCopy::path_of(data)));
  std::filesystem::resize_file(store::PrivateCopy::path_of(data), 3 * chunk);
  fixture.close();
  std::filesystem::remove_all(fixture.path());
  ASSERT_TRUE(succeeded(write_to(copy, 4096, pattern(7, 4096))));
  ASSERT_TRUE(succeeded(copy.wait(copy->create_snapshot(mark, "mark"))));
  copy->resume_maintenance();
  copy.wait(copy->wait_maintenance());
  ASSERT_EQ(copy->metadata().snapshot(mark)->number, 0U);  // the two layers are one now, in the parent's file
  ASSERT_TRUE(succeeded(copy.wait(copy->clone({mark, path + "-2", new_id(), new_id()}))));
  ASSERT_TRUE(succeeded(copy.wait(copy->flatten())));
  copy.wait(copy->wait_maintenance());
  EXPECT_FALSE(store::layer_shared(path, 0));
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
  opened.reset();
  OpenedStore again(path, boot);
  ASSERT_EQ(again.error(), "");
  EXPECT_EQ(read_of(again, 4096, 4096), pattern(7, 4096));
  ASSERT_TRUE(succeeded(again.wait(again->close())));
}

class FullForCopies final : public FileCallWatch {
 public:
  FullForCopies() { watch_file_calls(this); }
  ~FullForCopies() override { watch_file_calls(nullptr); }
  int write_error(int fd, uint64_t) override {
    const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    return path.extension() == ".private" && path.stem().extension() == ".map" ? ENOSPC : 0;
  }
};

TEST_F(StoreClone, AFlatteningThatFindsNoSpaceGivesBackWhatItHasTakenAndGoesOnLater) {
  ASSERT_TRUE(succeeded(clone(second)));
  OpenedStore copy(clone_path(), boot);
  {
    FullForCopies disk;
    ASSERT_TRUE(succeeded(copy.wait(copy->flatten())));
    copy.wait(copy->wait_maintenance());
    EXPECT_TRUE(copy->flattening());
    EXPECT_EQ(copy.failure(), "");
    EXPECT_EQ(copy.events(store::StoreEvent::Kind::no_space), 1U);
    for (const auto& entry : std::filesystem::directory_iterator(clone_path()))
      EXPECT_FALSE(entry.path().string().ends_with(".private")) << entry.path();
    expect_second(copy);
  }
  // As the timer does in a while.
  copy->resume_maintenance();
  copy.wait(copy->wait_maintenance());
  EXPECT_FALSE(copy->flattening());
  EXPECT_EQ(shared_layers(copy), 0U);
  expect_second(copy);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

/// The fixture's data is checksummed before the clone is made.
class StoreCloneChecked : public StoreClone {
 protected:
  StoreCloneChecked() {
    fixture.store().start_checksums();
    fixture.settle();
    EXPECT_TRUE(succeeded(clone(second)));
  }
  void damage(uint64_t offset) {
    const UniqueFd file(::open(store::layer_data_path(clone_path(), 0).c_str(), O_RDWR));
    ASSERT_EQ(::pwrite(file.get(), "damage", 6, static_cast<off_t>(offset)), 6);
    ASSERT_EQ(::fsync(file.get()), 0);
  }
  static store::ScrubStatus scrub(OpenedStore& store) {
    EXPECT_TRUE(succeeded(store->start_scrub()));
    store.wait(store->wait_maintenance());
    return store->scrub_status();
  }
};

TEST_F(StoreCloneChecked, AScrubReadsWhatTheCloneShares) {
  OpenedStore copy(clone_path(), boot);
  EXPECT_EQ(scrub(copy).blocks_checked, 3 + 1 + mebibyte / store_block_size);
  EXPECT_EQ(copy->scrub_status().blocks_damaged, 0U);
  damage(8192);
  EXPECT_EQ(scrub(copy).blocks_damaged, 1U);
  EXPECT_EQ(copy.events(store::StoreEvent::Kind::damaged), 1U);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreCloneChecked, DamageIsNotCopiedByFlattening) {
  damage(8192);
  OpenedStore copy(clone_path(), boot);
  ASSERT_TRUE(succeeded(copy.wait(copy->flatten())));
  copy.wait(copy->wait_maintenance());
  EXPECT_TRUE(copy->flattening());
  EXPECT_EQ(shared_layers(copy), 1U);  // the other one is well
  EXPECT_NE(copy->flatten_problem().find("bytes 8192 to 12288"), std::string::npos) << copy->flatten_problem();
  copy->resume_maintenance();  // as the timer does: what is known to be damaged is not read again
  copy.wait(copy->wait_maintenance());
  EXPECT_TRUE(copy->flattening());
  EXPECT_EQ(copy.events(store::StoreEvent::Kind::damaged), 1U);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

TEST_F(StoreClone, WhatACloneSharesGetsChecksums) {
  ASSERT_TRUE(succeeded(clone(second)));
  OpenedStore copy(clone_path(), boot);
  EXPECT_EQ(copy->scrub_status().blocks_checked, 0U);
  copy->start_checksums();
  copy.wait(copy->wait_maintenance());
  ASSERT_TRUE(succeeded(copy->start_scrub()));
  copy.wait(copy->wait_maintenance());
  EXPECT_EQ(copy->scrub_status().blocks_checked, 3 + 1 + mebibyte / store_block_size);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
}

/// At most so many bytes at a time, wherever the store does not ask the reactor.
class ShortTransfers final : public FileCallWatch {
 public:
  ShortTransfers() { watch_file_calls(this); }
  ~ShortTransfers() override { watch_file_calls(nullptr); }
  size_t transfer(size_t length) override {
    if (length <= 512) return length;  // what direct I/O moves at least
    ++shortened;
    return std::max<size_t>(512, length / 3 / 512 * 512);
  }
  std::atomic<uint64_t> shortened = 0;
};

TEST_F(StoreClone, ShortTransfersAreGoneOnWith) {
  ShortTransfers transfers;
  ASSERT_TRUE(succeeded(clone(second)));
  fixture.close();
  fixture.open();
  fixture.store().start_checksums();
  fixture.settle();
  ASSERT_TRUE(succeeded(fixture.store().start_scrub()));
  fixture.settle();
  EXPECT_EQ(fixture.store().scrub_status().findings, std::vector<std::string>());
  EXPECT_GT(fixture.store().scrub_status().blocks_checked, 0U);
  OpenedStore copy(clone_path(), boot);
  ASSERT_EQ(copy.error(), "");
  ASSERT_TRUE(succeeded(copy.wait(copy->flatten())));
  copy.wait(copy->wait_maintenance());
  expect_second(copy);
  ASSERT_TRUE(succeeded(copy.wait(copy->close())));
  EXPECT_GT(transfers.shortened, 10U);
}

}  // namespace
}  // namespace cairn::test
