// The devices that stand beside the store: checked, in memory, failing on demand.
#include <gtest/gtest.h>

#include <algorithm>

#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "test/native/support/on_reactor.h"

namespace cairn::test {
namespace {

constexpr uint64_t size = 64 * kibibyte;

std::vector<std::byte> bytes(size_t length, int value) { return std::vector<std::byte>(length, std::byte(value)); }

class DevicesTest : public testing::Test {
 protected:
  int write(BlockDevice& device, uint64_t offset, size_t length, int value = 1) {
    const auto data = bytes(length, value);
    return on_.wait(device.write(offset, data, Durability::buffered)).error();
  }
  int read(BlockDevice& device, uint64_t offset, size_t length) {
    std::vector<std::byte> into(length);
    return on_.wait(device.read(offset, into)).error();
  }
  int trim(BlockDevice& device, uint64_t offset, uint64_t length) {
    return on_.wait(device.trim(offset, length, Durability::durable)).error();
  }
  int zero(BlockDevice& device, uint64_t offset, uint64_t length) {
    return on_.wait(device.write_zeroes(offset, length, ZeroMode::may_unmap, Durability::buffered)).error();
  }
  int status(BlockDevice& device, uint64_t offset, uint64_t length) {
    extents_.clear();
    return on_.wait(device.block_status(offset, length, StatusQuery{}, 8, extents_)).error();
  }
  bool all(size_t offset, size_t length, int value) const {
    return std::ranges::all_of(memory_.content().subspan(offset, length),
                               [&](std::byte b) { return b == std::byte(value); });
  }

  OnReactor on_;
  MemoryDevice memory_{size, 512};
  std::vector<Extent> extents_;
};

// ---- CheckedDevice ----

TEST_F(DevicesTest, CheckedPassesWhatIsWithinTheDevice) {
  CheckedDevice checked(memory_);
  EXPECT_EQ(write(checked, 0, size), 0);
  EXPECT_EQ(read(checked, size - 512, 512), 0);
  EXPECT_EQ(trim(checked, 0, 512), 0);
  EXPECT_EQ(zero(checked, 512, size - 512), 0);
  EXPECT_EQ(status(checked, 0, size), 0);
  EXPECT_EQ(on_.wait(checked.flush()).error(), 0);
}

TEST_F(DevicesTest, CheckedRefusesWhatIsNotAligned) {
  CheckedDevice checked(memory_);
  for (auto [offset, length] : {std::pair{1UL, 512UL}, {511UL, 512UL}, {0UL, 511UL}, {0UL, 513UL}, {0UL, 0UL}}) {
    EXPECT_EQ(read(checked, offset, length), EINVAL);
    EXPECT_EQ(write(checked, offset, length), EINVAL);
    EXPECT_EQ(trim(checked, offset, length), EINVAL);
    EXPECT_EQ(zero(checked, offset, length), EINVAL);
    EXPECT_EQ(status(checked, offset, length), EINVAL);
  }
  EXPECT_TRUE(all(0, size, 0));
}

TEST_F(DevicesTest, CheckedRefusesWhatIsBeyondTheEnd) {
  CheckedDevice checked(memory_);
  for (auto [offset, length] :
       {std::pair{size - 512, 1024UL}, {size, 512UL}, {~uint64_t{511}, 512UL}, {~uint64_t{511}, 1024UL}}) {
    EXPECT_EQ(read(checked, offset, length), EINVAL);
    EXPECT_EQ(write(checked, offset, length), ENOSPC);
    EXPECT_EQ(zero(checked, offset, length), ENOSPC);
    EXPECT_EQ(status(checked, offset, length), EINVAL);
  }
}

TEST_F(DevicesTest, CheckedRefusesToWriteToAReadOnlyDevice) {
  class ReadOnly final : public BlockDevice {
   public:
    explicit ReadOnly(MemoryDevice& below) : below_(below) {}
    Geometry geometry() const override {
      Geometry geometry = below_.geometry();
      geometry.read_only = true;
      return geometry;
    }
    Task<Status> read(uint64_t offset, std::span<std::byte> into) override { return below_.read(offset, into); }
    Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { return reached(); }
    Task<Status> flush() override { co_return Status(); }
    Task<Status> trim(uint64_t, uint64_t, Durability) override { return reached(); }
    Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { return reached(); }
    Task<Status> block_status(uint64_t, uint64_t, StatusQuery, size_t, std::vector<Extent>&) override {
      co_return Status();
    }

   private:
    static Task<Status> reached() {
      ADD_FAILURE() << "a write reached a read-only device";
      co_return Status();
    }
    MemoryDevice& below_;
  };
  ReadOnly read_only(memory_);
  CheckedDevice checked(read_only);
  EXPECT_EQ(write(checked, 0, 512), EPERM);
  EXPECT_EQ(trim(checked, 0, 512), EPERM);
  EXPECT_EQ(zero(checked, 0, 512), EPERM);
  EXPECT_EQ(read(checked, 0, 512), 0);
  EXPECT_EQ(on_.wait(checked.flush()).error(), 0);
}

// ---- MemoryDevice ----

TEST_F(DevicesTest, MemoryTrimsWholeBlocksOf4096) {
  write(memory_, 0, size, 1);
  EXPECT_EQ(trim(memory_, 512, 12288), 0);
  EXPECT_TRUE(all(0, 4096, 1));
  EXPECT_TRUE(all(4096, 8192, 0));
  EXPECT_TRUE(all(12288, size - 12288, 1));
  EXPECT_EQ(trim(memory_, 16384 + 512, 4096), 0);
  EXPECT_TRUE(all(12288, size - 12288, 1));
}

TEST_F(DevicesTest, MemoryZeroesEveryByteOfTheRange) {
  write(memory_, 0, size, 1);
  EXPECT_EQ(zero(memory_, 512, 1024), 0);
  EXPECT_TRUE(all(0, 512, 1));
  EXPECT_TRUE(all(512, 1024, 0));
  EXPECT_TRUE(all(1536, size - 1536, 1));
}

TEST_F(DevicesTest, MemoryIsData) {
  EXPECT_EQ(status(memory_, 512, 4096), 0);
  EXPECT_EQ(extents_, (std::vector<Extent>{{4096, false, false}}));
}

// ---- FaultDevice ----

TEST_F(DevicesTest, AFaultBeforeKeepsAnOperationFromTheDevice) {
  FaultDevice faulty(memory_, [](FaultDevice::Operation, uint64_t, uint64_t) {
    return FaultDevice::Fault{Status::from_errno(EIO), Status()};
  });
  EXPECT_EQ(write(faulty, 0, 512), EIO);
  EXPECT_TRUE(all(0, 512, 0));
  EXPECT_EQ(read(faulty, 0, 512), EIO);
  EXPECT_EQ(trim(faulty, 0, 4096), EIO);
  EXPECT_EQ(zero(faulty, 0, 512), EIO);
  EXPECT_EQ(status(faulty, 0, 512), EIO);
  EXPECT_EQ(on_.wait(faulty.flush()).error(), EIO);
}

TEST_F(DevicesTest, AFaultAfterLetsAnOperationTakeEffect) {
  FaultDevice faulty(memory_, [](FaultDevice::Operation, uint64_t, uint64_t) {
    return FaultDevice::Fault{Status(), Status::from_errno(EIO)};
  });
  EXPECT_EQ(write(faulty, 0, 512), EIO);
  EXPECT_TRUE(all(0, 512, 1));
}

TEST_F(DevicesTest, ARuleSeesWhatIsAsked) {
  using Operation = FaultDevice::Operation;
  std::vector<std::tuple<Operation, uint64_t, uint64_t>> seen;
  FaultDevice faulty(memory_, [&seen](Operation operation, uint64_t offset, uint64_t length) {
    seen.emplace_back(operation, offset, length);
    return FaultDevice::Fault{offset == 1024 ? Status::from_errno(ENOSPC) : Status(), Status()};
  });
  EXPECT_EQ(write(faulty, 512, 512), 0);
  EXPECT_EQ(write(faulty, 1024, 512), ENOSPC);
  EXPECT_EQ(zero(faulty, 0, 4096), 0);
  EXPECT_EQ(seen,
            (decltype(seen){
                {Operation::write, 512, 512}, {Operation::write, 1024, 512}, {Operation::write_zeroes, 0, 4096}}));
}

}  // namespace
}  // namespace cairn::test
