#include "nbd/export.h"

#include <algorithm>

#include "nbd/limits.h"
#include "nbd/session.h"

namespace cairn::nbd {
namespace {

Geometry geometry_of(const ExportOptions& options) {
  Geometry geometry;
  if (const auto* local = std::get_if<LocalTarget>(&options.target)) {
    geometry = local->device->geometry();
  } else {
    const auto& remote = std::get<RemoteTarget>(options.target);
    geometry.size = remote.size;
    geometry.logical_block_size = remote.block_size;
  }
  geometry.read_only |= options.read_only;
  return geometry;
}

}  // namespace

Export::Export(ExportOptions options) : options_(std::move(options)), geometry_(geometry_of(options_)) {
  if (Reactor* owner = reactor()) users_ = std::make_unique<InFlight>(owner->ready());
}

Export::~Export() = default;

Reactor* Export::reactor() const {
  const auto* local = std::get_if<LocalTarget>(&options_.target);
  return local != nullptr ? local->reactor : nullptr;
}

BlockDevice* Export::device() const { return std::get<LocalTarget>(options_.target).device; }

const std::string& Export::handover_path() const { return std::get<RemoteTarget>(options_.target).handover_path; }

uint16_t Export::transmission_flags(bool structured_replies) const {
  // All connections of a volume share one device, with one cache or none: multi-conn is true.
  uint16_t flags = wire::flag_has_flags | wire::flag_send_flush | wire::flag_send_fua | wire::flag_can_multi_conn;
  if (geometry_.read_only) flags |= wire::flag_read_only;
  if (geometry_.can_trim && !geometry_.read_only) flags |= wire::flag_send_trim;
  if (geometry_.can_write_zeroes && !geometry_.read_only) flags |= wire::flag_send_write_zeroes;
  if (structured_replies) flags |= wire::flag_send_df;
  return flags;
}

uint32_t Export::maximum_block_size() const {
  // Another process's pool is not known here; its own answer to the option that enters transmission is what counts.
  if (reactor() == nullptr) return request_length_max;
  return static_cast<uint32_t>(std::min<size_t>(request_length_max, reactor()->buffers().piece_max()));
}

ExportUse::ExportUse(std::shared_ptr<Export> held) : held_(std::move(held)) {
  held_->users().add();
  ++held_->connections_;
}

ExportUse::~ExportUse() {
  if (held_ == nullptr) return;  // moved from
  --held_->connections_;
  held_->users().remove();
}

bool ExportTable::add(std::shared_ptr<Export> added) {
  std::lock_guard lock(mutex_);
  const std::string& name = added->name();
  return by_name_.try_emplace(name, added).second;
}

bool ExportTable::remove(const Export& removed) {
  std::lock_guard lock(mutex_);
  const auto found = by_name_.find(removed.name());
  if (found == by_name_.end() || found->second.get() != &removed) return false;
  by_name_.erase(found);
  return true;
}

std::shared_ptr<Export> ExportTable::find(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

std::shared_ptr<Export> ExportTable::find_default() const {
  std::lock_guard lock(mutex_);
  return by_name_.size() == 1 ? by_name_.begin()->second : nullptr;
}

std::vector<std::shared_ptr<Export>> ExportTable::list() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Export>> all;
  for (const auto& [name, exported] : by_name_) all.push_back(exported);
  return all;
}

}  // namespace cairn::nbd
