#include "nbd/export.h"

#include <algorithm>

#include "nbd/limits.h"
#include "nbd/session.h"

namespace cairn::nbd {

// ---- Export ---------------------------------------------------------------------------------------------------------

Export::Export(ExportOptions options) : options_(std::move(options)) {
  if (Reactor* owner = reactor()) users_ = std::make_unique<InFlight>(owner->ready());
}

Export::~Export() = default;

Reactor* Export::reactor() const {
  const auto* local = std::get_if<LocalTarget>(&options_.target);
  return local != nullptr ? local->reactor : nullptr;
}

const std::string& Export::handover_path() const { return std::get<RemoteTarget>(options_.target).handover_path; }

BlockDevice& Export::device() const { return *std::get<LocalTarget>(options_.target).device; }

bool Export::crowded() const {
  const Admission* admission = std::get<LocalTarget>(options_.target).admission;
  return admission != nullptr && admission->crowded();
}

WaitQueue::Wait Export::room() const { return std::get<LocalTarget>(options_.target).admission->room(); }

Geometry Export::geometry_of(const BlockDevice& device) const {
  Geometry geometry = device.geometry();
  geometry.read_only |= options_.read_only || &device != &this->device();
  return geometry;
}

uint32_t Export::payload_max() const {
  return static_cast<uint32_t>(std::min<size_t>(request_length_max, reactor()->buffers().piece_max()));
}

std::vector<SnapshotName> Export::ancestors(const std::string& snapshot) const {
  if (options_.snapshots == nullptr) return {};
  return options_.snapshots->ancestors(snapshot);
}

Task<std::shared_ptr<BlockDevice>> Export::open_snapshot(std::string snapshot) {
  if (options_.snapshots == nullptr) co_return nullptr;
  if (std::shared_ptr<BlockDevice> open = open_snapshots_[snapshot].lock()) co_return open;
  Result<std::unique_ptr<BlockDevice>> opened = co_await options_.snapshots->open_snapshot(snapshot);
  // Somebody else may have opened it meanwhile.
  std::weak_ptr<BlockDevice>& shared = open_snapshots_[snapshot];
  std::shared_ptr<BlockDevice> device = shared.lock();
  if (device == nullptr && opened.ok()) shared = device = std::move(opened.value());
  std::erase_if(open_snapshots_, [](const auto& entry) { return entry.second.expired(); });
  co_return device;
}

ExportDescription Export::describe_device(const BlockDevice& device, const DescriptionQuestion& question) const {
  using Contexts = DescriptionQuestion::Contexts;
  ExportDescription description;
  description.geometry = geometry_of(device);
  description.payload_max = payload_max();
  description.description = options_.description;
  if (question.contexts == Contexts::none) return description;
  const std::vector<SnapshotName> before = ancestors(question.snapshot);
  description.contexts = question.contexts == Contexts::listed ? contexts_listed(question.queries, before)
                                                               : contexts_selected(question.queries, before);
  return description;
}

Task<DescriptionAnswer> Export::describe(DescriptionQuestion question) {
  using Outcome = DescriptionAnswer::Outcome;
  if (removed_) co_return DescriptionAnswer{};
  const InFlightScope use(*users_);
  std::shared_ptr<BlockDevice> snapshot;
  if (!question.snapshot.empty()) {
    snapshot = co_await open_snapshot(question.snapshot);
    if (snapshot == nullptr) co_return DescriptionAnswer{};
  }
  const BlockDevice& described = snapshot != nullptr ? *snapshot : device();
  DescriptionAnswer answer{Outcome::found, describe_device(described, question)};
  snapshot.reset();  // before the hold on the volume
  co_return answer;
}

// ---- Use ------------------------------------------------------------------------------------------------------------

ExportUse::ExportUse(std::shared_ptr<Export> held) : held_(std::move(held)) {
  held_->users().add();
  ++held_->connections_;
}

ExportUse::~ExportUse() {
  if (held_ == nullptr) return;  // moved from
  snapshot_.reset();
  --held_->connections_;
  held_->users().remove();
}

Task<DescriptionAnswer> ExportUse::enter(std::shared_ptr<Export> chosen, DescriptionQuestion question,
                                         std::optional<ExportUse>& use) {
  using Outcome = DescriptionAnswer::Outcome;
  if (chosen->removed()) co_return DescriptionAnswer{};
  if (chosen->connections() >= connections_per_export_max) co_return DescriptionAnswer{Outcome::full, {}};
  use.emplace(chosen);
  use->snapshot_name_ = question.snapshot;
  if (!question.snapshot.empty()) {
    use->snapshot_ = co_await chosen->open_snapshot(question.snapshot);
    if (use->snapshot_ == nullptr) {
      use.reset();
      co_return DescriptionAnswer{};
    }
  }
  DescriptionAnswer answer{Outcome::found, chosen->describe_device(use->device(), question)};
  co_return answer;
}

// ---- Table ----------------------------------------------------------------------------------------------------------

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

ExportName ExportTable::resolve(const std::string& name, const std::string& default_name) const {
  const auto find_or_default = [&](const std::string& part) {
    if (!part.empty()) return find(part);
    return default_name.empty() ? find_default() : find(default_name);
  };
  if (std::shared_ptr<Export> exact = find_or_default(name)) return {std::move(exact), {}};
  for (size_t at = name.rfind('@'); at != std::string::npos;
       at = at == 0 ? std::string::npos : name.rfind('@', at - 1)) {
    if (at + 1 == name.size()) continue;
    if (std::shared_ptr<Export> exported = find_or_default(name.substr(0, at)))
      return {std::move(exported), name.substr(at + 1)};
  }
  return {};
}

std::vector<std::shared_ptr<Export>> ExportTable::list() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Export>> all;
  for (const auto& [name, exported] : by_name_) all.push_back(exported);
  return all;
}

}  // namespace cairn::nbd
