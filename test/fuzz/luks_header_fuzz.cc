// The JSON area of a LUKS2 header as any text, its checksums made to match, or all of the header as any bytes: it is
// refused, or describes a layout that a crypt device can have; and where its keyslots end is found without a fault.
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "block/memory_device.h"
#include "dmcrypt/header_area.h"

namespace {

using namespace cairn;

constexpr size_t header_size = 16 * kibibyte;
constexpr size_t binary_size = 4 * kibibyte;
constexpr uint64_t device_size = 64 * kibibyte;

/// LUKS2 On-Disk Format 1.1, section 2.1.
struct [[gnu::packed]] BinaryHeader {
  char magic[6];
  uint8_t version[2];
  uint8_t size[8];
  uint8_t sequence[8];
  char label[48];
  char checksum_name[32];
  uint8_t salt[64];
  char uuid[40];
  char subsystem[48];
  uint8_t offset[8];
  uint8_t padding[184];
  uint8_t checksum[64];
};
static_assert(sizeof(BinaryHeader) == 512);

void put_big_endian(uint8_t (&into)[8], uint64_t value) {
  for (int i = 7; i >= 0; --i, value >>= 8) into[i] = static_cast<uint8_t>(value);
}

std::vector<std::byte> header_with(std::string_view json, const char* magic, uint64_t at) {
  std::vector<std::byte> area(header_size);
  BinaryHeader header{};
  std::memcpy(header.magic, magic, sizeof header.magic);
  header.version[1] = 2;
  put_big_endian(header.size, header_size);
  put_big_endian(header.sequence, 1);
  put_big_endian(header.offset, at);
  std::memcpy(header.checksum_name, "sha256", 6);
  std::memcpy(header.uuid, "6d1f5a3e-2f52-4a8e-9c8e-0b8f3f0d6a01", 36);
  std::memcpy(area.data(), &header, sizeof header);
  const std::string_view kept = json.substr(0, header_size - binary_size - 1);
  std::ranges::copy(std::as_bytes(std::span(kept)), area.begin() + binary_size);
  unsigned length = 0;
  EVP_Digest(area.data(), area.size(), header.checksum, &length, EVP_sha256(), nullptr);
  std::memcpy(area.data(), &header, sizeof header);
  return area;
}

template <typename T>
T finished(Task<T> task) {
  std::optional<T> value;
  run_detached(std::move(task), [&](T result) { value.emplace(std::move(result)); });
  return std::move(*value);  // a device in memory is done at once
}

void check(const std::vector<std::byte>& beginning) {
  MemoryDevice device(device_size, 512);
  CAIRN_ASSERT(finished(device.write(0, beginning, Durability::buffered)).ok());
  Result<dmcrypt::HeaderFile> file = finished(dmcrypt::read_header_area(device));
  CAIRN_ASSERT(file.ok());
  const Result<dmcrypt::LuksInfo> info = dmcrypt::luks_info(file.value());
  if (!info.ok()) return;
  const uint32_t sector = info.value().layout.sector_size;
  CAIRN_ASSERT(sector >= 512 && sector <= 4096 && (sector & (sector - 1)) == 0);
  (void)finished(dmcrypt::write_header_area(device, file.value())).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), std::min<size_t>(size, 32 * kibibyte));
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text)).first(text.size() / 512 * 512);
  if (!bytes.empty()) check({bytes.begin(), bytes.end()});
  std::vector<std::byte> both = header_with(text, "LUKS\xba\xbe", 0);
  const std::vector<std::byte> second = header_with(text, "SKUL\xba\xbe", header_size);
  both.insert(both.end(), second.begin(), second.end());
  check(both);
  return 0;
}
