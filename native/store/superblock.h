#pragma once

#include <string>

#include "base/status.h"
#include "store/format.h"

namespace cairn::store {

struct FoundSuperblock {
  Superblock superblock;
  bool copy_damaged = false;  // one of the two: the next two writes mend it
};
/// Reads both copies and takes the newer valid one. REPLICA_CORRUPT when neither is valid.
Result<FoundSuperblock> read_superblock(int fd, const std::string& path);

/// Raises the generation, and writes the copy that does not hold the present one; durable when it returns.
Result<Unit> write_superblock(int fd, const std::string& path, Superblock& superblock);

}  // namespace cairn::store
