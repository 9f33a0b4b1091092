#include "dmcrypt/encrypted_volume.h"

#include "dmcrypt/header_area.h"

namespace cairn::dmcrypt {
namespace {

/// What the store must be able to do for the header's layout.
Result<Unit> check_layout(const CryptLayout& layout, const Geometry& geometry) {
  const bool detached = layout.data_offset == 0;  // the header of a device that lies elsewhere
  if (detached || layout.data_offset % geometry.logical_block_size != 0 || layout.data_offset >= geometry.size)
    return Error{"ENCRYPTION_UNSUPPORTED", "the data of this LUKS2 device begins where this volume cannot be read (" +
                                               std::to_string(layout.data_offset) + " bytes behind its start)"};
  return Unit{};
}

Result<std::shared_ptr<Crypt>> crypt_of(const LuksInfo& info, const SecureMemory& key) {
  return make_crypt(info.layout, volume_key_of(key));
}

}  // namespace

Task<Result<std::unique_ptr<EncryptedVolume>>> EncryptedVolume::unlock(Below below,
                                                                       std::shared_ptr<SecureMemory> passphrase,
                                                                       std::function<void()> on_key_changed) {
  Result<HeaderFile> file = co_await read_header_area(below.store);
  if (!file.ok()) co_return file.error();
  const auto open = [&] { return luks_unlock(file.value(), passphrase->span()); };
  const Result<LuksUnlocked> opened = co_await Offload(below.keys, below.reactor, open);
  if (!opened.ok()) co_return opened.error();
  const LuksInfo& info = opened.value().info;
  const Result<Unit> fits = check_layout(info.layout, below.store.geometry());
  if (!fits.ok()) co_return fits.error();
  const Result<bool> mended = co_await mend_header(below.store, file.value());
  const Result<std::shared_ptr<Crypt>> crypt = crypt_of(info, opened.value().volume_key);
  if (!crypt.ok()) co_return crypt.error();

  std::unique_ptr<EncryptedVolume> volume(new EncryptedVolume(below, crypt.value(), std::move(on_key_changed)));
  volume->mending_ = mended.ok() ? Mending{mended.value(), ""} : Mending{false, mended.error().message};
  volume->snapshots_.add_key(info.key_id, crypt.value());
  if (!info.change && !changes_key(below.snapshots) && !below.other_keys) co_return volume;
  std::shared_ptr<Crypt> older;
  if (opened.value().older_key.valid()) {
    const Result<std::shared_ptr<Crypt>> made = crypt_of(info, opened.value().older_key);
    if (!made.ok()) co_return made.error();
    older = made.value();
    volume->snapshots_.add_key(info.change->older, older);
  }
  for (const SnapshotName& each : volume->snapshots_.snapshots())
    co_await volume->learn_key(below, each.name, passphrase);
  const Result<Unit> taken = co_await volume->changer_.take_up(info.change, older);
  if (!taken.ok()) co_return taken.error();
  co_return volume;
}

/// That of a snapshot which an earlier change of the volume key has left with another one, if the passphrase opens it.
/// The snapshot cannot be read otherwise.
Task<> EncryptedVolume::learn_key(Below below, std::string snapshot, std::shared_ptr<SecureMemory> passphrase) {
  const Result<std::unique_ptr<BlockDevice>> device = co_await below.snapshots.open_snapshot(std::move(snapshot));
  if (!device.ok()) co_return;
  const Result<std::string> id = co_await read_key_id(*device.value());
  if (!id.ok() || snapshots_.knows(id.value())) co_return;
  const Result<HeaderFile> file = co_await read_header_area(*device.value());
  if (!file.ok()) co_return;
  const auto open = [&] { return luks_unlock(file.value(), passphrase->span()); };
  const Result<LuksUnlocked> opened = co_await Offload(below.keys, below.reactor, open);
  if (!opened.ok()) co_return;
  const Result<std::shared_ptr<Crypt>> crypt = crypt_of(opened.value().info, opened.value().volume_key);
  if (crypt.ok()) snapshots_.add_key(id.value(), crypt.value());
}

}  // namespace cairn::dmcrypt
