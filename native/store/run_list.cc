#include "store/run_list.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/limits.h"
#include "store/replica_files.h"
#include "store/run_codec.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

// The body: of each run, in order, two numbers (run_codec.h): absent blocks before it, and twice its length plus one if
// it reads as zeros.

/// Of the map read at once: they describe 32 GiB.
constexpr uint32_t sectors_per_step = 4096;
/// Of some five million runs: no more than an opening may take for a moment.
constexpr size_t body_bytes_max = 16 * mebibyte;

struct RunList {
  RunListHeader header;
  std::vector<std::byte> body;
};

bool fits(const RunListHeader& header, uint32_t layer, uint64_t block_count, uint64_t body_bytes) {
  return header.magic == run_list_magic && header.checksum == checksum_of(header) &&
         header.version_major == format_major && header.layer == layer && header.block_count == block_count &&
         header.body_bytes == body_bytes;
}

std::optional<RunList> load(const std::string& directory, uint32_t layer, uint64_t block_count) {
  const std::string path = run_list_path(directory, layer);
  const Result<UniqueFd> file = open_file(path, O_RDONLY);
  if (!file.ok()) return std::nullopt;
  RunList list;
  struct stat status {};
  if (!read_all(file.value().get(), path, bytes_of(list.header), 0).ok() || ::fstat(file.value().get(), &status) != 0)
    return std::nullopt;
  const uint64_t body_bytes = static_cast<uint64_t>(status.st_size) - sizeof list.header;
  if (!fits(list.header, layer, block_count, body_bytes)) return std::nullopt;
  list.body.resize(body_bytes);
  if (!read_all(file.value().get(), path, list.body, sizeof list.header).ok()) return std::nullopt;
  if (crc32c(list.body.data(), list.body.size()) != list.header.body_checksum) return std::nullopt;
  return list;
}

/// False when they are not runs of this layer, one behind the other.
bool for_each_run_of(const RunList& list, const std::function<void(const StateRun&)>& visit) {
  const uint64_t block_count = list.header.block_count;
  NumberReader reader(list.body);
  uint64_t at = 0;
  for (uint64_t run = 0; run < list.header.run_count; ++run) {
    const std::optional<uint64_t> gap = reader.take();
    const std::optional<uint64_t> length = reader.take();
    if (!gap || !length) return false;
    const uint64_t count = *length / 2;
    if (count == 0 || *gap > block_count - at || count > block_count - at - *gap) return false;
    visit({at + *gap, count, *length % 2 == 1 ? BlockState::zero : BlockState::data});
    at += *gap + count;
  }
  return reader.at_end();
}

/// Under another name first: another replica may have the file that is there, too.
Result<Unit> replace_file(const std::string& path, const RunListHeader& header, std::span<const std::byte> body) {
  const std::string made = path + ".new";
  const Result<UniqueFd> file = open_file(made, O_RDWR | O_CREAT | O_TRUNC);
  if (!file.ok()) return file.error();
  Result<Unit> done = write_all(file.value().get(), made, bytes_of(header), 0);
  if (done.ok()) done = write_all(file.value().get(), made, body, sizeof header);
  if (done.ok()) done = sync_file(file.value().get(), made);
  if (done.ok() && ::rename(made.c_str(), path.c_str()) != 0) done = system_error("rename", made, errno);
  if (!done.ok()) (void)remove_file(made).ok();
  return done;
}

}  // namespace

std::string run_list_path(const std::string& directory, uint32_t layer) {
  return layer_path(directory, layer, ".runs");
}

bool read_run_list(const std::string& directory, uint32_t layer, uint64_t block_count,
                   const std::function<void(const StateRun&)>& visit) {
  const std::optional<RunList> list = load(directory, layer, block_count);
  if (!list || list->header.run_count == run_list_unkept) return false;
  // All of it is looked at before any of it counts.
  return for_each_run_of(*list, [](const StateRun&) {}) && for_each_run_of(*list, visit);
}

Result<Unit> RunListBuilder::begin(const std::string& directory, uint32_t layer) {
  layer_ = layer;
  map_path_ = layer_map_path(directory, layer);
  Result<UniqueFd> map = open_part(map_path_, O_RDONLY, map_sector_size);
  if (!map.ok()) return map.error();
  map_ = std::move(map.value());
  const Result<uint64_t> blocks = read_map_header(map_.get(), map_path_, layer);
  if (!blocks.ok()) return blocks.error();
  block_count_ = blocks.value();
  const std::optional<RunList> present = load(directory, layer, block_count_);
  const bool unkept = present && present->header.run_count == run_list_unkept;
  is_there_ = unkept || (present && for_each_run_of(*present, [](const StateRun&) {}));
  if (is_there_) next_ = map_sector_count(block_count_);
  // What a merge that died with its process left may be in the page cache alone; the list must not know more.
  return is_there_ ? Result<Unit>(Unit{}) : sync_file(map_.get(), map_path_);
}

Result<Unit> RunListBuilder::step() {
  const uint32_t end = std::min(map_sector_count(block_count_), next_ + sectors_per_step);
  const auto add_sector = [&](uint32_t number, const MapSector& sector) {
    ++sectors_in_use_;
    for_each_run(sector, number, [&](const StateRun& run) { add(run); });
  };
  const Result<Unit> read = for_each_sector(map_.get(), map_path_, {next_, end}, add_sector);
  if (!read.ok()) return read;
  next_ = is_kept() ? end : map_sector_count(block_count_);
  return Unit{};
}

bool RunListBuilder::is_kept() const {
  return body_.size() <= std::min<uint64_t>(sectors_in_use_ * map_sector_size, body_bytes_max);
}

/// Runs of the map end with its sectors; here those that go on are one.
void RunListBuilder::add(const StateRun& run) {
  if (run.first == pending_.first + pending_.count && run.state == pending_.state) {
    pending_.count += run.count;
    return;
  }
  put_pending();
  pending_ = run;
}

void RunListBuilder::put_pending() {
  if (pending_.count == 0) return;
  put_number(body_, pending_.first - put_through_);
  put_number(body_, pending_.count * 2 + (pending_.state == BlockState::zero ? 1 : 0));
  put_through_ = pending_.first + pending_.count;
  ++run_count_;
  pending_.count = 0;
}

Result<Unit> RunListBuilder::finish(const std::string& directory) {
  if (is_there_) return Unit{};
  put_pending();
  RunListHeader header;
  header.magic = run_list_magic;
  header.layer = layer_;
  header.block_count = block_count_;
  header.run_count = run_count_;
  if (!is_kept()) {
    header.run_count = run_list_unkept;
    body_.clear();
  }
  header.body_bytes = body_.size();
  header.body_checksum = crc32c(body_.data(), body_.size());
  header.checksum = checksum_of(header);
  const Result<Unit> replaced = replace_file(run_list_path(directory, layer_), header, body_);
  return replaced.ok() ? sync_directory(directory) : replaced;
}

}  // namespace cairn::store
