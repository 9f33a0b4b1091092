// The crypt device over memory: beside a model, and what lies below against OpenSSL.
#include "dmcrypt/crypt_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "test/native/support/on_reactor.h"
#include "test/native/support/scale.h"

namespace cairn::dmcrypt {
namespace {

constexpr uint64_t data_offset = 64 * kibibyte;
constexpr uint64_t size = 4 * mebibyte;

std::array<std::byte, volume_key_size> test_key() {
  std::array<std::byte, volume_key_size> key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(3 * i + 1);
  return key;
}

std::shared_ptr<Crypt> make_crypt(const CryptLayout& layout, CipherPath path) {
  Result<std::unique_ptr<SectorCipher>> cipher = SectorCipher::create(test_key(), path);
  EXPECT_TRUE(cipher.ok());
  auto crypt = std::make_shared<Crypt>();
  crypt->layout = layout;
  crypt->cipher = std::move(cipher.value());
  return crypt;
}

class CryptDeviceTest : public testing::TestWithParam<uint32_t> {
 protected:
  CryptLayout layout() const { return {.data_offset = data_offset, .sector_size = GetParam()}; }

  test::OnReactor on_{16 * mebibyte};
  CryptBuffers buffers_{on_.reactor()};
  MemoryDevice memory_{data_offset + size, 512};
};

TEST_P(CryptDeviceTest, DoesWhatAModelDoes) {
  CryptDevice crypt(on_.reactor(), buffers_, make_crypt(layout(), tested_cipher_path().value()), memory_);
  CheckedDevice device(crypt);
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  std::vector<std::byte> model(size);
  ASSERT_EQ(on_.wait(device.write(0, model, Durability::buffered)).error(), 0);
  const uint64_t unit = GetParam();
  for (uint64_t i = 0; i < test::scale("CAIRN_MODEL_OPERATIONS", 2000); ++i) {
    const uint64_t length = unit * (1 + random() % (random() % 16 == 0 ? 2 * mebibyte / unit : 16));
    const uint64_t offset = random() % ((size - length) / unit + 1) * unit;
    if (random() % 3 == 0) {
      std::vector<std::byte> read(length);
      ASSERT_EQ(on_.wait(device.read(offset, read)).error(), 0);
      ASSERT_TRUE(std::equal(read.begin(), read.end(), model.begin() + static_cast<ptrdiff_t>(offset)))
          << "operation " << i << ", " << length << " bytes at " << offset;
    } else if (random() % 4 == 0) {
      ASSERT_EQ(on_.wait(device.write_zeroes(offset, length, ZeroMode::may_unmap, Durability::durable)).error(), 0);
      std::fill_n(model.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
    } else {
      std::vector<std::byte> written(length, static_cast<std::byte>(random()));
      written[random() % length] = static_cast<std::byte>(random());
      ASSERT_EQ(on_.wait(device.write(offset, written, Durability::buffered)).error(), 0);
      std::copy(written.begin(), written.end(), model.begin() + static_cast<ptrdiff_t>(offset));
    }
  }
}

/// dm-crypt numbers sectors by 512 bytes, whatever their size, unless it is told otherwise.
TEST_P(CryptDeviceTest, LeavesTheCiphertextThatOpenSslMakes) {
  for (const bool large : {false, true}) {
    CryptLayout numbered = layout();
    numbered.iv_large_sectors = large;
    numbered.iv_offset = 11;
    CryptDevice device(on_.reactor(), buffers_, make_crypt(numbered, tested_cipher_path().value()), memory_);
    const uint64_t unit = GetParam();
    const uint64_t offset = 8 * unit;
    std::vector<std::byte> plain(3 * unit, std::byte{0x5a});
    ASSERT_EQ(on_.wait(device.write(offset, plain, Durability::buffered)).error(), 0);
    const std::shared_ptr<Crypt> reference = make_crypt(numbered, CipherPath::openssl);
    std::vector<std::byte> expected(plain.size());
    const uint64_t counted = large ? unit : 512;
    reference->cipher->encrypt(plain.data(), expected.data(),
                               {GetParam(), offset / counted + 11, unit / counted, plain.size() / unit});
    const std::span<const std::byte> below = memory_.content().subspan(data_offset + offset, plain.size());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), below.begin())) << "large " << large;
  }
}

TEST_P(CryptDeviceTest, TouchesNothingBeforeItsData) {
  CryptDevice device(on_.reactor(), buffers_, make_crypt(layout(), CipherPath::openssl), memory_);
  const std::vector<std::byte> plain(GetParam(), std::byte{1});
  ASSERT_EQ(on_.wait(device.write(0, plain, Durability::durable)).error(), 0);
  EXPECT_TRUE(std::ranges::all_of(memory_.content().first(data_offset), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_FALSE(std::ranges::equal(memory_.content().subspan(data_offset, plain.size()), plain));
}

TEST_P(CryptDeviceTest, SaysWhatItCan) {
  CryptLayout some = layout();
  const Geometry all = CryptDevice(on_.reactor(), buffers_, make_crypt(some, CipherPath::openssl), memory_).geometry();
  EXPECT_EQ(all.size, size);
  EXPECT_EQ(all.logical_block_size, std::max(512U, GetParam()));
  EXPECT_TRUE(all.can_trim);
  EXPECT_FALSE(all.fast_zeroes || all.fast_unmap) << "zeros are written as ciphertext";
  some.length = mebibyte;
  some.allow_discards = false;
  const Geometry less = CryptDevice(on_.reactor(), buffers_, make_crypt(some, CipherPath::openssl), memory_).geometry();
  EXPECT_EQ(less.size, mebibyte);
  EXPECT_FALSE(less.can_trim);
}

TEST_P(CryptDeviceTest, TrimsOnlyIfAllowed) {
  CryptLayout closed = layout();
  closed.allow_discards = false;
  CryptDevice device(on_.reactor(), buffers_, make_crypt(closed, CipherPath::openssl), memory_);
  EXPECT_EQ(on_.wait(device.trim(0, 4096, Durability::buffered)).error(), EOPNOTSUPP);
  CryptDevice open(on_.reactor(), buffers_, make_crypt(layout(), CipherPath::openssl), memory_);
  const std::vector<std::byte> plain(4096, std::byte{1});
  ASSERT_EQ(on_.wait(open.write(0, plain, Durability::durable)).error(), 0);
  ASSERT_EQ(on_.wait(open.trim(0, 4096, Durability::buffered)).error(), 0);
  EXPECT_TRUE(std::ranges::all_of(memory_.content(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_P(CryptDeviceTest, PassesErrorsOn) {
  FaultDevice faulty(memory_, [](FaultDevice::Operation, uint64_t, uint64_t) {
    return FaultDevice::Fault{Status::from_errno(EIO), Status()};
  });
  CryptDevice device(on_.reactor(), buffers_, make_crypt(layout(), CipherPath::openssl), faulty);
  std::vector<std::byte> bytes(2 * mebibyte);
  EXPECT_EQ(on_.wait(device.read(0, bytes)).error(), EIO);
  EXPECT_EQ(on_.wait(device.write(0, bytes, Durability::buffered)).error(), EIO);
  EXPECT_EQ(on_.wait(device.write_zeroes(0, bytes.size(), ZeroMode::keep_space, Durability::buffered)).error(), EIO);
  EXPECT_EQ(on_.wait(device.flush()).error(), EIO);
}

/// What is a hole below reads as what zeros decrypt to.
TEST_P(CryptDeviceTest, NothingIsSaidToReadAsZeros) {
  class Holes final : public BlockDevice {
   public:
    explicit Holes(MemoryDevice& below) : below_(below) {}
    Geometry geometry() const override { return below_.geometry(); }
    Task<Status> read(uint64_t offset, std::span<std::byte> into) override { return below_.read(offset, into); }
    Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { co_return Status(); }
    Task<Status> flush() override { co_return Status(); }
    Task<Status> trim(uint64_t, uint64_t, Durability) override { co_return Status(); }
    Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { co_return Status(); }
    Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery, size_t,
                              std::vector<Extent>& extents) override {
      EXPECT_EQ(offset, data_offset + 8192);
      extents.push_back({length, true, true});
      co_return Status();
    }

   private:
    MemoryDevice& below_;
  };
  Holes holes(memory_);
  CryptDevice device(on_.reactor(), buffers_, make_crypt(layout(), CipherPath::openssl), holes);
  std::vector<Extent> extents{{512, false, true}};
  ASSERT_EQ(on_.wait(device.block_status(8192, 4096, StatusQuery{}, 8, extents)).error(), 0);
  EXPECT_EQ(extents, (std::vector<Extent>{{512, false, true}, {4096, true, false}})) << "what was there stays";
}

INSTANTIATE_TEST_SUITE_P(SectorSizes, CryptDeviceTest, testing::Values(512U, 4096U));

}  // namespace
}  // namespace cairn::dmcrypt
