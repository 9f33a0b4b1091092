#include "store/replica_files.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace cairn::store {

namespace {

Error link_error(const std::string& from, const std::string& to, int error) {
  if (error == EXDEV)
    return {"CLONE_OTHER_FILE_SYSTEM",
            to + " is in another file system than " + from + ": choose a pool on the same one, or copy the volume"};
  if (error == EPERM || error == EOPNOTSUPP)
    return {"CLONE_OTHER_FILE_SYSTEM",
            "the file system of " + to + " has no hard links: choose a pool on one that has, or copy the volume"};
  if (error == EMLINK)
    return {"INVALID_ARGUMENT", from + " has the most links it can have: flatten or delete some of its clones first"};
  return system_error("link", to, error);
}

}  // namespace

std::string layer_path(const std::string& directory, uint32_t layer, const std::string& suffix) {
  return directory + "/layer-" + std::to_string(layer) + suffix;
}

std::string layer_data_path(const std::string& directory, uint32_t layer) {
  return layer_path(directory, layer, ".data");
}

std::string layer_map_path(const std::string& directory, uint32_t layer) {
  return layer_path(directory, layer, ".map");
}

void remove_layer_files(const std::string& directory, uint32_t layer) {
  for (const char* suffix : layer_file_suffixes) (void)remove_file(layer_path(directory, layer, suffix)).ok();
}

bool layer_shared(const std::string& directory, uint32_t layer) {
  for (const char* suffix : layer_file_suffixes) {
    struct stat status {};
    if (::stat(layer_path(directory, layer, suffix).c_str(), &status) == 0 && status.st_nlink > 1) return true;
  }
  return false;
}

Result<Unit> link_layers(const std::string& from, const std::string& to, const std::vector<uint32_t>& layers) {
  for (const uint32_t layer : layers) {
    for (const char* suffix : layer_file_suffixes) {
      const std::string source = layer_path(from, layer, suffix);
      if (::link(source.c_str(), layer_path(to, layer, suffix).c_str()) == 0) continue;
      const bool always_there = suffix == layer_file_suffixes[0] || suffix == layer_file_suffixes[1];
      if (errno == ENOENT && !always_there) continue;
      return link_error(source, to, errno);
    }
  }
  return Unit{};
}

std::string layer_stamps_path(const std::string& directory, uint32_t layer) {
  return layer_path(directory, layer, ".stamps");
}

std::string superblock_path(const std::string& directory) { return directory + "/superblock"; }
std::string ring_path(const std::string& directory) { return directory + "/write-ring"; }
std::string activity_path(const std::string& directory) { return directory + "/activity"; }
std::string reserve_path(const std::string& directory) { return directory + "/reserve"; }

Result<Unit> keep_reserve(const std::string& directory) {
  const std::string path = reserve_path(directory);
  Result<UniqueFd> file = open_file(path, O_RDWR | O_CREAT);
  if (!file.ok()) return file.error();
  const int error = ::posix_fallocate(file.value().get(), 0, static_cast<off_t>(reserve_bytes));
  if (error == 0) return Unit{};
  (void)remove_file(path).ok();
  return system_error("reserve space in", path, error);
}

bool release_reserve(const std::string& directory) { return ::unlink(reserve_path(directory).c_str()) == 0; }

Result<UniqueFd> open_file(const std::string& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd.valid()) return system_error("open", path, errno);
  return fd;
}

Result<UniqueFd> open_part(const std::string& path, int flags, uint64_t size_min) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT)
    return Error{"REPLICA_CORRUPT", path + " is missing: restore this replica from a backup or a peer"};
  if (!fd.valid()) return system_error("open", path, errno);
  Result<Unit> whole = check_size(fd.get(), path, size_min);
  if (!whole.ok()) return whole.error();
  return fd;
}

Result<Unit> check_size(int fd, const std::string& path, uint64_t size_min) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return system_error("stat", path, errno);
  if (static_cast<uint64_t>(status.st_size) < size_min)
    return Error{"REPLICA_CORRUPT", path + " is shorter than it must be: restore this replica from a backup or a peer"};
  return Unit{};
}

Result<UniqueFd> create_file(const std::string& path) { return open_file(path, O_RDWR | O_CREAT | O_EXCL); }

Result<Unit> read_all(int fd, const std::string& path, std::span<std::byte> into, uint64_t offset) {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("read", path, errno);
    if (got == 0) return Error{"REPLICA_CORRUPT", path + " is shorter than it must be"};
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return Unit{};
}

Result<Unit> write_all(int fd, const std::string& path, std::span<const std::byte> from, uint64_t offset) {
  while (!from.empty()) {
    const ssize_t put = ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return system_error("write", path, errno);
    from = from.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return Unit{};
}

Result<Unit> sync_file(int fd, const std::string& path) {
  if (::fdatasync(fd) != 0) return system_error("sync", path, errno);
  return Unit{};
}

Result<Unit> sync_directory(const std::string& path) {
  Result<UniqueFd> directory = open_file(path, O_RDONLY | O_DIRECTORY);
  if (!directory.ok()) return directory.error();
  if (::fsync(directory.value().get()) != 0) return system_error("sync", path, errno);
  return Unit{};
}

Result<std::string> read_text(const std::string& path) {
  Result<UniqueFd> file = open_part(path, O_RDONLY, 0);
  if (!file.ok()) return file.error();
  struct stat status {};
  if (::fstat(file.value().get(), &status) != 0) return system_error("stat", path, errno);
  std::string text(static_cast<size_t>(status.st_size), '\0');
  Result<Unit> read = read_all(file.value().get(), path, std::as_writable_bytes(std::span(text)), 0);
  if (!read.ok()) return read.error();
  return text;
}

Result<Unit> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_error("remove", path, errno);
  return Unit{};
}

}  // namespace cairn::store
