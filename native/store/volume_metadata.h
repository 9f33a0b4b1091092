// volume.json: what a replica is and the tree of its layers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/format.h"

namespace cairn::store {

struct LayerMetadata {
  uint32_t number = 0;             // names its files; never used again
  std::string snapshot_id;         // empty for the head
  std::string snapshot_name;       // what people call it; unique among the snapshots that are not removed
  std::optional<uint32_t> parent;  // none: the base
  bool removed = false;            // deleted, to be merged into its child
  uint64_t created_ms = 0;         // Unix time of the cut
  uint64_t size_bytes = 0;         // the volume's at the cut; 0: as it is now
  bool checksummed = false;        // its .sum file is whole
};

struct VolumeMetadata {
  std::string volume_id;
  std::string replica_id;
  uint64_t size_bytes = 0;
  uint32_t block_size = 0;
  uint32_t head = 0;        // its number
  uint32_t next_layer = 0;  // the number of the next layer made
  /// A former head that lies over the present one until all it has has been moved down (see store_overlay.cc).
  std::optional<uint32_t> overlay;
  bool flattening = false;  // layer files that other replicas have too are to be copied
  std::vector<LayerMetadata> layers;

  uint64_t block_count() const { return (size_bytes + store_block_size - 1) / store_block_size; }
  LayerMetadata* layer(uint32_t number);
  const LayerMetadata* layer(uint32_t number) const;
  const LayerMetadata* snapshot(const std::string& id) const;
  /// One that is not removed.
  const LayerMetadata* snapshot_named(const std::string& name) const;
  /// From the base to the head.
  std::vector<const LayerMetadata*> chain() const;
  /// From the base to this layer.
  std::vector<const LayerMetadata*> chain_of(uint32_t number) const;
  /// What the volume's content is read from: the chain, and the overlay over it.
  std::vector<const LayerMetadata*> open_chain() const;
  std::vector<uint32_t> children(uint32_t number) const;
};

std::string metadata_path(const std::string& directory);
std::string metadata_copy_path(const std::string& directory);

std::string format_metadata(const VolumeMetadata& metadata);
/// REPLICA_CORRUPT, saying what is wrong, for text that is not a consistent description with its checksum.
Result<VolumeMetadata> parse_metadata(const std::string& text, const std::string& path);

Result<VolumeMetadata> read_metadata(const std::string& directory);
/// volume.json, or its copy where that is damaged: the copy is never older.
struct FoundMetadata {
  VolumeMetadata metadata;
  std::string damage;  // of one of the two
  bool agree = true;   // both say the same; else write_metadata() is due
};
Result<FoundMetadata> find_metadata(const std::string& directory);
/// Both files at once, durably; for a replica that is being opened.
Result<Unit> write_metadata(const std::string& directory, const VolumeMetadata& metadata);
/// Step one of replacing it: the new text, durable, as the copy and beside the present one.
Result<Unit> stage_metadata(const std::string& directory, const VolumeMetadata& metadata);
/// Step two: the switch. Atomic at once, durable after sync_directory.
Result<Unit> publish_metadata(const std::string& directory);

}  // namespace cairn::store
