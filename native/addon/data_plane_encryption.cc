// Encrypted volumes: formatted, and unlocked so that their plaintext can be exported.
#include "addon/data_plane.h"
#include "addon/data_plane_volume.h"
#include "dmcrypt/header_area.h"

namespace cairn {
namespace {

using SharedPassphrase = std::shared_ptr<SecureMemory>;

/// Whoever derives keys on `keys`; a volume's header lies at the beginning of its store.
Task<Result<Unit>> format(BlockDevice& device, Reactor& reactor, BlockingThread& keys, dmcrypt::LuksFormat format,
                          SharedPassphrase passphrase) {
  Result<dmcrypt::HeaderFile> file = dmcrypt::HeaderFile::create(device.geometry().size);
  if (!file.ok()) co_return file.error();
  const auto make = [&] { return dmcrypt::luks_format(file.value(), format, passphrase->span()); };
  const Result<dmcrypt::LuksInfo> made = co_await Offload(keys, reactor, make);
  if (!made.ok()) co_return made.error();
  const Result<bool> written = co_await dmcrypt::write_header_area(device, file.value());
  if (!written.ok()) co_return written.error();
  co_return Unit{};
}

}  // namespace

dmcrypt::CryptBuffers& DataPlane::crypt_buffers(Reactor& reactor) {
  std::unique_ptr<dmcrypt::CryptBuffers>& buffers = crypt_buffers_[&reactor];
  if (buffers == nullptr) buffers = std::make_unique<dmcrypt::CryptBuffers>(reactor);
  return *buffers;
}

void DataPlane::format_encryption(const std::string& name, const dmcrypt::LuksFormat& how, SecureMemory passphrase,
                                  Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  if (exported(name) || volume.unlocked)
    return done(Error{"VOLUME_IN_USE", "volume " + name + " is in use: detach it first"});
  auto shared = std::make_shared<SecureMemory>(std::move(passphrase));
  operate(
      name,
      [this, &volume, how, shared](store::LayeredStore& store) {
        return format(store, *volume.reactor, keys_, how, shared);
      },
      std::move(done));
}

void DataPlane::unlock_volume(const std::string& name, SecureMemory passphrase, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  if (volume.unlocked) return done(Unit{});
  auto shared = std::make_shared<SecureMemory>(std::move(passphrase));
  dmcrypt::CryptBuffers& buffers = crypt_buffers(*volume.reactor);
  ++volume.operations;
  volume.reactor->post([this, &volume, &buffers, shared, done = std::move(done)] {
    run_detached(unlock_plaintext(volume, buffers, shared), [this, &volume, done](Result<dmcrypt::Mending> unlocked) {
      control_([this, &volume, unlocked, done] { finish_unlock(volume, unlocked, done); });
    });
  });
}

/// Two may unlock a volume at once: the exports of the first one use what it has made.
Task<Result<dmcrypt::Mending>> DataPlane::unlock_plaintext(Volume& volume, dmcrypt::CryptBuffers& buffers,
                                                           SharedPassphrase passphrase) {
  const AsyncMutex::Guard guard = co_await volume.header->lock();
  if (volume.decrypted != nullptr) co_return dmcrypt::Mending{};
  const Result<Unit> settled = co_await settle_header_of(volume);
  if (!settled.ok()) co_return settled.error();
  const auto on_key_changed = [this, name = volume.name] { control_([this, name] { report_key_changed(name); }); };
  store::LayeredStore& store = *volume.store;
  Result<std::unique_ptr<dmcrypt::EncryptedVolume>> unlocked = co_await dmcrypt::EncryptedVolume::unlock(
      {*volume.reactor, keys_, buffers, store, store, *volume.keeper, *volume.header, key_was_changed(volume)},
      passphrase, on_key_changed);
  if (!unlocked.ok()) co_return unlocked.error();
  dmcrypt::Mending mending = unlocked.value()->mending();
  volume.decrypted = std::make_unique<Decrypted>(std::move(unlocked.value()), volume.throttled->throttle());
  co_return mending;
}

void DataPlane::finish_unlock(Volume& volume, const Result<dmcrypt::Mending>& unlocked, const Done<Unit>& done) {
  if (unlocked.ok()) {
    volume.unlocked = true;
    go_on_with_key_change(volume);
    report_mending(volume.name, unlocked.value());
  }
  done(unlocked.ok() ? Result<Unit>(Unit{}) : unlocked.error());
  finish_operation(volume);
}

void DataPlane::report_mending(const std::string& volume, const dmcrypt::Mending& mending) {
  const std::string damaged = "One copy of the LUKS2 header of volume " + volume;
  if (!mending.problem.empty())
    on_event_({"header-damaged", volume,
               damaged + " is damaged and could not be restored from the other one (" + mending.problem +
                   "). Look at its disk, and back the header up: cairn header backup " + volume + " FILE"});
  if (mending.done)
    on_event_({"header-repaired", volume, damaged + " was damaged; it has been restored from the other one."});
}

}  // namespace cairn
