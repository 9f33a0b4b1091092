#include "store/layer_scrubber.h"

#include <algorithm>

namespace cairn::store {

Result<Unit> LayerScrubber::begin(const std::string& directory, uint32_t layer, const std::string& name,
                                  bool checksummed) {
  name_ = name;
  Result<Unit> opened = layer_.open(directory, layer);
  if (!opened.ok() || !checksummed) return opened;
  Result<SumFile> sums = SumFile::open(directory, layer, false);
  if (!sums.ok()) return sums.error();
  sums_.emplace(std::move(sums.value()));
  return Unit{};
}

void LayerScrubber::find(ScrubStatus& status, uint64_t first, uint64_t count, const std::string& what) const {
  if (status.findings.size() >= ScrubStatus::findings_max) return;
  status.findings.push_back(name_ + ", bytes " + std::to_string(first * store_block_size) + " to " +
                            std::to_string((first + count) * store_block_size) + ": " + what);
}

Result<Unit> LayerScrubber::step(ScrubStatus& status) {
  next_ = layer_.next_in_use(next_);
  if (whole()) return Unit{};
  const auto number = static_cast<uint32_t>(next_ / map_sector_blocks);
  const uint64_t first = uint64_t{number} * map_sector_blocks;
  const uint64_t count = std::min<uint64_t>(map_sector_blocks, layer_.block_count() - first);
  next_ = first + count;
  Result<std::optional<std::vector<BlockState>>> states = layer_.states(first, count);
  if (!states.ok()) return states.error();
  if (!states.value() && sums_) {
    const Result<bool> repaired = layer_.repair_sector(*sums_, number);
    if (!repaired.ok()) return repaired.error();
    if (repaired.value()) {
      ++status.repaired;
      find(status, first, count, "the block map was damaged, and is made anew from the checksums");
      states = layer_.states(first, count);
      if (!states.ok()) return states.error();
    }
  }
  if (!states.value()) {
    status.blocks_damaged += count;
    find(status, first, count, "the block map is damaged: restore this replica from a backup or a peer");
    return Unit{};
  }
  return verify(first, *states.value(), status);
}

Result<Unit> LayerScrubber::verify(uint64_t first, std::span<const BlockState> states, ScrubStatus& status) {
  const auto data = static_cast<uint64_t>(std::count(states.begin(), states.end(), BlockState::data));
  std::optional<std::vector<BlockSum>> expected;
  if (sums_) {
    Result<std::optional<std::vector<BlockSum>>> read = sums_->sums(first, states.size());
    if (!read.ok()) return read.error();
    expected = std::move(read.value());
    if (!expected) find(status, first, states.size(), "the checksums are damaged: the data cannot be verified");
  }
  if (!expected) {
    status.blocks_unverified += data;
    return Unit{};
  }
  const std::vector<BlockSum> found = layer_.compute(first, states);
  status.blocks_checked += data;
  for (size_t at = 0; at < states.size();) {
    const auto wrong = [&](size_t i) { return states[i] == BlockState::data && !sum_fits((*expected)[i], found[i]); };
    size_t end = at + 1;
    if (wrong(at)) {
      while (end < states.size() && wrong(end)) ++end;
      status.blocks_damaged += end - at;
      find(status, first + at, end - at, "the data does not match its checksum: restore it from a backup or a peer");
    }
    at = end;
  }
  return Unit{};
}

}  // namespace cairn::store
