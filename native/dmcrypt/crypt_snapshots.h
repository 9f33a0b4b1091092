#pragma once

#include <map>
#include <memory>
#include <string>

#include "block/snapshot_set.h"
#include "dmcrypt/crypt_device.h"

namespace cairn::dmcrypt {

/// Names of snapshots that serve the encryption itself begin so: no client sees them.
inline constexpr char internal_prefix = '.';
inline bool is_internal(const std::string& name) { return name.starts_with(internal_prefix); }

/// The snapshots of an encrypted device, each with the key that its own header has: one of those that are known here.
class CryptSnapshots final : public SnapshotSet {
 public:
  CryptSnapshots(Reactor& reactor, CryptBuffers& buffers, SnapshotSet& below)
      : reactor_(reactor), buffers_(buffers), below_(below) {}

  /// `key_id` as LuksInfo has it.
  void add_key(const std::string& key_id, std::shared_ptr<Crypt> crypt) { keys_[key_id] = std::move(crypt); }
  bool knows(const std::string& key_id) const { return keys_.contains(key_id); }

  std::vector<SnapshotName> snapshots() const override;
  std::vector<SnapshotName> ancestors(const std::string& of) const override;
  Task<Result<std::unique_ptr<BlockDevice>>> open_snapshot(std::string name) override;

 private:
  Task<Result<std::shared_ptr<Crypt>>> key_of(BlockDevice& snapshot) const;

  Reactor& reactor_;
  CryptBuffers& buffers_;
  SnapshotSet& below_;
  std::map<std::string, std::shared_ptr<Crypt>> keys_;
};

}  // namespace cairn::dmcrypt
