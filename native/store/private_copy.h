#pragma once

#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace cairn::store {

/// A copy of a file that other replicas have too, made beside it as `<path>.private` and later renamed over it. What
/// an attempt that was cut short had copied durably need not be copied again. All of it blocks.
///
/// How far the copy has come is its size, in whole chunks: one is synced before the next begins. So whoever writes to
/// the file once it is his alone removes what there is of a copy first.
class PrivateCopy {
 public:
  static constexpr uint64_t chunk = 64 * mebibyte;
  static std::string path_of(const std::string& file) { return file + ".private"; }
  /// Of each file that a layer may have.
  static std::vector<std::string> paths_of(const std::string& directory, uint32_t layer);

  /// Succeeds with nothing needed when there is no such file, or nobody else has it. ENOSPC when the copy would fill
  /// the file system.
  Result<Unit> begin(const std::string& path);
  bool needed() const { return source_.valid(); }
  /// Whether all is copied, and durable.
  bool whole() const { return whole_; }
  uint64_t copied() const { return position_; }
  uint64_t size() const { return size_; }
  /// Copies the next piece.
  Result<Unit> step();
  /// Gives back what a copy that is not to be has taken.
  Result<Unit> discard() const;
  /// Takes the file's place. Durable when the directory is synced.
  Result<Unit> publish() const;

 private:
  Result<Unit> check_room(uint64_t needed) const;
  Result<Unit> copy_data(uint64_t length);
  Result<Unit> extend(uint64_t to);
  Result<Unit> finish();

  std::string path_;
  std::string private_path_;
  UniqueFd source_;
  UniqueFd copy_;
  uint64_t size_ = 0;
  uint64_t position_ = 0;
  bool whole_ = false;
};

}  // namespace cairn::store
