// Gives an encrypted volume another volume key while it is used.
//
//   begin   a snapshot, and in the head above it a header with the new key; the older key's slots stay beside it
//   renew   what has not been written since the snapshot is read from it and written anew, piece by piece, paced
//   end     a header that says so; then the older key's slots and the snapshot go
//
// Which blocks have which key is what the store knows anyway: those written since the snapshot have the new one. So
// there is no position to be kept, and a crash at any point leaves a volume that opens and goes on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "aio/offload.h"
#include "aio/wait.h"
#include "block/snapshot_set.h"
#include "dmcrypt/crypt_device.h"
#include "dmcrypt/crypt_snapshots.h"
#include "dmcrypt/luks.h"

namespace cairn::dmcrypt {

/// What a change asks of the store besides reading and writing.
class SnapshotKeeper {
 public:
  virtual ~SnapshotKeeper() = default;
  /// Of exactly what was acknowledged before; durable when it is done.
  virtual Task<Result<Unit>> take(std::string name) = 0;
  /// The space is given back in the background. Done also when there is none of that name.
  virtual Task<Result<Unit>> remove(std::string name) = 0;
};

/// A volume of which a change was begun and has not ended: no snapshot of it may be taken, for it would have two keys.
bool changes_key(const SnapshotSet& store);

struct ChangedVolume {
  Reactor& reactor;
  BlockingThread& keys;  // derives keys
  BlockDevice& store;
  SnapshotSet& store_snapshots;
  SnapshotKeeper& keeper;
  AsyncMutex& header;  // whoever changes the header holds it
  CryptDevice& device;
  CryptSnapshots& snapshots;
};

class KeyChanger {
 public:
  /// `on_finished`: a change has ended, and nothing of it is left.
  KeyChanger(ChangedVolume volume, std::function<void()> on_finished);
  /// Only when nothing runs.
  ~KeyChanger() { CAIRN_ASSERT(work_.count() == 0); }

  /// Durably begun when it is done; go_on() does the rest. Nothing to do when the last change had the same `id`.
  /// WRONG_KEY and what the store says change nothing.
  Task<Result<Unit>> begin(std::string id, std::shared_ptr<SecureMemory> passphrase);
  /// Takes up what the header says of a change; go_on() ends it, and removes what an earlier one has left behind.
  /// `older`: of a change that is running.
  Task<Result<Unit>> take_up(std::optional<KeyChange> change, std::shared_ptr<Crypt> older);
  /// What is left of a change is done in the background.
  void go_on();
  /// Until go_on().
  void stop() { stopping_ = true; }
  Task<> wait_stopped() { return work_.wait_idle(); }

  bool running() const { return work_.count() > 0; }
  double progress() const;
  /// Why it waits; empty while it does not.
  const std::string& problem() const { return problem_; }

 private:
  struct NewKey {
    HeaderFile file;
    LuksUnlocked unlocked;
  };

  Result<NewKey> make_key(HeaderFile file, const std::string& id, const std::string& snapshot, Passphrase passphrase);
  Task<Result<Unit>> switch_key(NewKey key, std::string snapshot);
  Task<Result<std::unique_ptr<OlderKey>>> open_older(std::string snapshot, std::shared_ptr<Crypt> crypt);
  Detached run();
  Task<Result<bool>> next_step();
  Task<Result<Unit>> end();
  Task<Result<bool>> tidy();
  Task<> rest(Reactor::Clock::duration pause);

  ChangedVolume volume_;
  std::function<void()> on_finished_;
  KeyChange change_;  // the last one
  uint64_t position_ = 0;
  std::string problem_;
  bool untidy_ = false;  // there may be something left of a change that has ended
  bool stopping_ = false;
  InFlight work_;
};

}  // namespace cairn::dmcrypt
