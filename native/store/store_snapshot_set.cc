// The snapshots of a store as devices, and as points in time that changes are told since.
#include <algorithm>

#include "store/layered_store.h"
#include "store/replica_files.h"

namespace cairn::store {

/// Layers change their numbers in merges; a reference stays the snapshot's as long as the store is open.
uint32_t LayeredStore::reference_of(const std::string& id) const {
  const auto next = static_cast<uint32_t>(references_.size() + 1);
  return references_.try_emplace(id, next).first->second;
}

std::vector<SnapshotName> LayeredStore::names_of(std::vector<const LayerMetadata*> layers) const {
  std::erase_if(layers, [](const LayerMetadata* layer) { return layer->snapshot_id.empty() || layer->removed; });
  std::stable_sort(layers.begin(), layers.end(),
                   [](const LayerMetadata* a, const LayerMetadata* b) { return a->created_ms < b->created_ms; });
  std::vector<SnapshotName> names;
  for (const LayerMetadata* layer : layers) names.push_back({layer->snapshot_name, reference_of(layer->snapshot_id)});
  return names;
}

std::vector<SnapshotName> LayeredStore::snapshots() const {
  std::vector<const LayerMetadata*> all;
  for (const LayerMetadata& layer : metadata_.layers) all.push_back(&layer);
  return names_of(std::move(all));
}

std::vector<SnapshotName> LayeredStore::ancestors(const std::string& of) const {
  if (of.empty()) return names_of(metadata_.chain());
  const LayerMetadata* snapshot = metadata_.snapshot_named(of);
  if (snapshot == nullptr || !snapshot->parent) return {};
  return names_of(metadata_.chain_of(*snapshot->parent));
}

Task<Result<std::unique_ptr<BlockDevice>>> LayeredStore::open_snapshot(std::string name) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  const LayerMetadata* snapshot = metadata_.snapshot_named(name);
  if (snapshot == nullptr) co_return Error{"SNAPSHOT_MISSING", "there is no snapshot named " + name};
  // A layer that has just been frozen may be known to memory alone.
  const Status settled = co_await settle_layers();
  if (!settled.ok())
    co_return Error{errno_code(settled.error()), "the volume could not be flushed: " + settled.message()};
  SnapshotChain chain;
  chain.id = snapshot->snapshot_id;
  chain.size_bytes = snapshot->size_bytes == 0 ? metadata_.size_bytes : snapshot->size_bytes;
  chain.block_size = metadata_.block_size;
  chain.alignment = alignment_;
  const std::vector<const LayerMetadata*> layers = metadata_.chain_of(snapshot->number);
  for (size_t i = 0; i < layers.size(); ++i)
    if (!layers[i]->removed) chain.positions[reference_of(layers[i]->snapshot_id)] = i;
  const Result<Unit> opened = co_await Offload(blocking_, reactor_, [&] { return open_chain(layers, chain); });
  if (!opened.ok()) co_return opened.error();
  std::unique_ptr<BlockDevice> device = std::make_unique<SnapshotDevice>(reactor_, std::move(chain), pins_);
  co_return device;
}

/// On the thread that may block; the structure is locked.
Result<Unit> LayeredStore::open_chain(const std::vector<const LayerMetadata*>& layers, SnapshotChain& chain) const {
  for (const LayerMetadata* layer : layers) {
    Result<LayerFiles> files = open_layer(directory_, layer->number, 0, direct_);
    if (!files.ok()) return files.error();
    chain.files.push_back(std::move(files.value()));
  }
  Result<std::unique_ptr<ReadIndex>> index = build_index(directory_, chain.files, chain.size_bytes / store_block_size);
  if (!index.ok()) return index.error();
  chain.index = std::move(index.value());
  return Unit{};
}

/// By slot: whether what is there was there when the snapshot was taken. Null: the volume does not descend from it.
const std::vector<bool>* LayeredStore::unchanged_since(uint32_t reference) {
  if (unchanged_.reference == reference && unchanged_.tree_version == tree_version_) return &unchanged_.slots;
  const auto named = std::find_if(references_.begin(), references_.end(),
                                  [reference](const auto& entry) { return entry.second == reference; });
  const LayerMetadata* snapshot = named == references_.end() ? nullptr : metadata_.snapshot(named->first);
  if (snapshot == nullptr || snapshot->removed) return nullptr;
  std::set<uint32_t> below;
  for (const LayerMetadata* layer : metadata_.chain_of(snapshot->number)) below.insert(layer->number);
  const std::vector<const LayerMetadata*> chain = metadata_.chain();
  if (std::none_of(chain.begin(), chain.end(), [&](const LayerMetadata* layer) { return layer == snapshot; }))
    return nullptr;
  unchanged_.reference = reference;
  unchanged_.tree_version = tree_version_;
  unchanged_.slots.assign(slots_.size(), false);
  for (const auto& layer : slots_)
    if (layer != nullptr && below.contains(layer->number)) unchanged_.slots[layer->slot] = true;
  return &unchanged_.slots;
}

Task<Status> LayeredStore::block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                        std::vector<Extent>& extents) {
  const std::vector<bool>* unchanged = query.since ? unchanged_since(*query.since) : nullptr;
  if (query.since && unchanged == nullptr) co_return Status::from_errno(EINVAL);
  append_extents(*index_, offset, length, unchanged, extents_max, extents);
  co_return Status();
}

}  // namespace cairn::store
