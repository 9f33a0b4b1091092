#pragma once

#include <functional>
#include <memory>

#include "dmcrypt/key_changer.h"

namespace cairn::dmcrypt {

/// What was done about a damaged copy of a header.
struct Mending {
  bool done = false;    // it has been restored from the other one
  std::string problem;  // why that could not be; empty when it could, or both were whole
};

/// An encrypted volume that has been unlocked: its plaintext, its snapshots', and what changes its key. Belongs to a
/// reactor.
class EncryptedVolume {
 public:
  struct Below {
    Reactor& reactor;
    BlockingThread& keys;  // derives keys
    CryptBuffers& buffers;
    BlockDevice& store;
    SnapshotSet& snapshots;
    SnapshotKeeper& keeper;
    AsyncMutex& header;  // whoever reads the header to change it holds it
    /// Snapshots may have other volume keys, though the header says nothing of a change.
    bool other_keys = false;
  };

  /// The caller holds `header`. Errors as luks_unlock has them, and what the store says. A change of the volume key
  /// that was cut short goes on; `on_key_changed` when one has ended.
  static Task<Result<std::unique_ptr<EncryptedVolume>>> unlock(Below below, std::shared_ptr<SecureMemory> passphrase,
                                                               std::function<void()> on_key_changed);

  CryptDevice& device() { return device_; }
  CryptSnapshots& snapshots() { return snapshots_; }
  KeyChanger& changer() { return changer_; }
  const Mending& mending() const { return mending_; }

 private:
  EncryptedVolume(const Below& below, std::shared_ptr<Crypt> crypt, std::function<void()> on_key_changed)
      : device_(below.reactor, below.buffers, std::move(crypt), below.store),
        snapshots_(below.reactor, below.buffers, below.snapshots),
        changer_(
            {below.reactor, below.keys, below.store, below.snapshots, below.keeper, below.header, device_, snapshots_},
            std::move(on_key_changed)) {}
  Task<> learn_key(Below below, std::string snapshot, std::shared_ptr<SecureMemory> passphrase);

  CryptDevice device_;
  CryptSnapshots snapshots_;
  KeyChanger changer_;
  Mending mending_;
};

}  // namespace cairn::dmcrypt
