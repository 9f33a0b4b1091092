// A disk that is slow or does things by halves; descriptors and memory that are not to be had. New work is refused, old
// work is safe.
#include <sys/resource.h>
#include <unistd.h>

#include "test/native/store/support/faulty_disk.h"
#include "test/native/store/support/scarce_memory.h"

namespace cairn::test {
namespace {

// ---- A file that is too short; transfers that are, are in reactor_test.cc -------------------------------------------

TEST(StoreShortTransfers, ADataFileThatHasBecomeShorterIsEio) {
  StoreFixture fixture(mebibyte, 4096);
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  ASSERT_EQ(::truncate((fixture.path() + "/layer-0.data").c_str(), 8192), 0);
  AlignedMemory memory(65536);
  EXPECT_EQ(fixture.wait(fixture.store().read(0, memory.span())).error(), EIO);
  EXPECT_EQ(fixture.read(0, 8192), [] {
    const Bytes all = pattern(1, 65536);
    return Bytes(all.begin(), all.begin() + 8192);
  }());
}

// ---- A slow disk ----------------------------------------------------------------------------------------------------

/// A thousand times slower than an NVMe disk.
class SlowDisk final : public IoTap {
 public:
  Status before(const Event&) override { return Status(); }
  void after(const Event&) override {}
  std::chrono::nanoseconds delay(const Event&) override { return std::chrono::milliseconds(50); }
};

TEST(StoreSlowDisk, HoldsUpNothingThatDoesNotNeedIt) {
  StoreFixture fixture(8 * mebibyte, 4096);
  SlowDisk disk;
  fixture.loop().reactor().set_tap(&disk);
  InFlight running(fixture.loop().reactor().ready());
  std::vector<std::string> finished;
  const AlignedMemory memory(32 * store_block_size);
  const AlignedMemory zeroes(store_block_size);
  const auto start = [&](Task<Status> task, const std::string& name) {
    running.add();
    run_detached(std::move(task), [&finished, &running, name](Status status) {
      EXPECT_TRUE(status.ok()) << status.message();
      finished.push_back(name);
      running.remove();
    });
  };
  for (size_t i = 0; i < 32; ++i) {
    const Bytes bytes = pattern(static_cast<uint32_t>(i + 1), store_block_size);
    const std::span<std::byte> block = memory.span().subspan(i * store_block_size, store_block_size);
    std::copy(bytes.begin(), bytes.end(), block.begin());
    start(fixture.store().write(i * store_block_size, block, Durability::buffered), "write");
  }
  start(fixture.store().read(4 * mebibyte, zeroes.span()), "read of a hole");
  const auto began = std::chrono::steady_clock::now();
  fixture.loop().wait(running.wait_idle());
  // All at once: the slowest of them, not the sum.
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  ASSERT_FALSE(finished.empty());
  EXPECT_EQ(finished.front(), "read of a hole");
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  ASSERT_TRUE(succeeded(fixture.flush()));
  fixture.loop().reactor().set_tap(nullptr);
  for (uint32_t i = 0; i < 32; ++i)
    EXPECT_EQ(fixture.read(i * store_block_size, store_block_size), pattern(i + 1, store_block_size));
}

// ---- No descriptors -------------------------------------------------------------------------------------------------

/// While it lives, this process can open nothing.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = ::dup(STDOUT_FILENO);
    ::close(lowest_free);
    const rlimit none{static_cast<rlim_t>(lowest_free), before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(StoreWithoutDescriptors, GoesOnWithWhatItHasAndRefusesTheRest) {
  StoreFixture fixture(mebibyte, 4096);
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  {
    const NoDescriptors none;
    EXPECT_EQ(code_of(fixture.snapshot(new_id())), "EMFILE");
    EXPECT_EQ(code_of(fixture.remove(id)), "EMFILE");
    EXPECT_EQ(code_of(fixture.revert(id)), "EMFILE");
    EXPECT_TRUE(succeeded(fixture.write(4096, pattern(2, 4096), Durability::durable)));
    EXPECT_TRUE(succeeded(fixture.trim(8192, 4096)));
    EXPECT_TRUE(succeeded(fixture.flush()));
    EXPECT_EQ(fixture.read(4096, 4096), pattern(2, 4096));
    const Result<store::OpenedReplica> opened = store::open_replica(fixture.path(), {.boot_id = fixture.boot_});
    EXPECT_EQ(code_of(opened), "EMFILE");
  }
  EXPECT_EQ(fixture.store().failure(), "");
  EXPECT_EQ(fixture.snapshots(), std::vector<std::string>{id});
  EXPECT_TRUE(succeeded(fixture.snapshot(new_id())));
  EXPECT_TRUE(succeeded(fixture.revert(id)));
  EXPECT_EQ(fixture.read(0, 65536), pattern(1, 65536));
}

// ---- No memory ------------------------------------------------------------------------------------------------------

TEST(StoreWithoutMemory, RefusesWhatNeedsSomeAndHarmsNothing) {
  StoreFixture fixture(mebibyte, 512);
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  const AlignedMemory memory(65536);
  const Bytes bytes = pattern(2, 65536);
  std::copy(bytes.begin(), bytes.end(), memory.span().begin());
  {
    const NoAlignedMemory none;
    const auto write = [&](uint64_t offset, size_t length) {
      return fixture.wait(fixture.store().write(offset, memory.span().first(length), Durability::buffered)).error();
    };
    EXPECT_EQ(write(131072 + 512, 512), ENOMEM);  // a part of a block: it is made whole in memory
    EXPECT_EQ(write(4096, 8192), 0);
    EXPECT_EQ(fixture.flush().error(), 0);
    EXPECT_EQ(fixture.wait(fixture.store().read(0, memory.span())).error(), 0);
  }
  EXPECT_EQ(fixture.read(131072, 4096), zeros(4096));
  Bytes expected = pattern(1, 65536);
  std::copy(bytes.begin(), bytes.begin() + 8192, expected.begin() + 4096);
  EXPECT_EQ(fixture.read(0, 65536), expected);
}

TEST(StoreWithoutMemory, AMergeStopsAndGoesOnWhenTheVolumeIsOpenedAgain) {
  StoreFixture fixture(mebibyte, 4096);
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 65536))));
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  {
    const NoAlignedMemory none;
    ASSERT_TRUE(succeeded(fixture.remove(id)));
    fixture.settle();
  }
  EXPECT_EQ(fixture.store().failure(), "");
  EXPECT_EQ(fixture.read(0, 65536), pattern(1, 65536));
  fixture.close();
  fixture.open();
  fixture.settle();
  EXPECT_EQ(fixture.store().metadata().layers.size(), 1U);
  EXPECT_EQ(fixture.read(0, 65536), pattern(1, 65536));
}

}  // namespace
}  // namespace cairn::test
