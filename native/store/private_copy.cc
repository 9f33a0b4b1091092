#include "store/private_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "store/replica_files.h"

namespace cairn::store {
namespace {

/// Copied at once.
constexpr uint64_t piece_max = 8 * mebibyte;

uint64_t allocated(const struct stat& status) { return static_cast<uint64_t>(status.st_blocks) * 512; }

}  // namespace

std::vector<std::string> PrivateCopy::paths_of(const std::string& directory, uint32_t layer) {
  std::vector<std::string> paths;
  for (const char* suffix : layer_file_suffixes) paths.push_back(path_of(layer_path(directory, layer, suffix)));
  return paths;
}

Result<Unit> PrivateCopy::begin(const std::string& path) {
  path_ = path;
  private_path_ = path_of(path);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return discard();
    return system_error("stat", path, errno);
  }
  if (status.st_nlink < 2) return discard();
  const uint64_t needed = allocated(status);
  size_ = static_cast<uint64_t>(status.st_size);
  Result<UniqueFd> copy = open_file(private_path_, O_RDWR | O_CREAT);
  if (!copy.ok()) return copy.error();
  copy_ = std::move(copy.value());
  Result<UniqueFd> source = open_file(path, O_RDONLY);
  if (!source.ok()) return source.error();
  source_ = std::move(source.value());
  // A file system that can share blocks between files has the copy at once.
  if (::ioctl(copy_.get(), FICLONE, source_.get()) == 0) {
    position_ = size_;
    return Unit{};
  }
  if (::fstat(copy_.get(), &status) != 0) return system_error("stat", private_path_, errno);
  Result<Unit> room = check_room(needed - std::min(needed, allocated(status)));
  if (!room.ok()) return room;
  const auto there = std::min(static_cast<uint64_t>(status.st_size), size_);
  position_ = there == 0 ? 0 : (there - 1) / chunk * chunk;
  if (::ftruncate(copy_.get(), static_cast<off_t>(position_)) != 0) return system_error("size", private_path_, errno);
  return Unit{};
}

/// A copy that would fill the disk is not begun: others live on it.
Result<Unit> PrivateCopy::check_room(uint64_t needed) const {
  struct statvfs status {};
  if (::fstatvfs(copy_.get(), &status) != 0) return system_error("examine the file system of", private_path_, errno);
  const uint64_t free = uint64_t{status.f_bavail} * status.f_frsize;
  if (free >= needed) return Unit{};
  return Error{"ENOSPC", "a copy of " + path_ + " takes " + std::to_string(needed) + " bytes more, and " +
                             std::to_string(free) +
                             " are free: free space in its pool; it is looked for again every minute"};
}

Result<Unit> PrivateCopy::step() {
  if (position_ >= size_) return finish();
  const off_t data = ::lseek(source_.get(), static_cast<off_t>(position_), SEEK_DATA);
  if (data < 0 && errno != ENXIO) return system_error("seek in", path_, errno);
  const uint64_t next = data < 0 ? size_ : static_cast<uint64_t>(data);
  if (next > position_) return extend(next);
  const off_t hole = ::lseek(source_.get(), data, SEEK_HOLE);
  if (hole < 0) return system_error("seek in", path_, errno);
  const uint64_t chunk_end = (position_ / chunk + 1) * chunk;
  const uint64_t end = std::min({static_cast<uint64_t>(hole), position_ + piece_max, chunk_end, size_});
  Result<Unit> done = copy_data(end - position_);
  if (done.ok() && position_ == chunk_end) done = sync_file(copy_.get(), private_path_);
  return done;
}

/// Over a hole. What is before is synced first if that begins another chunk.
Result<Unit> PrivateCopy::extend(uint64_t to) {
  if (to / chunk != position_ / chunk) {
    Result<Unit> synced = sync_file(copy_.get(), private_path_);
    if (!synced.ok()) return synced;
  }
  if (::ftruncate(copy_.get(), static_cast<off_t>(to)) != 0) return system_error("size", private_path_, errno);
  position_ = to;
  return Unit{};
}

Result<Unit> PrivateCopy::copy_data(uint64_t length) {
  while (length > 0) {
    auto from = static_cast<off_t>(position_);
    auto to = static_cast<off_t>(position_);
    const ssize_t copied = ::copy_file_range(source_.get(), &from, copy_.get(), &to, length, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;
    position_ += static_cast<uint64_t>(copied);
    length -= static_cast<uint64_t>(copied);
  }
  if (length == 0) return Unit{};
  // Not every file system copies in the kernel.
  std::vector<std::byte> memory(length);
  Result<Unit> done = read_all(source_.get(), path_, memory, position_);
  if (done.ok()) done = write_all(copy_.get(), private_path_, memory, position_);
  if (done.ok()) position_ += length;
  return done;
}

Result<Unit> PrivateCopy::finish() {
  Result<Unit> synced = sync_file(copy_.get(), private_path_);
  if (!synced.ok()) return synced;
  // Copied once; the page cache is for what is read again.
  (void)::posix_fadvise(copy_.get(), 0, 0, POSIX_FADV_DONTNEED);
  (void)::posix_fadvise(source_.get(), 0, 0, POSIX_FADV_DONTNEED);
  whole_ = true;
  return Unit{};
}

Result<Unit> PrivateCopy::discard() const { return remove_file(private_path_); }

Result<Unit> PrivateCopy::publish() const {
  if (::rename(private_path_.c_str(), path_.c_str()) != 0) return system_error("replace", path_, errno);
  return Unit{};
}

}  // namespace cairn::store
