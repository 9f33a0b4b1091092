#include "store/region_stamps.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "store/replica_files.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

/// Read and written at a time: 16 KiB of the file.
constexpr uint64_t piece_sectors = 32;
constexpr uint64_t piece_regions = piece_sectors * stamp_sector_regions;
/// An update of more raises all of the table instead: a trim of terabytes is not worth their table.
constexpr uint64_t regions_by_piece_max = 64 * piece_regions;

using Piece = std::array<StampSector, piece_sectors>;

bool valid(const StampSector& sector, uint32_t number) {
  return all_zero(sector) || (sector.number == number && sector.checksum == checksum_of(sector));
}

constexpr uint64_t piece_offset(uint64_t piece) { return (1 + piece * piece_sectors) * sizeof(StampSector); }

/// Applies updates to a piece as it was read. True when it changed; `damaged` counts sectors that had to be emptied.
bool apply(Piece& piece, uint64_t number, std::span<const RegionUpdate> updates, uint32_t& damaged) {
  bool changed = false;
  for (uint32_t i = 0; i < piece_sectors; ++i) {
    if (valid(piece[i], static_cast<uint32_t>(number * piece_sectors + i))) continue;
    piece[i] = {};
    changed = true;
    ++damaged;
  }
  const uint64_t base = number * piece_regions;
  for (const RegionUpdate& update : updates) {
    const uint64_t end = std::min(update.end, base + piece_regions);
    for (uint64_t region = std::max(update.first, base); region < end; ++region) {
      PackedStamp& stamp = piece[(region - base) / stamp_sector_regions].stamps[(region - base) % stamp_sector_regions];
      if (stamp >= update.stamp) continue;
      stamp = update.stamp;
      changed = true;
    }
  }
  if (!changed) return false;
  for (uint32_t i = 0; i < piece_sectors; ++i) {
    if (all_zero(piece[i])) continue;
    piece[i].number = static_cast<uint32_t>(number * piece_sectors + i);
    piece[i].checksum = checksum_of(piece[i]);
  }
  return true;
}

/// What raises the whole table, or 0; such updates are taken out.
PackedStamp take_floor(std::vector<RegionUpdate>& updates) {
  PackedStamp floor = 0;
  std::erase_if(updates, [&](const RegionUpdate& update) {
    if (update.end - update.first <= regions_by_piece_max) return false;
    floor = std::max(floor, update.stamp);
    return true;
  });
  return floor;
}

struct PieceUpdates {
  uint64_t piece;
  size_t first;  // in the sorted updates
  size_t end;
};

/// Sorts the updates by piece; one that spans several comes with each.
std::vector<PieceUpdates> sort_by_piece(std::vector<RegionUpdate>& updates) {
  std::vector<std::pair<uint64_t, RegionUpdate>> placed;
  placed.reserve(updates.size());
  for (const RegionUpdate& update : updates)
    for (uint64_t piece = update.first / piece_regions; piece * piece_regions < update.end; ++piece)
      placed.emplace_back(piece, update);
  std::sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<PieceUpdates> pieces;
  updates.clear();
  for (const auto& [piece, update] : placed) {
    if (pieces.empty() || pieces.back().piece != piece) pieces.push_back({piece, updates.size(), updates.size()});
    updates.push_back(update);
    ++pieces.back().end;
  }
  return pieces;
}

Result<Unit> write_header(int fd, const std::string& path, StampsHeader& header) {
  header.checksum = checksum_of(header);
  return write_all(fd, path, bytes_of(header), 0);
}

bool good(const StampsHeader& header, uint32_t layer) {
  return header.magic == stamps_magic && header.checksum == checksum_of(header) &&
         header.version_major == format_major && header.layer == layer;
}

uint64_t file_bytes(uint64_t blocks) {
  return piece_offset((region_count(blocks) + piece_regions - 1) / piece_regions);
}

Result<Unit> read_piece(int fd, const std::string& path, uint64_t number, Piece& piece) {
  return read_all(fd, path, std::as_writable_bytes(std::span(piece)), piece_offset(number));
}

}  // namespace

RegionUpdate region_update(uint64_t first_block, uint64_t block_count, Stamp stamp) {
  return {first_block / region_blocks, region_count(first_block + block_count), pack(stamp)};
}

Result<Unit> create_stamps(const StampsFile& table, PackedStamp floor) {
  const std::string path = layer_stamps_path(table.directory, table.layer);
  Result<UniqueFd> file = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
  if (!file.ok()) return file.error();
  if (::ftruncate(file.value().get(), static_cast<off_t>(file_bytes(table.blocks))) != 0)
    return system_error("size", path, errno);
  StampsHeader header;
  header.magic = stamps_magic;
  header.layer = table.layer;
  header.floor = floor;
  header.volume_id = table.volume_id;
  Result<Unit> written = write_header(file.value().get(), path, header);
  return written.ok() ? sync_file(file.value().get(), path) : written;
}

Result<OpenedStamps> open_stamps(const StampsFile& table) {
  const std::string path = layer_stamps_path(table.directory, table.layer);
  Result<UniqueFd> file = open_part(path, O_RDWR, sizeof(StampsHeader));
  if (!file.ok()) return file.error();
  OpenedStamps opened{std::move(file.value()), {}};
  Result<Unit> read = read_all(opened.file.get(), path, bytes_of(opened.header), 0);
  if (!read.ok()) return read.error();
  if (!good(opened.header, table.layer)) return Error{"REPLICA_CORRUPT", path + " has a damaged header"};
  // The volume may have grown since.
  struct stat status {};
  if (::fstat(opened.file.get(), &status) != 0) return system_error("stat", path, errno);
  const auto size = static_cast<off_t>(file_bytes(table.blocks));
  if (status.st_size < size && ::ftruncate(opened.file.get(), size) != 0) return system_error("size", path, errno);
  return opened;
}

Result<StampsReport> raise_stamps(const StampsFile& table, std::vector<RegionUpdate> updates, PackedStamp newest) {
  const std::string path = layer_stamps_path(table.directory, table.layer);
  Result<OpenedStamps> opened = open_stamps(table);
  if (!opened.ok() && opened.error().code != "REPLICA_CORRUPT") return opened.error();
  if (!opened.ok()) {
    Result<Unit> made = create_stamps(table, newest);
    if (!made.ok()) return made.error();
    return StampsReport{opened.error().message + ": every region counts as changed"};
  }
  const int fd = opened.value().file.get();
  StampsHeader& header = opened.value().header;
  uint32_t damaged = 0;
  PackedStamp floor = std::max(header.floor, take_floor(updates));
  for (const PieceUpdates& part : sort_by_piece(updates)) {
    Piece piece;
    Result<Unit> done = read_piece(fd, path, part.piece, piece);
    if (done.ok() && apply(piece, part.piece, std::span(updates).subspan(part.first, part.end - part.first), damaged))
      done = write_all(fd, path, std::as_bytes(std::span(piece)), piece_offset(part.piece));
    // The header has its place on a disk that is full.
    if (!done.ok() && done.error().code == "ENOSPC")
      floor = std::max(floor, newest);
    else if (!done.ok())
      return done.error();
  }
  if (damaged > 0) floor = std::max(floor, newest);
  Result<Unit> done = Unit{};
  if (floor != header.floor) {
    header.floor = floor;
    done = write_header(fd, path, header);
  }
  if (done.ok()) done = sync_file(fd, path);
  if (!done.ok()) return done.error();
  if (damaged == 0) return StampsReport{};
  return StampsReport{path + " was damaged in " + std::to_string(damaged) + " sectors: every region counts as changed"};
}

Result<std::vector<PackedStamp>> read_stamps(const StampsFile& table) {
  const std::string path = layer_stamps_path(table.directory, table.layer);
  Result<OpenedStamps> opened = open_stamps(table);
  if (!opened.ok()) return opened.error();
  const uint64_t regions = region_count(table.blocks);
  std::vector<PackedStamp> stamps(regions, opened.value().header.floor);
  for (uint64_t number = 0; number * piece_regions < regions; ++number) {
    Piece piece;
    Result<Unit> read = read_piece(opened.value().file.get(), path, number, piece);
    if (!read.ok()) return read.error();
    for (uint32_t i = 0; i < piece_sectors; ++i) {
      const auto sector = static_cast<uint32_t>(number * piece_sectors + i);
      if (!valid(piece[i], sector))
        return Error{"REPLICA_CORRUPT", path + " is damaged in sector " + std::to_string(sector)};
      for (uint32_t j = 0; j < stamp_sector_regions; ++j) {
        const uint64_t region = uint64_t{sector} * stamp_sector_regions + j;
        if (region < regions) stamps[region] = std::max(stamps[region], piece[i].stamps[j]);
      }
    }
  }
  return stamps;
}

// ---- On the reactor -------------------------------------------------------------------------------------------------

RegionStamps::RegionStamps(Reactor& reactor, File file, const StampsHeader& header)
    : reactor_(reactor), file_(std::move(file)), header_(header) {}

Task<Status> RegionStamps::raise(std::vector<RegionUpdate> updates) {
  if (updates.empty()) co_return Status();
  PackedStamp newest = 0;
  for (const RegionUpdate& update : updates) newest = std::max(newest, update.stamp);
  PackedStamp floor = take_floor(updates);
  const uint32_t damaged_before = damaged_;
  for (const PieceUpdates& part : sort_by_piece(updates)) {
    const Status done = co_await raise_piece(part.piece, std::span(updates).subspan(part.first, part.end - part.first));
    // The header has its place on a disk that is full.
    if (done.error() == ENOSPC)
      floor = newest;
    else if (!done.ok())
      co_return done;
  }
  if (damaged_ > damaged_before) floor = newest;
  if (floor > header_.floor) co_return co_await raise_floor(floor);
  co_return Status();
}

Task<Status> RegionStamps::raise_piece(uint64_t number, std::span<const RegionUpdate> updates) {
  Piece piece{};
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(piece));
  Status status = co_await reactor_.read(file_, memory, piece_offset(number), Purpose::upkeep);
  if (!status.ok() || !apply(piece, number, updates, damaged_)) co_return status;
  dirty_ = true;
  co_return co_await reactor_.write(file_, memory, piece_offset(number), false, Purpose::upkeep);
}

Task<Status> RegionStamps::raise_floor(PackedStamp floor) {
  header_.floor = floor;
  header_.checksum = checksum_of(header_);
  dirty_ = true;
  co_return co_await reactor_.write(file_, std::as_bytes(std::span(&header_, 1)), 0, false, Purpose::upkeep);
}

Task<Status> RegionStamps::sync() {
  if (!std::exchange(dirty_, false)) co_return Status();
  co_return Status::from_result(co_await reactor_.sync_data(file_, Purpose::upkeep));
}

}  // namespace cairn::store
