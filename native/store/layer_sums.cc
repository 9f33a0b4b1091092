#include "store/layer_sums.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "store/replica_files.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

constexpr uint64_t page_offset(uint64_t number) { return (number + 1) * sizeof(SumPage); }

bool valid(const SumHeader& header, uint32_t layer) {
  return header.magic == sum_magic && header.checksum == checksum_of(header) && header.version_major == format_major &&
         header.layer == layer;
}

/// Zeros where the file ends before.
Result<Unit> read_or_zeros(int fd, const std::string& path, std::span<std::byte> into, uint64_t offset) {
  std::fill(into.begin(), into.end(), std::byte{0});
  while (!into.empty()) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("read", path, errno);
    if (got == 0) break;
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return Unit{};
}

}  // namespace

BlockSum sum_of(std::span<const std::byte> block) {
  const uint32_t sum = crc32c(block.data(), block.size());
  return sum <= sum_zero ? sum + 2 : sum;
}

// ---- The file -------------------------------------------------------------------------------------------------------

Result<SumFile> SumFile::open(const std::string& directory, uint32_t layer, bool make) {
  SumFile sums;
  sums.path_ = layer_path(directory, layer, ".sum");
  Result<UniqueFd> file =
      make ? open_file(sums.path_, O_RDWR | O_CREAT) : open_part(sums.path_, O_RDWR, sizeof(SumHeader));
  if (!file.ok()) return file.error();
  sums.file_ = std::move(file.value());
  SumHeader header;
  Result<Unit> done = read_or_zeros(sums.file_.get(), sums.path_, bytes_of(header), 0);
  if (!done.ok()) return done.error();
  if (valid(header, layer)) return sums;
  if (!make) return Error{"REPLICA_CORRUPT", sums.path_ + " has a damaged header: the layer cannot be verified"};
  if (::ftruncate(sums.file_.get(), 0) != 0) return system_error("empty", sums.path_, errno);
  header = {};
  header.magic = sum_magic;
  header.layer = layer;
  header.checksum = checksum_of(header);
  done = write_all(sums.file_.get(), sums.path_, bytes_of(header), 0);
  if (!done.ok()) return done.error();
  return sums;
}

Result<std::optional<SumPage>> SumFile::read(uint64_t number) const {
  std::optional<SumPage> page(std::in_place);
  Result<Unit> done = read_or_zeros(file_.get(), path_, bytes_of(*page), page_offset(number));
  if (!done.ok()) return done.error();
  const bool good = all_zero(*page) || (page->number == number && page->checksum == checksum_of(*page));
  if (!good) page.reset();
  return page;
}

Result<Unit> SumFile::write(SumPage& page, uint64_t number) const {
  page.number = static_cast<uint32_t>(number);
  page.checksum = checksum_of(page);
  return write_all(file_.get(), path_, bytes_of(page), page_offset(number));
}

Result<Unit> SumFile::sync() const { return sync_file(file_.get(), path_); }

Result<std::optional<std::vector<BlockSum>>> SumFile::sums(uint64_t first, uint64_t count) const {
  std::optional<std::vector<BlockSum>> found(std::in_place);
  for (uint64_t block = first; block < first + count;) {
    const uint64_t number = block / sum_page_blocks;
    const Result<std::optional<SumPage>> page = read(number);
    if (!page.ok()) return page.error();
    if (!page.value()) return std::optional<std::vector<BlockSum>>();
    const uint64_t end = std::min(first + count, (number + 1) * sum_page_blocks);
    for (; block < end; ++block) found->push_back(page.value()->sums[block % sum_page_blocks]);
  }
  return found;
}

Result<Unit> SumFile::replace(uint64_t first, std::span<const BlockSum> sums) const {
  for (uint64_t block = first; block < first + sums.size();) {
    const uint64_t number = block / sum_page_blocks;
    Result<std::optional<SumPage>> page = read(number);
    if (!page.ok()) return page.error();
    if (!page.value())
      return Error{"REPLICA_CORRUPT", path_ + " is damaged in page " + std::to_string(number) +
                                          ": scrub the volume, or restore this replica from a backup or a peer"};
    const uint64_t end = std::min(first + sums.size(), (number + 1) * sum_page_blocks);
    for (; block < end; ++block) page.value()->sums[block % sum_page_blocks] = sums[block - first];
    Result<Unit> written = write(*page.value(), number);
    if (!written.ok()) return written;
  }
  return sync();
}

// ---- The layer ------------------------------------------------------------------------------------------------------

Result<Unit> LayerOnDisk::open(const std::string& directory, uint32_t layer) {
  if (!memory_.valid()) return Error{"ENOMEM", "no memory to read with"};
  data_path_ = layer_data_path(directory, layer);
  map_path_ = layer_map_path(directory, layer);
  Result<UniqueFd> map = open_part(map_path_, O_RDWR, map_sector_size);
  if (!map.ok()) return map.error();
  map_ = std::move(map.value());
  Result<uint64_t> blocks = read_map_header(map_.get(), map_path_, layer);
  if (!blocks.ok()) return blocks.error();
  block_count_ = blocks.value();
  data_ = UniqueFd(::open(data_path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (data_.valid()) return Unit{};
  Result<UniqueFd> data = open_part(data_path_, O_RDONLY, 0);
  if (!data.ok()) return data.error();
  data_ = std::move(data.value());
  return Unit{};
}

Result<Unit> LayerOnDisk::sync() const {
  const Result<Unit> synced = sync_file(data_.get(), data_path_);
  return synced.ok() ? sync_file(map_.get(), map_path_) : synced;
}

uint64_t LayerOnDisk::next_in_use(uint64_t block) const {
  const auto sector = static_cast<uint32_t>(block / map_sector_blocks);
  const off_t data = ::lseek(map_.get(), static_cast<off_t>(map_sector_offset(sector)), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? block_count_ : block;
  const uint64_t found = static_cast<uint64_t>(data) / map_sector_size - 1;
  return found <= sector ? block : std::min(found * map_sector_blocks, block_count_);
}

Result<std::optional<MapSector>> LayerOnDisk::map_sector(uint32_t number) const {
  std::optional<MapSector> sector(std::in_place);
  Result<Unit> done = read_or_zeros(map_.get(), map_path_, bytes_of(*sector), map_sector_offset(number));
  if (!done.ok()) return done.error();
  if (!store::valid(*sector, number)) sector.reset();
  return sector;
}

Result<std::optional<std::vector<BlockState>>> LayerOnDisk::states(uint64_t first, uint64_t count) const {
  std::optional<std::vector<BlockState>> found(std::in_place);
  for (uint64_t block = first; block < first + count;) {
    const auto number = static_cast<uint32_t>(block / map_sector_blocks);
    const Result<std::optional<MapSector>> sector = map_sector(number);
    if (!sector.ok()) return sector.error();
    if (!sector.value()) return std::optional<std::vector<BlockState>>();
    const uint64_t end = std::min(first + count, uint64_t{number + 1} * map_sector_blocks);
    for (; block < end; ++block)
      found->push_back(state_at(*sector.value(), static_cast<uint32_t>(block % map_sector_blocks)));
  }
  return found;
}

std::vector<BlockSum> LayerOnDisk::compute(uint64_t first, std::span<const BlockState> states) {
  std::vector<BlockSum> sums(states.size());
  const size_t piece_max = memory_.span().size() / store_block_size;
  for (size_t at = 0; at < states.size();) {
    if (states[at] != BlockState::data) {
      sums[at] = states[at] == BlockState::zero ? sum_zero : sum_absent;
      ++at;
      continue;
    }
    size_t end = at + 1;
    while (end < states.size() && end - at < piece_max && states[end] == BlockState::data) ++end;
    std::span<std::byte> memory = memory_.span().first((end - at) * store_block_size);
    const bool read = read_all(data_.get(), data_path_, memory, (first + at) * store_block_size).ok();
    for (; at < end; ++at, memory = memory.subspan(store_block_size)) {
      const std::span<std::byte> block = memory.first(store_block_size);
      // One bad block must not make its neighbours unreadable.
      const bool good = read || read_all(data_.get(), data_path_, block, (first + at) * store_block_size).ok();
      sums[at] = good ? sum_of(block) : unreadable;
    }
  }
  return sums;
}

Result<bool> LayerOnDisk::repair_sector(const SumFile& sums, uint32_t number) {
  const uint64_t first = uint64_t{number} * map_sector_blocks;
  const uint64_t count = std::min<uint64_t>(map_sector_blocks, block_count_ - first);
  const Result<std::optional<std::vector<BlockSum>>> expected = sums.sums(first, count);
  if (!expected.ok()) return expected.error();
  if (!expected.value()) return false;
  std::vector<BlockState> states;
  for (const BlockSum sum : *expected.value())
    states.push_back(sum == sum_absent ? BlockState::absent : sum == sum_zero ? BlockState::zero : BlockState::data);
  const std::vector<BlockSum> found = compute(first, states);
  if (!std::equal(found.begin(), found.end(), expected.value()->begin(),
                  [](BlockSum now, BlockSum noted) { return sum_fits(noted, now); }))
    return false;
  MapSector sector;
  for (uint32_t i = 0; i < count; ++i) set_states(sector, i, 1, states[i]);
  seal(sector, number);
  Result<Unit> written = write_all(map_.get(), map_path_, bytes_of(sector), map_sector_offset(number));
  if (written.ok()) written = sync_file(map_.get(), map_path_);
  if (!written.ok()) return written.error();
  return true;
}

// ---- Building and repairing -----------------------------------------------------------------------------------------

Result<Unit> SumBuilder::begin(const std::string& directory, uint32_t layer) {
  Result<Unit> opened = layer_.open(directory, layer);
  // A merge that died with its process may have left data that is in the page cache alone: checksums that outlive it
  // would call what the disk has damaged.
  if (opened.ok()) opened = layer_.sync();
  if (!opened.ok()) return opened;
  Result<SumFile> sums = SumFile::open(directory, layer, true);
  if (!sums.ok()) return sums.error();
  sums_.emplace(std::move(sums.value()));
  return Unit{};
}

Result<Unit> SumBuilder::step() {
  next_page_ = std::max(next_page_, layer_.next_in_use(next_page_ * sum_page_blocks) / sum_page_blocks);
  if (whole()) return Unit{};
  const uint64_t number = next_page_++;
  const uint64_t first = number * sum_page_blocks;
  const uint64_t count = std::min<uint64_t>(sum_page_blocks, layer_.block_count() - first);
  const Result<std::optional<SumPage>> present = sums_->read(number);
  if (!present.ok()) return present.error();
  if (present.value() && !all_zero(*present.value())) return Unit{};
  const Result<std::optional<std::vector<BlockState>>> states = layer_.states(first, count);
  if (!states.ok()) return states.error();
  if (!states.value()) return Error{"REPLICA_CORRUPT", "its map is damaged"};
  const std::vector<BlockSum> computed = layer_.compute(first, *states.value());
  SumPage page;
  for (size_t i = 0; i < computed.size(); ++i) {
    if (computed[i] == LayerOnDisk::unreadable && (*states.value())[i] == BlockState::data)
      return Error{"EIO", "block " + std::to_string(first + i) + " cannot be read"};
    page.sums[i] = computed[i];
  }
  if (all_zero(page)) return Unit{};
  return sums_->write(page, number);
}

Result<Unit> SumBuilder::finish(const std::string& directory) const {
  Result<Unit> synced = sums_->sync();
  return synced.ok() ? sync_directory(directory) : synced;
}

Result<std::vector<std::string>> repair_maps(const std::string& directory, const std::vector<uint32_t>& layers) {
  std::vector<std::string> repaired;
  for (const uint32_t number : layers) {
    LayerOnDisk layer;
    Result<Unit> opened = layer.open(directory, number);
    if (!opened.ok()) return opened.error();
    const Result<SumFile> sums = SumFile::open(directory, number, false);
    if (!sums.ok()) continue;
    const uint64_t count = layer.block_count();
    for (uint64_t block = layer.next_in_use(0); block < count; block = layer.next_in_use(block + map_sector_blocks)) {
      const auto sector = static_cast<uint32_t>(block / map_sector_blocks);
      const Result<std::optional<MapSector>> read = layer.map_sector(sector);
      if (!read.ok()) return read.error();
      if (read.value()) continue;
      const Result<bool> done = layer.repair_sector(sums.value(), sector);
      if (!done.ok()) return done.error();
      if (done.value())
        repaired.push_back(layer_map_path(directory, number) + " was damaged in sector " + std::to_string(sector) +
                           ", made anew from the layer's checksums");
      if (block + map_sector_blocks >= count) break;
    }
  }
  return repaired;
}

}  // namespace cairn::store
