#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/layer_sums.h"

namespace cairn::store {

/// The scrub that runs, or the last one since the volume was opened.
struct ScrubStatus {
  enum class State : uint8_t { never, running, finished, stopped };
  State state = State::never;
  double progress = 0;
  uint64_t blocks_checked = 0;
  uint64_t blocks_damaged = 0;
  uint64_t blocks_unverified = 0;     // data that there is no checksum for (any more)
  uint64_t repaired = 0;              // map sectors
  std::vector<std::string> findings;  // at most findings_max
  static constexpr size_t findings_max = 100;
};

/// Verifies one frozen layer, a piece at a time: its map's sectors, and with checksums each block as the disk returns
/// it. Blocks the thread.
class LayerScrubber {
 public:
  /// `name`: of the layer, in findings.
  Result<Unit> begin(const std::string& directory, uint32_t layer, const std::string& name, bool checksummed);
  bool whole() const { return next_ >= layer_.block_count(); }
  double progress() const { return static_cast<double>(next_) / static_cast<double>(layer_.block_count()); }
  /// The next map sector's blocks that are in use.
  Result<Unit> step(ScrubStatus& status);

 private:
  Result<Unit> verify(uint64_t first, std::span<const BlockState> states, ScrubStatus& status);
  void find(ScrubStatus& status, uint64_t first, uint64_t count, const std::string& what) const;

  LayerOnDisk layer_;
  std::optional<SumFile> sums_;
  std::string name_;
  uint64_t next_ = 0;
};

}  // namespace cairn::store
