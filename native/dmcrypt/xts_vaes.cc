// Thirty-two blocks at a time, four in a register: eight registers keep the AES units busy, and their tweaks come from
// one another by shifts alone.
#include "dmcrypt/xts_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own headers: bug 105593
#endif

#define CAIRN_VAES __attribute__((target("aes,vaes,vpclmulqdq,avx512f,avx512vl,avx512bw")))
#define CAIRN_VAES_INLINE __attribute__((target("aes,vaes,vpclmulqdq,avx512f,avx512vl,avx512bw"), always_inline)) inline

namespace cairn::dmcrypt {
namespace {

constexpr int rounds = AesSchedule::keys - 1;
constexpr int registers = 8;
constexpr size_t register_size = 64;
constexpr size_t sectors_at_once = 4;  // whose tweaks are encrypted in one register

CAIRN_VAES_INLINE __m512i load(const unsigned char* from) { return _mm512_loadu_si512(from); }
CAIRN_VAES_INLINE void store(unsigned char* to, __m512i value) { _mm512_storeu_si512(to, value); }
CAIRN_VAES_INLINE __m512i round_key(const unsigned char* key) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(key)));
}

template <bool encrypts, int count>
CAIRN_VAES_INLINE void cipher(const unsigned char (*keys)[16], __m512i* blocks) {
  const __m512i first = round_key(keys[0]);
  for (int i = 0; i < count; ++i) blocks[i] = _mm512_xor_si512(blocks[i], first);
  for (int r = 1; r < rounds; ++r) {
    const __m512i key = round_key(keys[r]);
    for (int i = 0; i < count; ++i)
      blocks[i] = encrypts ? _mm512_aesenc_epi128(blocks[i], key) : _mm512_aesdec_epi128(blocks[i], key);
  }
  const __m512i last = round_key(keys[rounds]);
  for (int i = 0; i < count; ++i)
    blocks[i] = encrypts ? _mm512_aesenclast_epi128(blocks[i], last) : _mm512_aesdeclast_epi128(blocks[i], last);
}

/// x^128 = x^7 + x^2 + x + 1 in GF(2^128), in the low half of each lane.
CAIRN_VAES_INLINE __m512i reduction() { return _mm512_set_epi64(0, 0x87, 0, 0x87, 0, 0x87, 0, 0x87); }

/// Lane i times x^(first + i), for first + i below 64.
CAIRN_VAES_INLINE __m512i times_powers(__m512i tweak, int first) {
  const __m512i left = _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0));
  const __m512i carried = _mm512_srlv_epi64(tweak, _mm512_sub_epi64(_mm512_set1_epi64(64), left));
  const __m512i shifted = _mm512_xor_si512(_mm512_sllv_epi64(tweak, left), _mm512_bslli_epi128(carried, 8));
  return _mm512_xor_si512(shifted, _mm512_clmulepi64_epi128(carried, reduction(), 0x01));
}

/// Each lane times x^16: on to the next sixteen blocks.
CAIRN_VAES_INLINE __m512i times_x16(__m512i tweak) {
  const __m512i carried = _mm512_bsrli_epi128(tweak, 14);
  return _mm512_xor_si512(_mm512_bslli_epi128(tweak, 2), _mm512_clmulepi64_epi128(carried, reduction(), 0x00));
}

template <bool encrypts>
CAIRN_VAES_INLINE void run_sector(const unsigned char (*keys)[16], __m128i tweak, const unsigned char* from,
                                  unsigned char* to, uint32_t size) {
  const __m512i first = _mm512_broadcast_i32x4(tweak);
  __m512i tweaks[registers];
  for (int i = 0; i < registers / 2; ++i) tweaks[i] = times_powers(first, 4 * i);
  for (uint32_t at = 0; at < size; at += registers * register_size) {
    for (int i = registers / 2; i < registers; ++i) tweaks[i] = times_x16(tweaks[i - registers / 2]);
    __m512i blocks[registers];
    for (int i = 0; i < registers; ++i) blocks[i] = _mm512_xor_si512(load(from + at + i * register_size), tweaks[i]);
    cipher<encrypts, registers>(keys, blocks);
    for (int i = 0; i < registers; ++i) store(to + at + i * register_size, _mm512_xor_si512(blocks[i], tweaks[i]));
    for (int i = 0; i < registers / 2; ++i) tweaks[i] = times_x16(tweaks[i + registers / 2]);
  }
}

template <bool encrypts>
CAIRN_VAES_INLINE void run(const AesSchedule& schedule, const unsigned char* from, unsigned char* to,
                           const Sectors& sectors) {
  const auto* keys = encrypts ? schedule.encrypt : schedule.decrypt;
  for (size_t done = 0; done < sectors.count; done += sectors_at_once) {
    const uint64_t number = sectors.tweak + done * sectors.step;
    __m512i numbers = _mm512_set_epi64(
        0, static_cast<long long>(number + 3 * sectors.step), 0, static_cast<long long>(number + 2 * sectors.step), 0,
        static_cast<long long>(number + sectors.step), 0, static_cast<long long>(number));
    cipher<true, 1>(schedule.tweak, &numbers);
    alignas(64) __m128i tweaks[sectors_at_once];
    _mm512_store_si512(tweaks, numbers);
    for (size_t i = 0; i < sectors_at_once && done + i < sectors.count; ++i)
      run_sector<encrypts>(keys, tweaks[i], from + (done + i) * sectors.size, to + (done + i) * sectors.size,
                           sectors.size);
  }
}

}  // namespace

CAIRN_VAES void vaes_encrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to,
                             const Sectors& sectors) {
  run<true>(schedule, from, to, sectors);
}

CAIRN_VAES void vaes_decrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to,
                             const Sectors& sectors) {
  run<false>(schedule, from, to, sectors);
}

}  // namespace cairn::dmcrypt

#endif
