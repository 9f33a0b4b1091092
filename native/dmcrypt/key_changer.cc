#include "dmcrypt/key_changer.h"

#include <algorithm>
#include <chrono>

#include "dmcrypt/header_area.h"

namespace cairn::dmcrypt {
namespace {

/// How soon it is tried again when the disk is full, or says that it cannot.
constexpr std::chrono::milliseconds retry_delay{5000};
constexpr std::chrono::milliseconds rest_step{20};

/// Never that of another attempt: the snapshot of one that a crash has cut short may still be there.
std::string snapshot_of(const std::string& id) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return internal_prefix + ("key-change-" + id + "-" + std::to_string(now.count()));
}

/// Blocks of the store have one key each: the data must begin and end with one.
Result<Unit> check_layout(const CryptLayout& layout) {
  if (layout.data_offset % store_block_size == 0 && layout.length % store_block_size == 0) return Unit{};
  return Error{"ENCRYPTION_UNSUPPORTED",
               "the data of this LUKS2 device does not begin and end at multiples of 4096 bytes: encrypt it anew with "
               "cryptsetup reencrypt, or copy it to another volume"};
}

}  // namespace

bool changes_key(const SnapshotSet& store) {
  const std::vector<SnapshotName> names = store.ancestors("");
  return std::any_of(names.begin(), names.end(), [](const SnapshotName& each) { return is_internal(each.name); });
}

KeyChanger::KeyChanger(ChangedVolume volume, std::function<void()> on_finished)
    : volume_(volume), on_finished_(std::move(on_finished)), work_(volume.reactor.ready()) {}

double KeyChanger::progress() const {
  const uint64_t size = volume_.device.geometry().size;
  if (!volume_.device.has_older_key()) return running() ? 1 : 0;
  return size == 0 ? 1 : static_cast<double>(std::min(position_, size)) / static_cast<double>(size);
}

// ---- The beginning --------------------------------------------------------------------------------------------------

Task<Result<Unit>> KeyChanger::begin(std::string id, std::shared_ptr<SecureMemory> passphrase) {
  if (change_.id == id) co_return Unit{};
  if (running()) co_return Error{"REENCRYPTION_RUNNING", "the volume is being encrypted with a new volume key already"};
  const InFlightScope working(work_);
  const AsyncMutex::Guard guard = co_await volume_.header.lock();
  Result<HeaderFile> file = co_await read_header_area(volume_.store);
  if (!file.ok()) co_return file.error();
  const std::string snapshot = snapshot_of(id);
  const auto derive = [&] { return make_key(std::move(file.value()), id, snapshot, passphrase->span()); };
  Result<NewKey> key = co_await Offload(volume_.keys, volume_.reactor, derive);
  if (!key.ok()) co_return key.error();
  // Who writes from here on waits until there is a head for the new key.
  co_await volume_.device.hold();
  const Result<Unit> switched = co_await switch_key(std::move(key.value()), snapshot);
  volume_.device.release();
  if (!switched.ok()) untidy_ = true;  // the snapshot may be there
  co_return switched;
}

/// On the thread that derives keys.
Result<KeyChanger::NewKey> KeyChanger::make_key(HeaderFile file, const std::string& id, const std::string& snapshot,
                                                Passphrase passphrase) {
  const Result<Unit> begun = luks_begin_key_change(file, passphrase, id, snapshot);
  if (!begun.ok()) return begun.error();
  Result<LuksUnlocked> unlocked = luks_unlock(file, passphrase);
  if (!unlocked.ok()) return unlocked.error();
  const Result<Unit> fits = check_layout(unlocked.value().info.layout);
  if (!fits.ok()) return fits.error();
  return NewKey{std::move(file), std::move(unlocked.value())};
}

/// Nothing is read or written meanwhile. Before the header is written, a failure changes nothing; after that nobody
/// knows whether the disk has it.
Task<Result<Unit>> KeyChanger::switch_key(NewKey key, std::string snapshot) {
  const LuksInfo& info = key.unlocked.info;
  Result<std::shared_ptr<Crypt>> newer = make_crypt(info.layout, volume_key_of(key.unlocked.volume_key));
  if (!newer.ok()) co_return newer.error();
  Result<std::shared_ptr<Crypt>> older = make_crypt(info.layout, volume_key_of(key.unlocked.older_key));
  if (!older.ok()) co_return older.error();
  const Result<Unit> taken = co_await volume_.keeper.take(snapshot);
  if (!taken.ok()) co_return taken;
  Result<std::unique_ptr<OlderKey>> before = co_await open_older(snapshot, older.value());
  if (!before.ok()) co_return before.error();
  const Result<bool> written = co_await write_header_area(volume_.store, key.file);
  if (!written.ok()) {
    volume_.device.give_up();
    co_return Error{written.error().code, written.error().message + ": detach the volume, then attach it again"};
  }
  volume_.device.change_key(newer.value(), std::move(before.value()));
  volume_.snapshots.add_key(info.key_id, newer.value());
  change_ = *info.change;
  position_ = 0;
  co_return Unit{};
}

Task<Result<std::unique_ptr<OlderKey>>> KeyChanger::open_older(std::string snapshot, std::shared_ptr<Crypt> crypt) {
  auto older = std::make_unique<OlderKey>();
  older->crypt = std::move(crypt);
  for (const SnapshotName& each : volume_.store_snapshots.ancestors(""))
    if (each.name == snapshot) older->reference = each.reference;
  Result<std::unique_ptr<BlockDevice>> opened = co_await volume_.store_snapshots.open_snapshot(snapshot);
  if (!opened.ok())
    co_return Error{"REPLICA_CORRUPT",
                    "what is encrypted with the older volume key cannot be read: " + opened.error().message};
  older->snapshot = std::move(opened.value());
  co_return older;
}

Task<Result<Unit>> KeyChanger::take_up(std::optional<KeyChange> change, std::shared_ptr<Crypt> older) {
  untidy_ = change || changes_key(volume_.store_snapshots);
  if (change) change_ = *change;
  if (!change_.running()) co_return Unit{};
  Result<std::unique_ptr<OlderKey>> before = co_await open_older(change_.snapshot, older);
  if (!before.ok()) co_return before.error();
  co_await volume_.device.hold();
  volume_.device.change_key(volume_.device.crypt(), std::move(before.value()));
  volume_.device.release();
  co_return Unit{};
}

void KeyChanger::go_on() {
  stopping_ = false;
  if (!running() && (volume_.device.has_older_key() || untidy_)) run();
}

// ---- In the background ----------------------------------------------------------------------------------------------

Detached KeyChanger::run() {
  const InFlightScope working(work_);
  while (!stopping_) {
    const uint64_t before = volume_.reactor.client_requests();
    const Reactor::Clock::time_point began = Reactor::Clock::now();
    const Result<bool> more = co_await next_step();
    problem_ = more.ok() ? "" : more.error().message;
    if (!more.ok()) {
      co_await rest(retry_delay);
      continue;
    }
    if (!more.value()) break;
    // Clients get half of the time at least.
    const bool busy = volume_.reactor.client_requests() != before;
    co_await volume_.reactor.sleep(busy ? Reactor::Clock::now() - began : Reactor::Clock::duration());
  }
}

/// False: there is nothing more to do.
Task<Result<bool>> KeyChanger::next_step() {
  if (volume_.device.given_up()) co_return false;
  if (!volume_.device.has_older_key()) {
    const Result<bool> left = co_await tidy();
    if (!left.ok()) co_return left;
    untidy_ = false;
    if (left.value()) on_finished_();
    co_return false;
  }
  const Result<uint64_t> next = co_await volume_.device.renew_next(position_);
  if (!next.ok()) co_return next.error();
  position_ = next.value();
  if (position_ < volume_.device.geometry().size) co_return true;
  const Result<Unit> ended = co_await end();
  if (!ended.ok()) co_return ended.error();
  co_return true;
}

/// From the moment that the header says so, nothing is read with the older key.
Task<Result<Unit>> KeyChanger::end() {
  const Status flushed = co_await volume_.store.flush();
  if (!flushed.ok()) co_return Error{errno_code(flushed.error()), "the volume could not be flushed"};
  const AsyncMutex::Guard guard = co_await volume_.header.lock();
  const Result<HeaderFile> file = co_await read_header_area(volume_.store);
  if (!file.ok()) co_return file.error();
  const auto change = [&] { return luks_end_key_change(file.value()); };
  const Result<Unit> changed = co_await Offload(volume_.keys, volume_.reactor, change);
  if (!changed.ok()) co_return changed;
  const Result<bool> written = co_await write_header_area(volume_.store, file.value());
  if (!written.ok()) co_return written.error();
  co_await volume_.device.hold();
  volume_.device.change_key(volume_.device.crypt(), nullptr);
  volume_.device.release();
  change_.snapshot.clear();
  untidy_ = true;
  co_return Unit{};
}

/// True: there was something left of a change that had ended.
Task<Result<bool>> KeyChanger::tidy() {
  const AsyncMutex::Guard guard = co_await volume_.header.lock();
  const Result<HeaderFile> file = co_await read_header_area(volume_.store);
  if (!file.ok()) co_return file.error();
  const auto change = [&] { return luks_forget_older_key(file.value()); };
  const Result<bool> forgotten = co_await Offload(volume_.keys, volume_.reactor, change);
  if (!forgotten.ok()) co_return forgotten;
  const Result<bool> written = co_await write_header_area(volume_.store, file.value());
  if (!written.ok()) co_return written;
  bool removed = false;
  for (const SnapshotName& each : volume_.store_snapshots.snapshots()) {
    if (!is_internal(each.name)) continue;
    const Result<Unit> gone = co_await volume_.keeper.remove(each.name);
    if (!gone.ok()) co_return gone.error();
    removed = true;
  }
  co_return forgotten.value() || (removed && !change_.id.empty());
}

/// Not so long that nobody could stop it.
Task<> KeyChanger::rest(Reactor::Clock::duration pause) {
  const Reactor::Clock::time_point end = Reactor::Clock::now() + pause;
  while (!stopping_ && Reactor::Clock::now() < end) co_await volume_.reactor.sleep(rest_step);
}

}  // namespace cairn::dmcrypt
