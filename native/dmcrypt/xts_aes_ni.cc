// Eight blocks at a time: as many as the pipeline of one AES unit takes in before the first comes out.
#include "dmcrypt/xts_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define CAIRN_AES_NI __attribute__((target("aes,sse4.1")))
#define CAIRN_AES_NI_INLINE __attribute__((target("aes,sse4.1"), always_inline)) inline

namespace cairn::dmcrypt {
namespace {

constexpr int rounds = AesSchedule::keys - 1;
constexpr int blocks_at_once = 8;
constexpr size_t block_size = 16;

CAIRN_AES_NI_INLINE __m128i load(const unsigned char* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
CAIRN_AES_NI_INLINE void store(unsigned char* to, __m128i value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
}

/// Each word becomes the sum of itself and all below it.
CAIRN_AES_NI_INLINE __m128i sum_words(__m128i words) {
  __m128i shifted = _mm_slli_si128(words, 4);
  words = _mm_xor_si128(words, shifted);
  shifted = _mm_slli_si128(shifted, 4);
  words = _mm_xor_si128(words, shifted);
  return _mm_xor_si128(words, _mm_slli_si128(shifted, 4));
}

/// Two more round keys from the last two (FIPS 197, section 5.2).
template <int constant>
CAIRN_AES_NI_INLINE void expand_step(__m128i& even, __m128i& odd) {
  even = _mm_xor_si128(sum_words(even), _mm_shuffle_epi32(_mm_aeskeygenassist_si128(odd, constant), 0xff));
  odd = _mm_xor_si128(sum_words(odd), _mm_shuffle_epi32(_mm_aeskeygenassist_si128(even, 0), 0xaa));
}

CAIRN_AES_NI void expand(const unsigned char* key, unsigned char (*into)[16]) {
  __m128i even = load(key);
  __m128i odd = load(key + 16);
  store(into[0], even);
  store(into[1], odd);
#define CAIRN_STEP(at, constant)    \
  expand_step<constant>(even, odd); \
  store(into[at], even);            \
  store(into[(at) + 1], odd)
  CAIRN_STEP(2, 0x01);
  CAIRN_STEP(4, 0x02);
  CAIRN_STEP(6, 0x04);
  CAIRN_STEP(8, 0x08);
  CAIRN_STEP(10, 0x10);
  CAIRN_STEP(12, 0x20);
#undef CAIRN_STEP
  expand_step<0x40>(even, odd);
  store(into[14], even);
}

template <bool encrypts>
CAIRN_AES_NI_INLINE void round(__m128i* blocks, int count, __m128i key) {
  for (int i = 0; i < count; ++i)
    blocks[i] = encrypts ? _mm_aesenc_si128(blocks[i], key) : _mm_aesdec_si128(blocks[i], key);
}

template <bool encrypts>
CAIRN_AES_NI_INLINE void last_round(__m128i* blocks, int count, __m128i key) {
  for (int i = 0; i < count; ++i)
    blocks[i] = encrypts ? _mm_aesenclast_si128(blocks[i], key) : _mm_aesdeclast_si128(blocks[i], key);
}

template <bool encrypts>
CAIRN_AES_NI_INLINE void cipher(const unsigned char (*keys)[16], __m128i* blocks, int count) {
  for (int i = 0; i < count; ++i) blocks[i] = _mm_xor_si128(blocks[i], load(keys[0]));
  for (int i = 1; i < rounds; ++i) round<encrypts>(blocks, count, load(keys[i]));
  last_round<encrypts>(blocks, count, load(keys[rounds]));
}

/// Times x in GF(2^128), x^128 = x^7 + x^2 + x + 1.
CAIRN_AES_NI_INLINE __m128i times_x(__m128i tweak) {
  const __m128i carries = _mm_srai_epi32(_mm_shuffle_epi32(tweak, 0x13), 31);
  return _mm_xor_si128(_mm_add_epi64(tweak, tweak), _mm_and_si128(carries, _mm_set_epi32(0, 1, 0, 0x87)));
}

template <bool encrypts>
CAIRN_AES_NI_INLINE void run(const AesSchedule& schedule, const unsigned char* from, unsigned char* to,
                             const Sectors& sectors) {
  const auto* keys = encrypts ? schedule.encrypt : schedule.decrypt;
  uint64_t number = sectors.tweak;
  for (size_t sector = 0; sector < sectors.count; ++sector, number += sectors.step) {
    __m128i tweak = _mm_set_epi64x(0, static_cast<long long>(number));
    cipher<true>(schedule.tweak, &tweak, 1);
    for (uint32_t at = 0; at < sectors.size; at += blocks_at_once * block_size) {
      __m128i tweaks[blocks_at_once];
      __m128i blocks[blocks_at_once];
      for (int i = 0; i < blocks_at_once; ++i, tweak = times_x(tweak)) {
        tweaks[i] = tweak;
        blocks[i] = _mm_xor_si128(load(from + i * block_size), tweak);
      }
      cipher<encrypts>(keys, blocks, blocks_at_once);
      for (int i = 0; i < blocks_at_once; ++i) store(to + i * block_size, _mm_xor_si128(blocks[i], tweaks[i]));
      from += blocks_at_once * block_size;
      to += blocks_at_once * block_size;
    }
  }
}

}  // namespace

CAIRN_AES_NI void aes_ni_expand(const unsigned char* key, AesSchedule& schedule) {
  expand(key, schedule.encrypt);
  expand(key + 32, schedule.tweak);
  // The equivalent inverse cipher (FIPS 197, section 5.3.5).
  store(schedule.decrypt[0], load(schedule.encrypt[rounds]));
  for (int i = 1; i < rounds; ++i) store(schedule.decrypt[i], _mm_aesimc_si128(load(schedule.encrypt[rounds - i])));
  store(schedule.decrypt[rounds], load(schedule.encrypt[0]));
}

CAIRN_AES_NI void aes_ni_encrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to,
                                 const Sectors& sectors) {
  run<true>(schedule, from, to, sectors);
}

CAIRN_AES_NI void aes_ni_decrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to,
                                 const Sectors& sectors) {
  run<false>(schedule, from, to, sectors);
}

}  // namespace cairn::dmcrypt

#endif
