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

/// What the store must be able to do for the header's layout.
Result<Unit> check_layout(const dmcrypt::CryptLayout& layout, const Geometry& geometry) {
  const bool detached = layout.data_offset == 0;  // the header of a device that lies elsewhere
  if (detached || layout.data_offset % geometry.logical_block_size != 0 || layout.data_offset >= geometry.size)
    return Error{"ENCRYPTION_UNSUPPORTED", "the data of this LUKS2 device begins where this volume cannot be read (" +
                                               std::to_string(layout.data_offset) + " bytes behind its start)"};
  return Unit{};
}

struct Unlocked {
  std::shared_ptr<dmcrypt::Crypt> crypt;
  bool mended = false;  // one of the header's two copies was damaged
};

Task<Result<Unlocked>> unlock(BlockDevice& device, Reactor& reactor, BlockingThread& keys,
                              SharedPassphrase passphrase) {
  Result<dmcrypt::HeaderFile> file = co_await dmcrypt::read_header_area(device);
  if (!file.ok()) co_return file.error();
  const auto open = [&] { return dmcrypt::luks_unlock(file.value(), passphrase->span()); };
  Result<dmcrypt::LuksUnlocked> opened = co_await Offload(keys, reactor, open);
  if (!opened.ok()) co_return opened.error();
  const Result<Unit> fits = check_layout(opened.value().info.layout, device.geometry());
  if (!fits.ok()) co_return fits.error();
  const Result<bool> mended = co_await dmcrypt::write_header_area(device, file.value());
  if (!mended.ok()) co_return mended.error();
  const Result<dmcrypt::CipherPath> path = dmcrypt::tested_cipher_path();
  if (!path.ok()) co_return path.error();
  const auto key = opened.value().volume_key.span().first<dmcrypt::volume_key_size>();
  Result<std::unique_ptr<dmcrypt::SectorCipher>> cipher = dmcrypt::SectorCipher::create(key, path.value());
  if (!cipher.ok()) co_return cipher.error();
  auto crypt = std::make_shared<dmcrypt::Crypt>();
  crypt->layout = opened.value().info.layout;
  crypt->cipher = std::move(cipher.value());
  co_return Unlocked{std::move(crypt), mended.value()};
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
    run_detached(unlock(*volume.store, *volume.reactor, keys_, shared),
                 [this, &volume, &buffers, done](Result<Unlocked> unlocked) {
                   // Two may unlock it at once; the exports of the first one use what it has made.
                   if (unlocked.ok() && volume.decrypted == nullptr)
                     volume.decrypted = std::make_unique<Decrypted>(*volume.reactor, buffers, unlocked.value().crypt,
                                                                    *volume.store, volume.throttled->throttle());
                   Result<bool> mended = unlocked.ok() ? Result<bool>(unlocked.value().mended) : unlocked.error();
                   control_([this, &volume, mended, done] { finish_unlock(volume, mended, done); });
                 });
  });
}

void DataPlane::finish_unlock(Volume& volume, Result<bool> mended, const Done<Unit>& done) {
  if (mended.ok()) volume.unlocked = true;
  if (mended.ok() && mended.value())
    on_event_({"header-repaired", volume.name,
               "One copy of the LUKS2 header of volume " + volume.name +
                   " was damaged; it has been restored from the other one."});
  done(mended.ok() ? Result<Unit>(Unit{}) : mended.error());
  finish_operation(volume);
}

}  // namespace cairn
