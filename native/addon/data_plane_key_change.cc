// Changes of the volume key of encrypted volumes, and what they keep others from doing meanwhile.
#include <fcntl.h>
#include <unistd.h>

#include "addon/data_plane.h"
#include "addon/data_plane_volume.h"
#include "store/uuid.h"

namespace cairn {

Task<Result<Unit>> StoreSnapshots::take(std::string name) {
  return store_.create_snapshot(store::format_uuid(store::random_uuid()), std::move(name));
}

Task<Result<Unit>> StoreSnapshots::remove(std::string name) {
  for (const store::LayerStatus& layer : store_.layers())
    if (layer.name == name && !layer.removed) co_return co_await store_.delete_snapshot(layer.id);
  co_return Unit{};
}

namespace {

/// Beside the replica's files, from the first change of the volume key on: a revert brings back a header that knows of
/// none, and snapshots with other keys stay.
std::string marker_in(const std::string& directory) { return directory + "/key-changed"; }

Result<Unit> mark_key_changed(const std::string& directory) {
  const std::string path = marker_in(directory);
  const UniqueFd marker(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const UniqueFd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!marker.valid() || !parent.valid() || ::fsync(parent.get()) != 0) return system_error("make", path, errno);
  return Unit{};
}

Task<Result<Unit>> begin_key_change(Decrypted& decrypted, Reactor& reactor, BlockingThread& files,
                                    std::string directory, std::string id, std::shared_ptr<SecureMemory> passphrase) {
  const auto mark = [&] { return mark_key_changed(directory); };
  const Result<Unit> marked = co_await Offload(files, reactor, mark);
  if (!marked.ok()) co_return marked;
  co_return co_await decrypted.changer().begin(std::move(id), std::move(passphrase));
}

}  // namespace

bool DataPlane::key_was_changed(const Volume& volume) {
  return ::access(marker_in(volume.directory).c_str(), F_OK) == 0;
}

void DataPlane::reencrypt_volume(const std::string& name, const std::string& id, SecureMemory passphrase,
                                 Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  if (!volume.unlocked)
    return done(Error{"VOLUME_KEY_MISSING", "volume " + name + " is encrypted and has not been unlocked"});
  if (volume.reverting) return done(Error{"VOLUME_IN_USE", "volume " + name + " is being reverted"});
  auto shared = std::make_shared<SecureMemory>(std::move(passphrase));
  operate(
      name,
      [this, &volume, id, shared](store::LayeredStore&) {
        return begin_key_change(*volume.decrypted, *volume.reactor, keys_, volume.directory, id, shared);
      },
      [this, &volume, done = std::move(done)](Result<Unit> begun) {
        go_on_with_key_change(volume);  // also to remove what one that has failed has left
        done(std::move(begun));
      });
}

/// The volume's store and its plaintext outlive what changes its key.
void DataPlane::go_on_with_key_change(Volume& volume) {
  if (volume.closing) return;  // it does when the volume is unlocked again
  ++volume.operations;
  volume.reactor->post([this, &volume] {
    const auto ended = [this, &volume] { control_([this, &volume] { finish_operation(volume); }); };
    if (volume.decrypted == nullptr) return ended();
    volume.decrypted->changer().go_on();
    run_detached(volume.decrypted->changer().wait_stopped(), ended);
  });
}

/// It goes on when the volume is unlocked again.
void DataPlane::stop_key_change(Volume& volume) {
  volume.reactor->post([&volume] {
    if (volume.decrypted != nullptr) volume.decrypted->changer().stop();
  });
}

void DataPlane::report_key_changed(const std::string& volume) {
  on_event_({"reencryption-finished", volume, "Volume " + volume + " is encrypted with its new volume key."});
}

Task<Result<Unit>> DataPlane::take_snapshot(store::LayeredStore& store, std::string id, std::string name) {
  if (dmcrypt::changes_key(store)) co_return reencryption_running();
  co_return co_await store.create_snapshot(std::move(id), std::move(name));
}

/// The content that comes back may have another volume key: it is unlocked anew. Where it has the same, the key slots
/// stay as they are.
Task<Result<Unit>> DataPlane::revert(Volume& volume, store::LayeredStore& store, std::string id) {
  if (dmcrypt::changes_key(store)) co_return reencryption_running();
  if (volume.decrypted != nullptr) {
    volume.decrypted->changer().stop();
    co_await volume.decrypted->changer().wait_stopped();
  }
  const AsyncMutex::Guard guard = co_await volume.header->lock();
  const Result<Unit> settled = co_await settle_header_of(volume);
  if (!settled.ok()) co_return settled;
  const Result<Unit> kept = co_await keep_header_of(volume);
  if (!kept.ok()) co_return kept;
  const Result<Unit> reverted = co_await store.revert(std::move(id));
  if (reverted.ok()) volume.decrypted.reset();
  const Result<Unit> restored = co_await settle_header_of(volume);
  co_return reverted.ok() ? restored : reverted;
}

/// A snapshot would have two volume keys, and a revert would take away what has the older one.
Error DataPlane::reencryption_running() {
  return {"REENCRYPTION_RUNNING",
          "the volume is being encrypted with a new volume key, or was when it was closed: attach it, and wait until "
          "that is done"};
}

}  // namespace cairn
