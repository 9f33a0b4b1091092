// What a replica's files hold, byte by byte (docs/formats/replica.md says it in prose). Integers are little-endian.
//
//   superblock           two 4 KiB slots, written in turn
//   volume.json          size, layer tree; replaced atomically
//   layer-<n>.data       sparse; each block at its own offset
//   layer-<n>.map        two bits a block
//   ring                 records of what the maps do not say durably yet
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/limits.h"

namespace cairn::store {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian, and read in place");

using Uuid = std::array<uint8_t, 16>;

/// A file whose major version is newer is refused; a newer minor version may be read and written.
inline constexpr uint16_t format_major = 1;
inline constexpr uint16_t format_minor = 0;

/// What a layer's map says of a block.
enum class BlockState : uint8_t {
  absent = 0,  // look in the parent; zeros if there is none
  data = 1,    // in this layer's data file
  zero = 2,    // reads as zeros, whatever the parent has
};

/// replication.md: compared by term, then sequence.
struct Stamp {
  uint32_t term = 0;
  uint32_t reserved = 0;
  uint64_t sequence = 0;
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

enum class RingRecordKind : uint8_t {
  state = 1,   // the blocks have this state in the layer
  synced = 2,  // the maps hold every record up to `first_block` (a sequence number here) durably
};

/// One slot of the ring; record number n is in slot n % ring_slots.
struct RingRecord {
  uint32_t checksum = 0;  // CRC32C of the bytes behind
  RingRecordKind kind = RingRecordKind::state;
  BlockState state = BlockState::absent;
  uint8_t applied = 1;   // replication: the write itself has been done
  uint8_t uncovers = 0;  // 1: the layer above, an overlay then, gives the blocks up: absent there
  uint64_t session = 0;
  uint64_t sequence = 0;  // from 1, dense within a session
  uint32_t layer = 0;
  uint32_t reserved2 = 0;
  uint64_t first_block = 0;
  uint64_t block_count = 0;
  Stamp stamp;  // replication: of the write
};
static_assert(sizeof(RingRecord) == 64);

inline constexpr uint64_t ring_slots = 65536;
inline constexpr uint64_t ring_bytes = ring_slots * sizeof(RingRecord);
static_assert(ring_bytes == 4 * mebibyte);

}  // namespace cairn::store
