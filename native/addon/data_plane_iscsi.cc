// A data plane's iSCSI targets.
#include <algorithm>

#include "addon/data_plane.h"
#include "addon/data_plane_volume.h"

namespace cairn {
namespace {

Error closed() { return {"CLOSED", "the data plane is closed"}; }

/// A UUID as text, hyphens or none.
std::optional<std::array<uint8_t, 16>> parse_uuid(const std::string& text) {
  std::array<uint8_t, 16> uuid{};
  size_t digits = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const char* const all = "0123456789abcdef";
    const char* found = std::find(all, all + 16, static_cast<char>(c | 0x20));
    if (found == all + 16 || digits == 32) return std::nullopt;
    uuid[digits / 2] = static_cast<uint8_t>(uuid[digits / 2] << 4 | (found - all));
    ++digits;
  }
  if (digits != 32) return std::nullopt;
  return uuid;
}

}  // namespace

Result<iscsi::LocalTarget> DataPlane::serve(Volume& volume, const NewTarget& target) {
  if (volume.reverting)
    return Error{"VOLUME_IN_USE", "volume " + volume.name + " is being reverted: attach it when that is done"};
  if (target.decrypted && !volume.unlocked)
    return Error{"VOLUME_KEY_MISSING", "volume " + volume.name + " is encrypted and has not been unlocked"};
  const std::optional<std::array<uint8_t, 16>> uuid = parse_uuid(target.volume_id);
  if (!uuid) return Error{"INVALID_ARGUMENT", "target " + target.name + ": the volume's id is no UUID"};
  BlockDevice* device = target.decrypted ? &volume.decrypted->checked : volume.device.get();
  return iscsi::LocalTarget{.reactor = volume.reactor,
                            .device = device,
                            .admission = &volume.throttled->throttle().admission(),
                            .identity = {.uuid = *uuid, .target_name = target.name, .volume_name = volume.name},
                            .reservations_path = volume.directory + "/reservations"};
}

void DataPlane::add_target(NewTarget target, Done<Unit> done) {
  if (closing_) return done(closed());
  iscsi::TargetOptions options{.name = target.name,
                               .alias = target.alias,
                               .read_only = target.read_only,
                               .access = target.access,
                               .target = target.remote};
  if (!target.volume.empty()) {
    Result<Volume*> volume = find(target.volume);
    if (!volume.ok()) return done(volume.error());
    Result<iscsi::LocalTarget> local = serve(*volume.value(), target);
    if (!local.ok()) return done(local.error());
    options.target = std::move(local.value());
  }
  // In use from now on: it is opened on the volume's reactor.
  exports_.push_back({Exported::Frontend::iscsi, target.name, target.volume});
  const Exported* record = &exports_.back();
  iscsi_->add_target(std::move(options), [this, record, done = std::move(done)](Result<Unit> added) {
    control_([this, record, done, added = std::move(added)] {
      if (!added.ok()) exports_.remove_if([record](const Exported& each) { return &each == record; });
      done(added);
    });
  });
}

void DataPlane::remove_target(const std::string& name, bool force, Done<Unit> done) {
  if (closing_) return done(closed());
  const auto found = std::find_if(exports_.rbegin(), exports_.rend(), [&](const Exported& each) {
    return each.frontend == Exported::Frontend::iscsi && each.name == name;
  });
  const Exported* record = found == exports_.rend() ? nullptr : &*found;
  // Initiators that are disconnected are not waited for at the pace of their limits.
  const std::string lifted = force && record != nullptr ? record->volume : std::string();
  change_throttle(lifted, &qos::Throttle::lift);
  iscsi_->remove_target(name, force, [this, record, lifted, done = std::move(done)](Result<Unit> removed) {
    control_([this, record, lifted, done, removed = std::move(removed)] {
      change_throttle(lifted, &qos::Throttle::restore);
      if (removed.ok()) exports_.remove_if([record](const Exported& each) { return &each == record; });
      done(removed);
    });
  });
}

Result<Unit> DataPlane::set_target_access(const std::string& name, iscsi::Access access) {
  if (closing_) return closed();
  return iscsi_->set_access(name, std::move(access));
}

Result<Unit> DataPlane::set_space_low(const std::string& name, bool low) {
  if (closing_) return closed();
  iscsi_->set_space_low(name, low);
  return Unit{};
}

Result<Unit> DataPlane::set_discovery(iscsi::Access access, std::vector<iscsi::Portal> portals) {
  if (closing_) return closed();
  if (Result<Unit> set = iscsi_->set_discovery_access(std::move(access)); !set.ok()) return set;
  return iscsi_->set_portals(std::move(portals));
}

Result<TcpAddress> DataPlane::listen_iscsi(const std::string& host, uint16_t port) {
  if (closing_) return closed();
  return iscsi_->listen_tcp(host, port);
}

void DataPlane::unlisten_iscsi(const TcpAddress& address, Done<Unit> done) {
  if (closing_) return done(closed());
  iscsi_->unlisten_tcp(address, [this, done = std::move(done)](Result<Unit> ended) {
    control_([done, ended = std::move(ended)] { done(ended); });
  });
}

Result<Unit> DataPlane::listen_iscsi_handover(const std::string& path) {
  if (closing_) return closed();
  return iscsi_->listen_handover(path);
}

}  // namespace cairn
