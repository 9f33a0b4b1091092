// AES-256-XTS (IEEE Std 1619-2018, clause 5) with the processor's own instructions. Plain pointers and nothing of the
// standard library: a template that these files instantiated would hold instructions that other processors lack, and
// the linker could pick it for everyone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::dmcrypt {

/// Consecutive data units ("sectors"), each with a tweak of its own.
struct Sectors {
  uint32_t size = 0;   // bytes, a multiple of 512
  uint64_t tweak = 0;  // of the first one: plain64, a 64-bit little-endian number and 64 zero bits
  uint64_t step = 1;   // from one tweak to the next
  size_t count = 0;    // how many there are
};

#if defined(__x86_64__)

/// Round keys, for the wide kernel and the narrow one alike.
struct alignas(64) AesSchedule {
  static constexpr int keys = 15;
  unsigned char encrypt[keys][16];
  unsigned char decrypt[keys][16];
  unsigned char tweak[keys][16];
};

/// `key`: 64 bytes, the half for data and the half for tweaks. Needs AES-NI, as the next two.
void aes_ni_expand(const unsigned char* key, AesSchedule& schedule);
/// `from` and `to` may be the same memory, and else do not overlap.
void aes_ni_encrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to, const Sectors& sectors);
void aes_ni_decrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to, const Sectors& sectors);

/// The same four blocks at a time in one register. Needs VAES, VPCLMULQDQ and AVX-512F, VL, BW.
void vaes_encrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to, const Sectors& sectors);
void vaes_decrypt(const AesSchedule& schedule, const unsigned char* from, unsigned char* to, const Sectors& sectors);

#endif

}  // namespace cairn::dmcrypt
