#include "store/block_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "store/replica_files.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

constexpr size_t read_batch = 2048;  // sectors: 1 MiB

Error damaged(const std::string& path, uint32_t number) {
  return {"REPLICA_CORRUPT",
          path + " is damaged in sector " + std::to_string(number) + ": restore this replica from a backup or a peer"};
}

Result<MapHeader> read_header(int fd, const std::string& path, uint32_t layer) {
  MapHeader header;
  Result<Unit> read = read_all(fd, path, bytes_of(header), 0);
  if (!read.ok()) return read.error();
  const bool good = header.magic == map_magic && header.checksum == checksum_of(header) &&
                    header.version_major == format_major && header.layer == layer &&
                    header.block_count <= volume_size_max / store_block_size;
  if (!good)
    return Error{"REPLICA_CORRUPT", path + " has a damaged header: restore this replica from a backup or a peer"};
  return header;
}

Result<Unit> check_sectors(const std::string& path, uint32_t first, std::span<const MapSector> sectors) {
  for (size_t i = 0; i < sectors.size(); ++i)
    if (!valid(sectors[i], first + static_cast<uint32_t>(i))) return damaged(path, first + static_cast<uint32_t>(i));
  return Unit{};
}

/// Those of them that are no holes of the file.
Result<std::vector<SectorRange>> ranges_in_use(int fd, const std::string& path, SectorRange among) {
  std::vector<SectorRange> ranges;
  for (uint32_t next = among.first; next < among.end;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(map_sector_offset(next)), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // only holes behind
    if (data < 0) return system_error("seek in", path, errno);
    const uint32_t first = std::max(next, static_cast<uint32_t>(static_cast<uint64_t>(data) / map_sector_size) - 1);
    if (first >= among.end) break;
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return system_error("seek in", path, errno);
    const auto data_end =
        static_cast<uint32_t>((static_cast<uint64_t>(hole) + map_sector_size - 1) / map_sector_size) - 1;
    next = std::min(among.end, std::max(data_end, first + 1));
    ranges.push_back({first, next});
  }
  return ranges;
}

/// Scattered ranges, so that the disk has many of them to read at a time; and nothing of the holes between, which would
/// become pages of zeros.
void bring_in(int fd, const std::vector<SectorRange>& ranges) {
  if (ranges.size() < 2) return;
  (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  for (const SectorRange& range : ranges) {
    const auto from = static_cast<off_t>(map_sector_offset(range.first));
    (void)::posix_fadvise(fd, from, static_cast<off_t>(map_sector_offset(range.end)) - from, POSIX_FADV_WILLNEED);
  }
}

}  // namespace

void set_states(MapSector& sector, uint32_t index, uint32_t count, BlockState state) {
  CAIRN_ASSERT(index + count <= map_sector_blocks);
  const auto bits = static_cast<uint8_t>(state);
  const auto set_one = [&](uint32_t block) {
    uint8_t& byte = sector.states[block / 4];
    const unsigned shift = block % 4 * 2;
    byte = static_cast<uint8_t>((byte & ~(3U << shift)) | static_cast<unsigned>(bits) << shift);
  };
  const uint32_t end = index + count;
  while (index < end && index % 4 != 0) set_one(index++);
  const uint32_t whole = (end - index) / 4;
  std::fill_n(sector.states.begin() + index / 4, whole, static_cast<uint8_t>(bits * 0x55));
  index += whole * 4;
  while (index < end) set_one(index++);
}

void seal(MapSector& sector, uint32_t number) {
  sector.number = number;
  sector.checksum = checksum_of(sector);
}

bool valid(const MapSector& sector, uint32_t number) {
  if (all_zero(sector)) return true;
  if (sector.number != number || sector.checksum != checksum_of(sector)) return false;
  // State 3 does not exist.
  return std::none_of(sector.states.begin(), sector.states.end(),
                      [](uint8_t byte) { return (byte & byte >> 1 & 0x55) != 0; });
}

void for_each_run(const MapSector& sector, uint32_t number, const std::function<void(const StateRun&)>& visit) {
  const uint64_t base = uint64_t{number} * map_sector_blocks;
  uint32_t at = 0;
  while (at < map_sector_blocks) {
    const BlockState state = state_at(sector, at);
    const auto uniform = static_cast<uint8_t>(static_cast<uint8_t>(state) * 0x55);
    const uint64_t whole = uniform * uint64_t{0x0101010101010101};
    uint32_t end = at + 1;
    while (end < map_sector_blocks) {
      if (end % 32 == 0 && end / 4 + sizeof whole <= map_state_bytes &&
          std::memcmp(&sector.states[end / 4], &whole, sizeof whole) == 0)
        end += 32;
      else if (end % 4 == 0 && sector.states[end / 4] == uniform)
        end += 4;
      else if (state_at(sector, end) == state)
        ++end;
      else
        break;
    }
    if (state != BlockState::absent) visit({base + at, end - at, state});
    at = end;
  }
}

Result<Unit> create_map(int fd, const std::string& path, uint32_t layer, uint64_t block_count, const Uuid& volume_id) {
  MapHeader header;
  header.magic = map_magic;
  header.layer = layer;
  header.block_count = block_count;
  header.volume_id = volume_id;
  header.checksum = checksum_of(header);
  const uint64_t size = map_sector_offset(map_sector_count(block_count));
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return system_error("size", path, errno);
  return write_all(fd, path, bytes_of(header), 0);
}

Result<uint64_t> read_map_header(int fd, const std::string& path, uint32_t layer) {
  const Result<MapHeader> header = read_header(fd, path, layer);
  if (!header.ok()) return header.error();
  return header.value().block_count;
}

Result<Unit> grow_map(int fd, const std::string& path, uint32_t layer, uint64_t block_count) {
  Result<MapHeader> header = read_header(fd, path, layer);
  if (!header.ok()) return header.error();
  if (header.value().block_count >= block_count) return Unit{};
  const uint64_t size = map_sector_offset(map_sector_count(block_count));
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return system_error("size", path, errno);
  Result<Unit> done = sync_file(fd, path);
  if (!done.ok()) return done;
  header.value().block_count = block_count;
  header.value().checksum = checksum_of(header.value());
  done = write_all(fd, path, bytes_of(header.value()), 0);
  return done.ok() ? sync_file(fd, path) : done;
}

Result<Unit> read_sectors(int fd, const std::string& path, uint32_t first, std::span<MapSector> into) {
  Result<Unit> read = read_all(fd, path, std::as_writable_bytes(into), map_sector_offset(first));
  return read.ok() ? check_sectors(path, first, into) : read;
}

Result<Unit> for_each_sector(int fd, const std::string& path, SectorRange among,
                             const std::function<void(uint32_t, const MapSector&)>& visit) {
  Result<std::vector<SectorRange>> in_use = ranges_in_use(fd, path, among);
  if (!in_use.ok()) return in_use.error();
  const std::vector<SectorRange>& ranges = in_use.value();
  bring_in(fd, ranges);
  std::vector<MapSector> batch;
  for (SectorRange range : ranges) {
    while (range.first < range.end) {
      batch.resize(std::min<size_t>(read_batch, range.end - range.first));
      Result<Unit> read = read_sectors(fd, path, range.first, batch);
      if (!read.ok()) return read;
      for (const MapSector& sector : batch) {
        if (!all_zero(sector)) visit(range.first, sector);
        ++range.first;
      }
    }
  }
  return Unit{};
}

}  // namespace cairn::store
