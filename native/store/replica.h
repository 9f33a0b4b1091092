// A replica's files: made, and opened with recovery. Everything here blocks; it runs on threads that may.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "store/read_index.h"
#include "store/region_stamps.h"
#include "store/superblock.h"
#include "store/volume_metadata.h"

namespace cairn::store {

/// qemu's names. Direct I/O; the page cache, durable at FLUSH and FUA; the page cache for reads with every write
/// durable.
enum class CacheMode : uint8_t { none, writeback, writethrough };

struct NewReplica {
  std::string directory;
  std::string volume_id;
  std::string replica_id;
  uint64_t size_bytes = 0;
  uint32_t block_size = 0;
};

/// Frozen layers of another replica in the same file system, for a new one to begin with.
struct LinkedLayers {
  std::string directory;
  std::vector<LayerMetadata> chain;  // base first
  uint32_t next_layer = 0;
};

/// Makes the directory and the files. What an attempt that was cut short left there is replaced; a whole replica is
/// REPLICA_EXISTS.
Result<Unit> create_replica(const NewReplica& replica, const LinkedLayers& linked = {});

struct LayerFiles {
  uint32_t number = 0;
  UniqueFd data;
  UniqueFd map;
  UniqueFd cached;           // of the head under direct I/O: its data through the page cache
  uint64_t block_count = 0;  // fewer than the volume's when it has grown since: the rest is absent
  OpenedStamps stamps;       // of the head only
};

/// What direct I/O on this file needs (statx STATX_DIOALIGN; 4096 where the kernel does not say).
struct DirectAlignment {
  uint32_t memory = 4096;
  uint32_t offset = 4096;

  bool fits(uint64_t at, std::span<const std::byte> bytes) const {
    return at % offset == 0 && bytes.size() % offset == 0 && reinterpret_cast<uintptr_t>(bytes.data()) % memory == 0;
  }
};

struct OpenedReplica {
  std::string directory;
  CacheMode cache_mode = CacheMode::none;
  bool direct = false;  // data files bypass the page cache
  DirectAlignment alignment;
  VolumeMetadata metadata;
  Superblock superblock;
  UniqueFd superblock_file;  // holds the lock
  UniqueFd directory_file;
  UniqueFd ring_file;
  UniqueFd activity_file;
  ActivitySlot activity;
  std::vector<LayerFiles> chain;  // base first; then the head, and the overlay over it if there is one
  std::unique_ptr<ReadIndex> index;
  bool recovered = false;            // the last owner did not close it
  std::vector<std::string> repairs;  // what was damaged, and has been mended from what is redundant
};

struct OpenOptions {
  CacheMode cache_mode = CacheMode::none;
  /// Tests stand for another boot with another id.
  Uuid boot_id{};
  /// How long to wait for an owner that has just died: the kernel keeps the lock until its last I/O is done.
  int lock_wait_ms = 3000;
};

Result<OpenedReplica> open_replica(const std::string& directory, const OpenOptions& options);

// Pieces of it that a running store needs too.

StampsFile stamps_file(const OpenedReplica& replica, uint32_t layer);

Result<LayerFiles> create_layer(const std::string& directory, uint32_t number, const VolumeMetadata& metadata);
/// REPLICA_CORRUPT when it has fewer blocks than `blocks_min`.
Result<LayerFiles> open_layer(const std::string& directory, uint32_t number, uint64_t blocks_min, bool direct);
/// The layer's data through the page cache.
Result<UniqueFd> open_cached(const std::string& directory, uint32_t number);
/// Durably makes room for more blocks in a layer; what it is killed in does no harm. Files that the file system cannot
/// hold are refused as at creation.
Result<Unit> grow_layer(const std::string& directory, uint32_t number, int data, int map, uint64_t block_count);
/// Reads the maps of a chain, or the lists of runs that say the same, base first; the slot of the layer at position i
/// is i + 1.
Result<std::unique_ptr<ReadIndex>> build_index(const std::string& directory, const std::vector<LayerFiles>& chain,
                                               uint64_t block_count);
/// What the files of a layer take on the disk, in bytes; 0 if they are not there.
uint64_t allocated_bytes(const std::string& directory, uint32_t layer);

}  // namespace cairn::store
