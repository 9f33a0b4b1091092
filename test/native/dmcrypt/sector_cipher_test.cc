// AES-XTS by each path against IEEE Std 1619-2018's vectors, and against each other.
#include "dmcrypt/sector_cipher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>

namespace cairn::dmcrypt {
namespace {

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::vector<std::byte> counting(size_t length) {
  std::vector<std::byte> bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

std::vector<std::byte> random_bytes(size_t length, std::mt19937_64& random) {
  std::vector<std::byte> bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::array<std::byte, volume_key_size> key_from(const std::vector<std::byte>& bytes) {
  std::array<std::byte, volume_key_size> key;
  std::memcpy(key.data(), bytes.data(), key.size());
  return key;
}

std::unique_ptr<SectorCipher> cipher_of(VolumeKey key, CipherPath path) {
  Result<std::unique_ptr<SectorCipher>> cipher = SectorCipher::create(key, path);
  EXPECT_TRUE(cipher.ok()) << cipher.error().message;
  return std::move(cipher.value());
}

class SectorCipherTest : public testing::TestWithParam<CipherPath> {
 protected:
  void SetUp() override {
    const std::vector<CipherPath> paths = cipher_paths();
    if (std::find(paths.begin(), paths.end(), GetParam()) == paths.end())
      GTEST_SKIP() << "this processor has no " << name_of(GetParam());
  }
};

/// IEEE Std 1619-2018, annex B, vectors 10 to 14: XTS-AES-256, units of 512 bytes that count up from 0, twice.
struct Vector {
  uint64_t unit;
  const char* begin;  // of the ciphertext
};
constexpr std::array<Vector, 5> vectors{
    {{0xff, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"},
     {0xffff, "77a31251618a15e6b92d1d66dffe7b50b50bad552305ba0217a610688eff7e11"},
     {0xffffff, "e387aaa58ba483afa7e8eb469778317ecf4cf573aa9d4eac23f2cdf914e4e200"},
     {0xffffffff, "bf53d2dade78e822a4d949a9bc6766b01b06a8ef70d26748c6a7fc36d80ae4c5"},
     {0xffffffffff, "64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed23"}}};

TEST_P(SectorCipherTest, ComputesTheStandardsVectors) {
  const auto key =
      key_from(from_hex("2718281828459045235360287471352662497757247093699959574966967627"
                        "3141592653589793238462643383279502884197169399375105820974944592"));
  const std::unique_ptr<SectorCipher> cipher = cipher_of(key, GetParam());
  const std::vector<std::byte> plain = counting(512);
  for (const Vector& vector : vectors) {
    std::vector<std::byte> bytes = plain;
    cipher->encrypt(bytes.data(), bytes.data(), {512, vector.unit, 1, 1});
    const std::vector<std::byte> begin = from_hex(vector.begin);
    EXPECT_TRUE(std::equal(begin.begin(), begin.end(), bytes.begin())) << "data unit " << vector.unit;
    cipher->decrypt(bytes.data(), bytes.data(), {512, vector.unit, 1, 1});
    EXPECT_EQ(bytes, plain);
  }
}

TEST_P(SectorCipherTest, ComputesWhatOpenSslComputes) {
  std::mt19937_64 random(1619);
  for (const uint32_t size : {512U, 1024U, 2048U, 4096U})
    for (const size_t count : {1, 2, 3, 4, 5, 7, 8, 31, 64}) {
      const auto key = key_from(random_bytes(volume_key_size, random));
      const std::unique_ptr<SectorCipher> cipher = cipher_of(key, GetParam());
      const std::unique_ptr<SectorCipher> reference = cipher_of(key, CipherPath::openssl);
      const Sectors sectors{size, random(), random() % 16, count};
      const std::vector<std::byte> plain = random_bytes(size * count, random);
      std::vector<std::byte> one(plain.size());
      std::vector<std::byte> other(plain.size());
      cipher->encrypt(plain.data(), one.data(), sectors);
      reference->encrypt(plain.data(), other.data(), sectors);
      ASSERT_EQ(one, other) << size << " bytes, " << count << " of them";
      cipher->decrypt(one.data(), one.data(), sectors);
      ASSERT_EQ(one, plain) << size << " bytes, " << count << " of them";
    }
}

TEST_P(SectorCipherTest, TakesMemoryThatIsNotAligned) {
  std::mt19937_64 random(7);
  const std::unique_ptr<SectorCipher> cipher = cipher_of(key_from(random_bytes(volume_key_size, random)), GetParam());
  const std::vector<std::byte> plain = random_bytes(4096 + 3, random);
  std::vector<std::byte> one(plain.size());
  std::vector<std::byte> other(plain.size());
  cipher->encrypt(plain.data() + 3, one.data() + 1, {4096, 5, 1, 1});
  cipher->encrypt(plain.data() + 3, other.data(), {4096, 5, 1, 1});
  EXPECT_TRUE(std::equal(other.begin(), other.begin() + 4096, one.begin() + 1));
  EXPECT_EQ(one[0], std::byte{0});
  EXPECT_EQ(one[4097], std::byte{0}) << "wrote behind its end";
}

TEST_P(SectorCipherTest, PassesItsSelfTest) { EXPECT_TRUE(self_test(GetParam()).ok()); }

TEST_P(SectorCipherTest, RefusesAKeyOfTwoHalvesAlike) {
  std::array<std::byte, volume_key_size> key{};
  Result<std::unique_ptr<SectorCipher>> cipher = SectorCipher::create(key, GetParam());
  ASSERT_FALSE(cipher.ok());
  EXPECT_EQ(cipher.error().code, "INVALID_ARGUMENT");
}

INSTANTIATE_TEST_SUITE_P(Paths, SectorCipherTest,
                         testing::Values(CipherPath::openssl, CipherPath::aes_ni, CipherPath::vaes),
                         [](const testing::TestParamInfo<CipherPath>& path) {
                           std::string name = name_of(path.param);
                           std::erase(name, '-');
                           return name;
                         });

TEST(CipherPathTest, TheFastestThatThisProcessorHasIsTaken) {
  const Result<CipherPath> path = tested_cipher_path();
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(path.value(), cipher_paths().front());
}

}  // namespace
}  // namespace cairn::dmcrypt
