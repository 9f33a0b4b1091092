// Creation, opening, and the one owner at a time.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <fstream>

#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

store::NewReplica new_replica(const std::string& directory, uint64_t size = mebibyte, uint32_t block_size = 4096) {
  return {directory, new_id(), new_id(), size, block_size};
}

std::string open_code(const StoreFixture& fixture, int wait_ms = 0) {
  return code_of(store::open_replica(fixture.path(), {.boot_id = fixture.boot_, .lock_wait_ms = wait_ms}));
}

/// Another process that holds the replica's lock until it is told to end.
class LockingProcess {
 public:
  explicit LockingProcess(const std::string& directory) {
    int ready[2], end[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC) | ::pipe2(end, O_CLOEXEC), 0);
    process_ = ::fork();
    if (process_ == 0) {
      ::close(end[1]);
      const int file = ::open((directory + "/superblock").c_str(), O_RDWR);
      char byte = ::flock(file, LOCK_EX) == 0 ? 'y' : 'n';
      if (::write(ready[1], &byte, 1) == 1) (void)!::read(end[0], &byte, 1);
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(end[0]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    ::close(ready[0]);
    end_ = end[1];
  }
  ~LockingProcess() {
    tell_to_end();
    ::waitpid(process_, nullptr, 0);
  }
  void tell_to_end() {
    if (end_ >= 0) ::close(std::exchange(end_, -1));
  }

 private:
  pid_t process_ = -1;
  int end_ = -1;
};

TEST(StoreOpen, ASecondOpenerIsRefusedWithVolumeLocked) {
  StoreFixture fixture(mebibyte, 4096);
  EXPECT_EQ(open_code(fixture), "VOLUME_LOCKED");
}

TEST(StoreOpen, AnotherProcessThatHoldsTheLockIsRefusedWithVolumeLocked) {
  StoreFixture fixture(mebibyte, 4096);
  fixture.close();
  {
    const LockingProcess other(fixture.path());
    EXPECT_EQ(open_code(fixture, 10), "VOLUME_LOCKED");
  }
  fixture.open();
}

TEST(StoreOpen, AnOwnerThatIsJustEndingIsWaitedFor) {
  StoreFixture fixture(mebibyte, 4096);
  fixture.close();
  LockingProcess other(fixture.path());
  other.tell_to_end();
  EXPECT_EQ(open_code(fixture, 10'000), "ok");
}

TEST(StoreOpen, AFreshVolumeOf1TiBTakesLessThan1MiB) {
  StoreFixture fixture(tebibyte, 512);
  EXPECT_LT(fixture.disk_bytes(), mebibyte);
  EXPECT_EQ(fixture.store().geometry().size, tebibyte);
  EXPECT_EQ(fixture.read(tebibyte - 4096, 4096), zeros(4096));
  EXPECT_LT(fixture.disk_bytes(), mebibyte);
}

TEST(StoreOpen, TheSmallestVolumeIsOneBlock) {
  StoreFixture fixture(4096, 512);
  ASSERT_TRUE(succeeded(fixture.write(3584, pattern(1, 512))));
  fixture.close();
  fixture.open();
  EXPECT_EQ(fixture.read(3584, 512), pattern(1, 512));
  EXPECT_EQ(fixture.read(0, 3584), zeros(3584));
}

TEST(StoreOpen, SizesAndBlockSizesOutOfRangeAreRefused) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/replica";
  for (const uint64_t size : {uint64_t{0}, uint64_t{512}, uint64_t{4095}, uint64_t{4097}, 64 * tebibyte + 4096})
    EXPECT_EQ(code_of(store::create_replica(new_replica(path, size))), "INVALID_ARGUMENT") << size;
  for (const uint32_t block_size : {0U, 511U, 1024U, 2048U, 8192U})
    EXPECT_EQ(code_of(store::create_replica(new_replica(path, mebibyte, block_size))), "INVALID_ARGUMENT")
        << block_size;
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(StoreOpen, IdentitiesThatAreNotUuidsAreRefused) {
  const TemporaryDirectory directory;
  store::NewReplica replica = new_replica(directory.path() + "/replica");
  replica.volume_id = "demo";
  EXPECT_EQ(code_of(store::create_replica(replica)), "INVALID_ARGUMENT");
  replica = new_replica(directory.path() + "/replica");
  replica.replica_id += "0";
  EXPECT_EQ(code_of(store::create_replica(replica)), "INVALID_ARGUMENT");
}

TEST(StoreOpen, AWholeReplicaIsNotReplaced) {
  StoreFixture fixture(mebibyte, 4096);
  EXPECT_EQ(code_of(store::create_replica(new_replica(fixture.path()))), "REPLICA_EXISTS");
}

TEST(StoreOpen, WhatACreationThatWasCutShortLeftIsReplaced) {
  const TemporaryDirectory directory;
  for (const char* name : {"superblock", "write-ring", "activity", "layer-0.data", "layer-0.map", "volume.json.new"})
    std::ofstream(directory.path() + "/" + name) << "half";
  ASSERT_TRUE(succeeded(store::create_replica(new_replica(directory.path()))));
  EXPECT_TRUE(succeeded(store::open_replica(directory.path(), {.boot_id = store::random_uuid()})));
}

TEST(StoreOpen, ADirectoryWithoutAReplicaIsReplicaMissing) {
  const TemporaryDirectory directory;
  EXPECT_EQ(code_of(store::open_replica(directory.path(), {})), "REPLICA_MISSING");
  EXPECT_EQ(code_of(store::open_replica(directory.path() + "/none", {})), "REPLICA_MISSING");
}

TEST(StoreOpen, FilesThatVolumeJsonDoesNotNameAreRemoved) {
  StoreFixture fixture(mebibyte, 4096);
  fixture.close();
  for (const char* name : {"layer-7.data", "layer-7.map", "volume.json.new"})
    std::ofstream(fixture.path() + "/" + name) << "of a snapshot that was cut short";
  fixture.open();
  EXPECT_FALSE(std::filesystem::exists(fixture.path() + "/layer-7.data"));
  EXPECT_FALSE(std::filesystem::exists(fixture.path() + "/layer-7.map"));
  EXPECT_FALSE(std::filesystem::exists(fixture.path() + "/volume.json.new"));
}

TEST(StoreOpen, AClosedReplicaNeedsNoRecovery) {
  StoreFixture fixture(mebibyte, 4096);
  EXPECT_FALSE(fixture.store().recovered());
  ASSERT_TRUE(succeeded(fixture.write(8192, pattern(1, 4096))));
  fixture.close();
  fixture.new_boot();
  fixture.open();
  EXPECT_FALSE(fixture.store().recovered());
  EXPECT_EQ(fixture.read(8192, 4096), pattern(1, 4096));
}

TEST(StoreOpen, AcknowledgedWritesSurviveTheDeathOfTheProcess) {
  StoreFixture fixture(mebibyte, 4096);
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 12288))));
  ASSERT_TRUE(succeeded(fixture.trim(4096, 4096)));
  fixture.abandon();
  fixture.open();
  EXPECT_TRUE(fixture.store().recovered());
  EXPECT_EQ(fixture.read(4096, 4096), zeros(4096));
  const Bytes written = pattern(1, 12288);
  EXPECT_EQ(fixture.read(8192, 4096), Bytes(written.begin() + 8192, written.end()));
}

TEST(StoreOpen, AfterAPowerLossOnlyWhatWasFlushedIsTrusted) {
  StoreFixture fixture(mebibyte, 4096);
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096))));
  ASSERT_TRUE(succeeded(fixture.flush()));
  ASSERT_TRUE(succeeded(fixture.write(4096, pattern(2, 4096))));
  ASSERT_TRUE(succeeded(fixture.write(8192, pattern(3, 4096), Durability::durable)));
  ASSERT_TRUE(succeeded(fixture.write(12288, pattern(4, 4096))));
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4096), pattern(1, 4096));
  EXPECT_EQ(fixture.read(8192, 4096), pattern(3, 4096));
  EXPECT_EQ(fixture.read(12288, 4096), zeros(4096));
}

}  // namespace
}  // namespace cairn::test
