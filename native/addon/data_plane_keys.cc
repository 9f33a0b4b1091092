// What is done to the LUKS2 header of an open volume, attached or not.
#include <unistd.h>

#include "addon/data_plane.h"
#include "addon/data_plane_volume.h"
#include "dmcrypt/header_area.h"

namespace cairn {
namespace {

using SharedPassphrase = std::shared_ptr<SecureMemory>;
using HeaderWork = std::function<Result<Unit>(const dmcrypt::HeaderFile&)>;

SharedPassphrase shared(SecureMemory passphrase) { return std::make_shared<SecureMemory>(std::move(passphrase)); }

/// Beside the replica's files, from before a revert until the header is what it was.
std::string kept_header(const std::string& directory) { return directory + "/kept-header"; }

/// A revert brings back the header of the snapshot's time, and with it key slots that may not open any more. What was
/// there before it comes back over that, unless the two have different volume keys: then the content has the older one
/// too. Every work on a header begins with this, so that a crash in between is made good before anything is changed.
Task<Result<Unit>> settle_header(BlockDevice& device, Reactor& reactor, BlockingThread& keys, std::string directory) {
  const std::string path = kept_header(directory);
  if (::access(path.c_str(), F_OK) != 0) co_return Unit{};
  const auto load = [&, size = device.geometry().size] { return dmcrypt::load_header(path, size); };
  const Result<dmcrypt::HeaderFile> kept = co_await Offload(keys, reactor, load);
  if (!kept.ok()) co_return kept.error();
  const Result<dmcrypt::HeaderFile> present = co_await dmcrypt::read_header_area(device);
  if (!present.ok()) co_return present.error();
  const auto compare = [&] {
    const Result<dmcrypt::LuksInfo> before = dmcrypt::luks_info(kept.value());
    const Result<dmcrypt::LuksInfo> now = dmcrypt::luks_info(present.value());
    return before.ok() && now.ok() && before.value().key_id == now.value().key_id;
  };
  if (co_await Offload(keys, reactor, compare)) {
    const Result<bool> written = co_await dmcrypt::write_header_area(device, kept.value());
    if (!written.ok()) co_return written.error();
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) co_return system_error("remove", path, errno);
  co_return Unit{};
}

/// For settle_header. Of a volume that is not encrypted, nothing.
Task<Result<Unit>> keep_header(BlockDevice& device, Reactor& reactor, BlockingThread& keys, std::string directory) {
  const Result<dmcrypt::HeaderFile> file = co_await dmcrypt::read_header_area(device);
  if (!file.ok()) co_return file.error();
  const auto save = [&]() -> Result<Unit> {
    if (!dmcrypt::luks_info(file.value()).ok()) return Unit{};
    return dmcrypt::save_header(file.value(), kept_header(directory));
  };
  co_return co_await Offload(keys, reactor, save);
}

/// Works on a copy of the header, on a thread that may block, and writes back what it has changed.
Task<Result<Unit>> change_header(AsyncMutex& header, BlockDevice& device, Reactor& reactor, BlockingThread& keys,
                                 std::string directory, HeaderWork work) {
  const AsyncMutex::Guard guard = co_await header.lock();
  const Result<Unit> settled = co_await settle_header(device, reactor, keys, directory);
  if (!settled.ok()) co_return settled;
  const Result<dmcrypt::HeaderFile> file = co_await dmcrypt::read_header_area(device);
  if (!file.ok()) co_return file.error();
  const auto change = [&] { return work(file.value()); };
  const Result<Unit> changed = co_await Offload(keys, reactor, change);
  if (!changed.ok()) co_return changed;
  const Result<bool> written = co_await dmcrypt::write_header_area(device, file.value());
  if (!written.ok()) co_return written.error();
  co_return Unit{};
}

Error not_this_one(const std::string& what) {
  return {"INVALID_ARGUMENT", "the backup " + what + ": what the volume holds could not be read with it"};
}

/// Whether what the volume holds can be read with the header that is to replace the present one. Where that is damaged,
/// nobody can tell but for the layout.
Result<Unit> check_backup(const dmcrypt::HeaderFile& backup, const dmcrypt::HeaderFile& present, bool force) {
  const Result<dmcrypt::LuksInfo> wanted = dmcrypt::luks_info(backup);
  if (!wanted.ok()) return wanted.error();
  const dmcrypt::LuksInfo& info = wanted.value();
  if (info.change && info.change->running()) return not_this_one("was made while the volume got another volume key");
  const Result<dmcrypt::LuksInfo> before = dmcrypt::luks_info(present);
  if (!before.ok() || force) return Unit{};
  if (before.value().change && before.value().change->running())
    return Error{"REENCRYPTION_RUNNING", "the volume is being encrypted with a new volume key"};
  if (info.uuid != before.value().uuid) return not_this_one("is of another volume");
  if (info.key_id != before.value().key_id) return not_this_one("has another volume key");
  return Unit{};
}

Task<Result<Unit>> restore(AsyncMutex& header, BlockDevice& device, Reactor& reactor, BlockingThread& keys,
                           std::string directory, std::string path, bool force) {
  const AsyncMutex::Guard guard = co_await header.lock();
  const Result<Unit> settled = co_await settle_header(device, reactor, keys, directory);
  if (!settled.ok()) co_return settled;
  const Result<dmcrypt::HeaderFile> present = co_await dmcrypt::read_header_area(device);
  if (!present.ok()) co_return present.error();
  const auto load = [&, size = device.geometry().size]() -> Result<dmcrypt::HeaderFile> {
    Result<dmcrypt::HeaderFile> backup = dmcrypt::load_header(path, size);
    if (!backup.ok()) return backup;
    const Result<Unit> checked = check_backup(backup.value(), present.value(), force);
    if (!checked.ok()) return checked.error();
    return backup;
  };
  const Result<dmcrypt::HeaderFile> backup = co_await Offload(keys, reactor, load);
  if (!backup.ok()) co_return backup.error();
  const Result<bool> written = co_await dmcrypt::write_header_area(device, backup.value());
  if (!written.ok()) co_return written.error();
  co_return Unit{};
}

}  // namespace

void DataPlane::header_info(const std::string& name, Done<dmcrypt::LuksInfo> done) {
  auto info = std::make_shared<dmcrypt::LuksInfo>();
  work_on_header(
      name,
      [info](const dmcrypt::HeaderFile& file) -> Result<Unit> {
        Result<dmcrypt::LuksInfo> read = dmcrypt::luks_info(file);
        if (!read.ok()) return read.error();
        *info = std::move(read.value());
        return Unit{};
      },
      [info, done = std::move(done)](Result<Unit> read) {
        done(read.ok() ? Result<dmcrypt::LuksInfo>(std::move(*info)) : read.error());
      });
}

void DataPlane::add_key(const std::string& name, SecureMemory known, SecureMemory added, Done<Unit> done) {
  const auto work = [known = shared(std::move(known)), added = shared(std::move(added))](const auto& file) {
    return dmcrypt::luks_add_key(file, known->span(), added->span());
  };
  work_on_header(name, work, std::move(done));
}

void DataPlane::remove_key(const std::string& name, SecureMemory removed, SecureMemory kept, Done<Unit> done) {
  const auto work = [removed = shared(std::move(removed)),
                     kept = shared(std::move(kept))](const auto& file) -> Result<Unit> {
    const Result<bool> gone = dmcrypt::luks_remove_key(file, removed->span(), kept->span());
    if (!gone.ok()) return gone.error();
    return Unit{};
  };
  work_on_header(name, work, std::move(done));
}

void DataPlane::backup_header(const std::string& name, const std::string& path, Done<Unit> done) {
  const auto work = [path](const dmcrypt::HeaderFile& file) -> Result<Unit> {
    const Result<dmcrypt::LuksInfo> info = dmcrypt::luks_info(file);  // whole, or made whole
    if (!info.ok()) return info.error();
    return dmcrypt::save_header(file, path);
  };
  work_on_header(name, work, std::move(done));
}

void DataPlane::restore_header(const std::string& name, const std::string& path, bool force, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  // Its key may be another one.
  if (exported(name) || volume.unlocked)
    return done(Error{"VOLUME_IN_USE", "volume " + name + " is in use: detach it first"});
  operate(
      name,
      [this, &volume, path, force](store::LayeredStore& store) {
        return restore(*volume.header, store, *volume.reactor, keys_, volume.directory, path, force);
      },
      std::move(done));
}

Task<Result<Unit>> DataPlane::settle_header_of(Volume& volume) {
  return settle_header(*volume.store, *volume.reactor, keys_, volume.directory);
}

Task<Result<Unit>> DataPlane::keep_header_of(Volume& volume) {
  return keep_header(*volume.store, *volume.reactor, keys_, volume.directory);
}

void DataPlane::work_on_header(const std::string& name, HeaderWork work, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  operate(
      name,
      [this, &volume, work = std::move(work)](store::LayeredStore& store) {
        return change_header(*volume.header, store, *volume.reactor, keys_, volume.directory, work);
      },
      std::move(done));
}

}  // namespace cairn
