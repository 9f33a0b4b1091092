// How fast AES-256-XTS is, one thread: Cairn's paths, and what else can be linked. All take turns, a few milliseconds
// each, so that what else the machine does meets all of them alike. Prints a JSON array of medians.
//
//   cipher_speed SECONDS     in all
#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "base/aligned_memory.h"
#include "dmcrypt/sector_cipher.h"
#ifdef CAIRN_BENCH_GCRYPT
#include <gcrypt.h>
#endif

namespace {

using cairn::dmcrypt::CipherPath;
using cairn::dmcrypt::SectorCipher;
using cairn::dmcrypt::Sectors;
using Clock = std::chrono::steady_clock;

constexpr size_t key_size = cairn::dmcrypt::volume_key_size;
constexpr std::chrono::milliseconds turn{4};
constexpr uint64_t first_sector = 1000;
constexpr size_t unit = 512;  // that tweaks count in

/// Encrypts or decrypts in place, sectors of `sector` bytes.
using Work = std::function<void(unsigned char* data, size_t length, size_t sector)>;

struct Contestant {
  std::string name;
  Work encrypt;
  Work decrypt;
};

void tweak_of(uint64_t number, unsigned char (&tweak)[16]) {
  std::memset(tweak, 0, sizeof tweak);
  std::memcpy(tweak, &number, sizeof number);  // little-endian, as plain64 has it
}

template <typename One>
void each_sector(unsigned char* data, size_t length, size_t sector, One one) {
  unsigned char tweak[16];
  for (size_t at = 0; at < length; at += sector) {
    tweak_of(first_sector + at / unit, tweak);
    one(data + at, sector, tweak);
  }
}

Contestant ours(CipherPath path, const unsigned char* key) {
  const auto volume_key = std::as_bytes(std::span<const unsigned char, key_size>(key, key_size));
  auto made = SectorCipher::create(volume_key, path);
  if (!made.ok()) std::exit(1);
  std::shared_ptr<SectorCipher> cipher = std::move(made.value());
  const auto sectors = [](size_t length, size_t sector) {
    return Sectors{static_cast<uint32_t>(sector), first_sector, sector / unit, length / sector};
  };
  const auto bytes = [](unsigned char* data) { return reinterpret_cast<std::byte*>(data); };
  return {std::string("cairn ") + cairn::dmcrypt::name_of(path),
          [=](unsigned char* data, size_t length, size_t sector) {
            cipher->encrypt(bytes(data), bytes(data), sectors(length, sector));
          },
          [=](unsigned char* data, size_t length, size_t sector) {
            cipher->decrypt(bytes(data), bytes(data), sectors(length, sector));
          }};
}

/// One context, keyed once; a new tweak for each sector.
Work openssl_work(const unsigned char* key, int encrypts) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_CipherInit_ex(context, EVP_aes_256_xts(), nullptr, key, nullptr, encrypts);
  return [=](unsigned char* data, size_t length, size_t sector) {
    each_sector(data, length, sector, [&](unsigned char* at, size_t size, const unsigned char* tweak) {
      int done = 0;
      EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, tweak, -1);
      EVP_CipherUpdate(context, at, &done, at, static_cast<int>(size));
    });
  };
}

#ifdef CAIRN_BENCH_GCRYPT
Work gcrypt_work(const unsigned char* key, bool encrypts) {
  gcry_check_version(nullptr);
  gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
  gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
  gcry_cipher_hd_t cipher = nullptr;
  gcry_cipher_open(&cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_XTS, 0);
  gcry_cipher_setkey(cipher, key, key_size);
  return [=](unsigned char* data, size_t length, size_t sector) {
    each_sector(data, length, sector, [&](unsigned char* at, size_t size, const unsigned char* tweak) {
      gcry_cipher_setiv(cipher, tweak, 16);
      if (encrypts)
        gcry_cipher_encrypt(cipher, at, size, nullptr, 0);
      else
        gcry_cipher_decrypt(cipher, at, size, nullptr, 0);
    });
  };
}
#endif

std::vector<Contestant> contestants(const unsigned char* key) {
  std::vector<Contestant> all;
  for (const CipherPath path : cairn::dmcrypt::cipher_paths()) all.push_back(ours(path, key));
  all.push_back({"OpenSSL", openssl_work(key, 1), openssl_work(key, 0)});
#ifdef CAIRN_BENCH_GCRYPT
  all.push_back({"libgcrypt", gcrypt_work(key, true), gcrypt_work(key, false)});
#endif
  return all;
}

/// Whoever computes something else is not compared.
void check(const std::vector<Contestant>& all) {
  constexpr size_t length = 8192;
  std::vector<unsigned char> plain(length);
  for (size_t i = 0; i < length; ++i) plain[i] = static_cast<unsigned char>(i * 7 + i / 256);
  for (const size_t sector : {size_t{512}, size_t{4096}}) {
    std::vector<unsigned char> expected = plain;
    all.front().encrypt(expected.data(), length, sector);
    for (const Contestant& each : all) {
      std::vector<unsigned char> data = plain;
      each.encrypt(data.data(), length, sector);
      const bool encrypts = data == expected;
      each.decrypt(data.data(), length, sector);
      if (encrypts && data == plain) continue;
      std::fprintf(stderr, "%s computes something else\n", each.name.c_str());
      std::exit(1);
    }
  }
}

double megabytes_per_second(const Work& work, unsigned char* data, size_t length, size_t sector) {
  size_t bytes = 0;
  const Clock::time_point began = Clock::now();
  do {
    work(data, length, sector);
    bytes += length;
  } while (Clock::now() - began < turn);
  return static_cast<double>(bytes) / 1e6 / std::chrono::duration<double>(Clock::now() - began).count();
}

struct Shape {
  size_t sector;
  size_t buffer;
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 4;
  unsigned char key[key_size];
  for (size_t i = 0; i < key_size; ++i) key[i] = static_cast<unsigned char>(3 * i + 1);
  const std::vector<Contestant> all = contestants(key);
  check(all);
  const std::vector<Shape> shapes{{4096, 4096}, {4096, 65536}, {4096, 1 << 20}, {512, 4096}, {512, 1 << 20}};
  const cairn::AlignedMemory memory(1 << 20);
  auto* data = reinterpret_cast<unsigned char*>(memory.span().data());
  const size_t cells = shapes.size() * all.size() * 2;
  std::vector<std::vector<double>> samples(cells);
  const auto rounds = static_cast<int>(seconds / (std::chrono::duration<double>(turn).count() * cells)) + 3;
  for (int round = 0; round < rounds; ++round) {
    size_t cell = 0;
    for (const Shape& shape : shapes)
      for (const Contestant& each : all)
        for (const Work* work : {&each.encrypt, &each.decrypt})
          samples[cell++].push_back(megabytes_per_second(*work, data, shape.buffer, shape.sector));
  }
  size_t cell = 0;
  std::printf("[");
  for (const Shape& shape : shapes)
    for (const Contestant& each : all)
      for (const char* direction : {"encrypt", "decrypt"}) {
        std::vector<double>& found = samples[cell];
        std::nth_element(found.begin(), found.begin() + static_cast<ptrdiff_t>(found.size() / 2), found.end());
        std::printf("%s\n{\"name\":\"%s\",\"direction\":\"%s\",\"sector\":%zu,\"buffer\":%zu,\"mbps\":%.1f}",
                    cell == 0 ? "" : ",", each.name.c_str(), direction, shape.sector, shape.buffer,
                    found[found.size() / 2]);
        ++cell;
      }
  std::printf("\n]\n");
}
