#include "store/superblock.h"

#include <cstddef>
#include <optional>

#include "store/replica_files.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

bool valid(const Superblock& superblock) {
  return superblock.magic == superblock_magic && superblock.checksum == whole_checksum_of(superblock);
}

std::string version(uint16_t major, uint16_t minor) { return std::to_string(major) + "." + std::to_string(minor); }

}  // namespace

Result<FoundSuperblock> read_superblock(int fd, const std::string& path) {
  std::optional<Superblock> newest;
  bool damaged = false;
  for (size_t copy = 0; copy < superblock_copies; ++copy) {
    Superblock superblock;
    if (!read_all(fd, path, bytes_of(superblock), copy * superblock_size).ok() || !valid(superblock)) {
      damaged = true;
      continue;
    }
    if (!newest || superblock.generation > newest->generation) newest = superblock;
  }
  if (!newest)
    return Error{"REPLICA_CORRUPT", path + " is damaged in both copies: restore this replica from a backup or a peer"};
  // Nobody guesses what a newer version meant: an overlay that is not known would be content that is not read.
  const bool newer = newest->version_major != format_major || newest->version_minor > format_minor;
  if (newer)
    return Error{"REPLICA_CORRUPT",
                 path + " has format version " + version(newest->version_major, newest->version_minor) +
                     "; this Cairn reads up to " + version(format_major, format_minor) + ": upgrade it on this node"};
  return FoundSuperblock{*newest, damaged};
}

Result<Unit> write_superblock(int fd, const std::string& path, Superblock& superblock) {
  superblock.magic = superblock_magic;
  superblock.generation += 1;
  superblock.checksum = whole_checksum_of(superblock);
  const uint64_t offset = superblock.generation % superblock_copies * superblock_size;
  Result<Unit> written = write_all(fd, path, bytes_of(superblock), offset);
  return written.ok() ? sync_file(fd, path) : written;
}

}  // namespace cairn::store
