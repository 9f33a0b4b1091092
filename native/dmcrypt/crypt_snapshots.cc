#include "dmcrypt/crypt_snapshots.h"

#include "dmcrypt/header_area.h"

namespace cairn::dmcrypt {
namespace {

std::vector<SnapshotName> visible(std::vector<SnapshotName> names) {
  std::erase_if(names, [](const SnapshotName& each) { return is_internal(each.name); });
  return names;
}

}  // namespace

std::vector<SnapshotName> CryptSnapshots::snapshots() const { return visible(below_.snapshots()); }

std::vector<SnapshotName> CryptSnapshots::ancestors(const std::string& of) const {
  return visible(below_.ancestors(of));
}

Task<Result<std::unique_ptr<BlockDevice>>> CryptSnapshots::open_snapshot(std::string name) {
  if (is_internal(name)) co_return Error{"SNAPSHOT_MISSING", "there is no snapshot named " + name};
  Result<std::unique_ptr<BlockDevice>> below = co_await below_.open_snapshot(std::move(name));
  if (!below.ok()) co_return below;
  Result<std::shared_ptr<Crypt>> crypt = co_await key_of(*below.value());
  if (!crypt.ok()) co_return crypt.error();
  co_return std::unique_ptr<BlockDevice>(
      std::make_unique<CryptDevice>(reactor_, buffers_, std::move(crypt.value()), std::move(below.value())));
}

/// Never that of the volume for want of another: a snapshot may be from before a change of the volume key, or, after a
/// revert, from after it.
Task<Result<std::shared_ptr<Crypt>>> CryptSnapshots::key_of(BlockDevice& snapshot) const {
  const Result<std::string> id = co_await read_key_id(snapshot);
  if (!id.ok()) co_return id.error();
  const auto found = keys_.find(id.value());
  if (found == keys_.end())
    co_return Error{"VOLUME_KEY_MISSING",
                    "the snapshot is encrypted with another volume key, which the volume's passphrase does not open: "
                    "clone it, and attach the clone with the passphrase of that time"};
  co_return found->second;
}

}  // namespace cairn::dmcrypt
