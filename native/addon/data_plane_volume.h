// What a DataPlane keeps of a volume and of an export: its own business, spread over two files.
#pragma once

#include <memory>
#include <string>

#include "addon/data_plane.h"
#include "dmcrypt/crypt_device.h"

namespace cairn {

/// The plaintext of an encrypted volume: what its exports serve when it has been unlocked. Belongs to its reactor.
struct Decrypted {
  Decrypted(Reactor& reactor, dmcrypt::CryptBuffers& buffers, const std::shared_ptr<dmcrypt::Crypt>& crypt,
            store::LayeredStore& store, qos::Throttle& throttle)
      : crypt_device(reactor, buffers, crypt, store),
        crypt_snapshots(reactor, buffers, crypt, store),
        throttled(crypt_device, throttle),
        snapshots(crypt_snapshots, throttle),
        checked(throttled) {}

  // Below the throttle: who waits for his limits holds no memory of the cipher's, and is counted whole.
  dmcrypt::CryptDevice crypt_device;
  dmcrypt::CryptSnapshots crypt_snapshots;
  qos::ThrottledDevice throttled;
  qos::ThrottledSnapshots snapshots;
  CheckedDevice checked;
};

/// `store`, `throttled`, `device` and `decrypted` belong to the reactor's thread; the rest to the control thread.
struct DataPlane::Volume {
  std::string name;
  std::string directory;
  Reactor* reactor = nullptr;
  std::unique_ptr<store::LayeredStore> store;
  std::unique_ptr<qos::ThrottledVolume> throttled;
  std::unique_ptr<CheckedDevice> device;
  std::unique_ptr<Decrypted> decrypted;  // set once, when the volume is unlocked
  bool unlocked = false;                 // that it is set
  bool open = false;
  size_t operations = 0;  // under way; the store outlives them
  bool reverting = false;
  Done<Unit> closing;  // set: closes when no operation is under way
};

/// An export uses its volume until its removal has completed; another may have taken its name before.
struct DataPlane::Exported {
  std::string name;
  std::string volume;  // empty: of another process
};

}  // namespace cairn
