// What a DataPlane keeps of a volume and of an export: its own business, spread over two files.
#pragma once

#include <memory>
#include <string>

#include "addon/data_plane.h"
#include "dmcrypt/encrypted_volume.h"

namespace cairn {

/// The store's side of a change of the volume key.
class StoreSnapshots final : public dmcrypt::SnapshotKeeper {
 public:
  explicit StoreSnapshots(store::LayeredStore& store) : store_(store) {}
  Task<Result<Unit>> take(std::string name) override;
  Task<Result<Unit>> remove(std::string name) override;

 private:
  store::LayeredStore& store_;
};

/// The plaintext of an encrypted volume: what its exports serve when it has been unlocked. Belongs to its reactor.
struct Decrypted {
  Decrypted(std::unique_ptr<dmcrypt::EncryptedVolume> unlocked, qos::Throttle& throttle)
      : volume(std::move(unlocked)),
        throttled(volume->device(), throttle),
        snapshots(volume->snapshots(), throttle),
        checked(throttled) {}

  // Below the throttle: who waits for his limits holds no memory of the cipher's, and is counted whole.
  std::unique_ptr<dmcrypt::EncryptedVolume> volume;
  qos::ThrottledDevice throttled;
  qos::ThrottledSnapshots snapshots;
  CheckedDevice checked;
  dmcrypt::KeyChanger& changer() { return volume->changer(); }
};

/// `store`, `throttled`, `device` and `decrypted` belong to the reactor's thread; the rest to the control thread.
struct DataPlane::Volume {
  std::string name;
  std::string directory;
  Reactor* reactor = nullptr;
  std::unique_ptr<store::LayeredStore> store;
  std::unique_ptr<qos::ThrottledVolume> throttled;
  std::unique_ptr<CheckedDevice> device;
  std::unique_ptr<AsyncMutex> header;  // who works on the LUKS2 header
  std::unique_ptr<StoreSnapshots> keeper;
  std::unique_ptr<Decrypted> decrypted;  // set when the volume is unlocked, until it is closed or reverted
  bool unlocked = false;                 // that it is set
  bool open = false;
  size_t operations = 0;  // under way; the store outlives them
  bool reverting = false;
  Done<Unit> closing;  // set: closes when no operation is under way
};

/// An export or an iSCSI target uses its volume until its removal has completed; another may have taken its name
/// before.
struct DataPlane::Exported {
  enum class Frontend : uint8_t { nbd, iscsi };
  Frontend frontend = Frontend::nbd;
  std::string name;
  std::string volume;  // empty: of another process
};

}  // namespace cairn
