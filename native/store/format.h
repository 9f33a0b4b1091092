// What a replica's files hold, byte by byte (docs/formats/replica.md says it in prose). Integers are little-endian.
//
//   superblock           two 4 KiB slots, written in turn
//   volume.json          size, layer tree; replaced atomically, volume.copy.json before it
//   layer-<n>.data       sparse; each block at its own offset
//   layer-<n>.map        two bits a block
//   layer-<n>.stamps     the newest stamp of each 256 KiB region
//   write-ring           a record of each write; counts within one boot
//   activity             the extents that may hold what no sync covers; counts after a power loss
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/limits.h"

namespace cairn::store {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian, and read in place");

using Uuid = std::array<uint8_t, 16>;

/// A file whose major version is newer is refused; a newer minor version may be read and written.
inline constexpr uint16_t format_major = 1;
inline constexpr uint16_t format_minor = 1;

/// What a layer's map says of a block.
enum class BlockState : uint8_t {
  absent = 0,  // look in the parent; zeros if there is none
  data = 1,    // in this layer's data file
  zero = 2,    // reads as zeros, whatever the parent has
};

/// Of a write: compared by term, then sequence. (t, 0) is the base of activation t.
struct Stamp {
  uint32_t term = 0;
  uint32_t reserved = 0;
  uint64_t sequence = 0;

  friend bool operator==(const Stamp&, const Stamp&) = default;
  friend bool operator<(const Stamp& a, const Stamp& b) {
    return a.term != b.term ? a.term < b.term : a.sequence < b.sequence;
  }
};
static_assert(sizeof(Stamp) == 16);

inline constexpr size_t superblock_size = 4096;
inline constexpr size_t superblock_copies = 2;

struct Superblock {
  std::array<char, 8> magic{};
  uint32_t checksum = 0;  // CRC32C of all 4096 bytes with this field zero
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint64_t generation = 0;  // the valid copy with the higher one counts
  Uuid volume_id{};
  Uuid replica_id{};
  Uuid incarnation{};  // new whenever the files are made anew: tells a disk from its rolled-back copy
  uint32_t promised_term = 0;
  uint32_t vouch_term = 0;
  uint8_t vouch_reset = 0;
  uint8_t clean = 0;  // 1: closed properly, the ring holds nothing
  std::array<uint8_t, 6> reserved1{};
  Uuid boot_id{};  // of the machine when it was opened: the ring counts only within the same boot
  Stamp stable;
  uint64_t ring_session = 0;  // records of other sessions are stale
  std::array<uint8_t, 3968> reserved2{};
};
static_assert(sizeof(Superblock) == superblock_size);
static_assert(offsetof(Superblock, generation) == 16 && offsetof(Superblock, promised_term) == 72 &&
              offsetof(Superblock, clean) == 81 && offsetof(Superblock, boot_id) == 88 &&
              offsetof(Superblock, stable) == 104 && offsetof(Superblock, ring_session) == 120);
inline constexpr std::array<char, 8> superblock_magic = {'C', 'A', 'I', 'R', 'N', 'S', 'B', '\0'};

/// The unit in which maps are written: a torn write leaves whole sectors, each valid by itself. All zero: all absent.
inline constexpr size_t map_sector_size = 512;
inline constexpr size_t map_state_bytes = 496;
inline constexpr uint32_t map_sector_blocks = map_state_bytes * 4;

struct MapSector {
  std::array<uint8_t, map_state_bytes> states{};  // block i: bits 2(i%4) of byte i/4
  uint64_t reserved = 0;
  uint32_t number = 0;    // which sector this is: finds misplaced writes
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(MapSector) == map_sector_size);

/// The first sector of a map file; map sector i is at (i + 1) * 512.
struct MapHeader {
  std::array<char, 8> magic{};
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint32_t layer = 0;
  uint64_t block_count = 0;
  Uuid volume_id{};
  std::array<uint8_t, 468> reserved{};
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(MapHeader) == map_sector_size);
inline constexpr std::array<char, 8> map_magic = {'C', 'A', 'I', 'R', 'N', 'M', 'P', '\0'};

inline constexpr uint64_t map_sector_offset(uint32_t sector) { return (uint64_t{sector} + 1) * map_sector_size; }
inline constexpr uint32_t map_sector_count(uint64_t blocks) {
  return static_cast<uint32_t>((blocks + map_sector_blocks - 1) / map_sector_blocks);
}
static_assert(volume_size_max / store_block_size / map_sector_blocks < (uint64_t{1} << 32));

enum class RecordState : uint8_t {
  pending = 0,  // the write may or may not be in the data file
  applied = 1,  // it is
  failed = 2,   // it has ended with an error: as pending
};

/// One slot of the ring; record number n is in slot n % ring_slots_min, or n % ring_slots_max while the ring is grown.
/// It is there before its write begins.
struct RingRecord {
  uint32_t checksum = 0;  // CRC32C of the bytes from `state` on
  RecordState outcome = RecordState::pending;
  std::array<uint8_t, 3> reserved1{};
  BlockState state = BlockState::absent;  // of the blocks, once applied
  uint8_t uncovers = 0;                   // 1: the overlay over this layer gives the blocks up: absent there
  std::array<uint8_t, 2> reserved2{};
  uint32_t layer = 0;
  uint64_t session = 0;
  uint64_t number = 0;  // from 1, dense within a session
  uint64_t first_block = 0;
  uint64_t block_count = 0;
  Stamp stamp;
};
static_assert(sizeof(RingRecord) == 64);
static_assert(offsetof(RingRecord, outcome) == 4 && offsetof(RingRecord, state) == 8 &&
              offsetof(RingRecord, uncovers) == 9 && offsetof(RingRecord, layer) == 12 &&
              offsetof(RingRecord, session) == 16 && offsetof(RingRecord, number) == 24 &&
              offsetof(RingRecord, first_block) == 32 && offsetof(RingRecord, stamp) == 48);
inline constexpr size_t ring_record_checked = 8;  // the checksum covers the bytes from here

inline constexpr uint64_t ring_slots_min = 65536;
inline constexpr uint64_t ring_slots_max = 4 * ring_slots_min;
inline constexpr uint64_t ring_header_bytes = 4096;
inline constexpr uint64_t ring_bytes(uint64_t slots) { return ring_header_bytes + slots * sizeof(RingRecord); }

/// The ring file's first page. All zero: nothing has been written since the file was made.
struct RingHeader {
  std::array<char, 8> magic{};
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint32_t checksum = 0;      // CRC32C of the bytes before `maps_through` with this field zero
  uint64_t session = 0;       // the superblock's, or the ring says nothing
  uint64_t maps_through = 0;  // the maps hold every record up to here
  uint64_t done_through = 0;  // so do the region stamps: the slots are free
};
static_assert(sizeof(RingHeader) == 40);
static_assert(offsetof(RingHeader, checksum) == 12 && offsetof(RingHeader, session) == 16 &&
              offsetof(RingHeader, maps_through) == 24 && offsetof(RingHeader, done_through) == 32);
inline constexpr std::array<char, 8> ring_magic = {'C', 'A', 'I', 'R', 'N', 'R', 'G', '\0'};

// ---- Region stamps --------------------------------------------------------------------------------------------------

inline constexpr uint64_t region_bytes = 256 * kibibyte;
inline constexpr uint64_t region_blocks = region_bytes / store_block_size;

/// A stamp in 8 bytes that compare as stamps do: 24 bits of term over 40 bits of sequence, rounded up to a multiple of
/// 256. Rounding up is safe: a region stamp says "nothing here is newer".
using PackedStamp = uint64_t;
inline constexpr uint32_t packed_sequence_bits = 40;
inline constexpr uint64_t packed_sequence_unit = 256;
inline constexpr uint32_t term_max = (uint32_t{1} << 24) - 1;
inline constexpr PackedStamp pack(Stamp stamp) {
  const uint64_t limit = (uint64_t{1} << packed_sequence_bits) - 1;
  const uint64_t units = (stamp.sequence + packed_sequence_unit - 1) / packed_sequence_unit;
  return uint64_t{stamp.term} << packed_sequence_bits | (units < limit ? units : limit);
}

/// The unit in which stamps are written, as a map sector. All zero: nobody wrote.
inline constexpr uint32_t stamp_sector_regions = 62;
struct StampSector {
  std::array<PackedStamp, stamp_sector_regions> stamps{};
  uint64_t reserved = 0;
  uint32_t number = 0;
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(StampSector) == 512);

/// The first sector of a stamps file; sector i is at (i + 1) * 512.
struct StampsHeader {
  std::array<char, 8> magic{};
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint32_t layer = 0;
  PackedStamp floor = 0;  // no region counts as older: all of them were written, or what the sectors said is lost
  Uuid volume_id{};
  std::array<uint8_t, 468> reserved{};
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(StampsHeader) == 512);
inline constexpr std::array<char, 8> stamps_magic = {'C', 'A', 'I', 'R', 'N', 'S', 'T', '\0'};

// ---- Activity log ---------------------------------------------------------------------------------------------------

inline constexpr size_t activity_slot_size = 4096;
inline constexpr size_t activity_slots = 2;
inline constexpr size_t activity_bitmap_bytes = 4032;
inline constexpr uint32_t activity_extents_max = activity_bitmap_bytes * 8;
inline constexpr uint64_t activity_extent_min = 4 * mebibyte;

/// One of two slots, written in turn; the valid one with the higher generation counts.
struct ActivitySlot {
  std::array<char, 8> magic{};
  uint32_t checksum = 0;  // CRC32C of all 4096 bytes with this field zero
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint64_t generation = 0;
  uint64_t extent_bytes = 0;  // a power of two
  std::array<uint8_t, 32> reserved{};
  std::array<uint8_t, activity_bitmap_bytes> hot{};  // extent i: bit i % 8 of byte i / 8
};
static_assert(sizeof(ActivitySlot) == activity_slot_size);
static_assert(offsetof(ActivitySlot, generation) == 16 && offsetof(ActivitySlot, extent_bytes) == 24 &&
              offsetof(ActivitySlot, hot) == 64);
inline constexpr std::array<char, 8> activity_magic = {'C', 'A', 'I', 'R', 'N', 'A', 'L', '\0'};

/// The smallest extents with which one slot covers the volume.
inline constexpr uint64_t activity_extent_bytes(uint64_t volume_bytes) {
  uint64_t extent = activity_extent_min;
  while (extent * activity_extents_max < volume_bytes) extent *= 2;
  return extent;
}

}  // namespace cairn::store
