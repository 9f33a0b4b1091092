// Changes of the layer tree: snapshot, removal, revert, close.
#include <algorithm>
#include <chrono>

#include "store/layered_store.h"
#include "store/replica_files.h"
#include "store/saved_index.h"
#include "store/uuid.h"

namespace cairn::store {
namespace {

uint64_t now_ms() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
}

/// A new head over `parent`.
void add_head(VolumeMetadata& metadata, uint32_t parent) {
  LayerMetadata head;
  head.number = metadata.next_layer++;
  head.parent = parent;
  head.created_ms = now_ms();
  metadata.head = head.number;
  metadata.layers.push_back(head);
}

/// The head becomes a snapshot with a new head over it. With an overlay it is the overlay that does: the two are a
/// removed layer and its child again, which an ordinary merge brings together.
void freeze_head(VolumeMetadata& metadata, const std::string& id, const std::string& name) {
  uint32_t top = metadata.head;
  if (metadata.overlay) {
    top = *metadata.overlay;
    LayerMetadata& below = *metadata.layer(metadata.head);
    below.snapshot_id = metadata.layer(top)->snapshot_id;
    below.snapshot_name = metadata.layer(top)->snapshot_name;
    below.removed = true;
    metadata.overlay.reset();
  }
  LayerMetadata& frozen = *metadata.layer(top);
  frozen.snapshot_id = id;
  frozen.snapshot_name = name;
  frozen.created_ms = now_ms();
  frozen.size_bytes = metadata.size_bytes;
  frozen.checksummed = false;
  frozen.removed = false;
  add_head(metadata, top);
}

/// Without the head and the overlay; their numbers.
std::vector<uint32_t> erase_head(VolumeMetadata& metadata) {
  std::vector<uint32_t> erased{metadata.head};
  if (metadata.overlay) erased.push_back(*metadata.overlay);
  metadata.overlay.reset();
  std::erase_if(metadata.layers, [&](const LayerMetadata& layer) {
    return std::find(erased.begin(), erased.end(), layer.number) != erased.end();
  });
  return erased;
}

/// The files of the new head, durable; nothing names them yet.
Result<LayerFiles> make_head(const std::string& directory, const VolumeMetadata& next, bool direct) {
  Result<LayerFiles> made = create_layer(directory, next.head, next);
  if (!made.ok()) return made.error();
  Result<LayerFiles> opened = open_layer(directory, next.head, next.block_count(), direct);
  if (!opened.ok()) return opened;
  opened.value().stamps = std::move(made.value().stamps);
  if (!direct) return opened;
  Result<UniqueFd> cached = open_cached(directory, next.head);
  if (!cached.ok()) return cached.error();
  opened.value().cached = std::move(cached.value());
  return opened;
}

/// With the metadata that will name them beside it, not yet in force. Staging syncs the directory, the files' names
/// with it.
Result<LayerFiles> prepare_head(const std::string& directory, const VolumeMetadata& next, bool direct) {
  const Result<Unit> reserved = keep_reserve(directory);
  if (!reserved.ok()) return reserved.error();
  Result<LayerFiles> made = make_head(directory, next, direct);
  if (!made.ok()) return made.error();
  const Result<Unit> staged = stage_metadata(directory, next);
  if (!staged.ok()) return staged.error();
  return made;
}

Error snapshot_missing(const std::string& id) { return {"SNAPSHOT_MISSING", "there is no snapshot " + id}; }

}  // namespace

uint16_t LayeredStore::take_slot() {
  for (size_t slot = 1; slot < slots_.size(); ++slot)
    if (slots_[slot] == nullptr) return static_cast<uint16_t>(slot);
  slots_.emplace_back();
  return static_cast<uint16_t>(slots_.size() - 1);
}

LayeredStore::OpenLayer* LayeredStore::install(LayerFiles files) {
  const uint16_t slot = take_slot();
  slots_[slot] = std::make_unique<OpenLayer>(reactor_, std::move(files), slot);
  return slots_[slot].get();
}

/// After open layers or the metadata have changed.
void LayeredStore::find_head() {
  ++tree_version_;
  head_ = find_open(metadata_.head);
  overlay_ = metadata_.overlay ? find_open(*metadata_.overlay) : nullptr;
  CAIRN_ASSERT(head_ != nullptr && (overlay_ != nullptr) == metadata_.overlay.has_value());
}

/// What memory knows better than the maps of the layers that have been written so far goes to the next sync.
void LayeredStore::capture_all() {
  pending_images_.push_back(capture(head(), dirty_));
  if (overlay_ != nullptr) pending_images_.push_back(capture(*overlay_, overlay_dirty_));
}

/// No new write begins, and those under way have ended.
Task<> LayeredStore::quiesce() {
  gate_closed_ = true;
  co_await mutations_.wait_idle();
}

void LayeredStore::release() {
  gate_closed_ = false;
  gate_.wake_all();
}

Task<Result<Unit>> LayeredStore::create_snapshot(std::string id, std::string name) {
  if (!parse_uuid(id)) co_return Error{"INVALID_ARGUMENT", "a snapshot's id must be a UUID"};
  if (name.empty()) co_return Error{"INVALID_ARGUMENT", "a snapshot needs a name"};
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (metadata_.snapshot(id) != nullptr) co_return Error{"SNAPSHOT_EXISTS", "there is a snapshot " + id + " already"};
  if (metadata_.snapshot_named(name) != nullptr)
    co_return Error{"SNAPSHOT_EXISTS", "there is a snapshot named " + name + " already: choose another name"};
  if (metadata_.layers.size() >= layer_count_max)
    co_return Error{"INVALID_ARGUMENT", "the volume has the most layers it can have: delete snapshots first"};
  if (!failure_.empty()) co_return Error{"EIO", failure_};

  VolumeMetadata next = metadata_;
  freeze_head(next, id, name);
  // Synced ahead, so that little is left to do after the cut, and a full disk is met while nothing has changed.
  const Status synced = co_await sync_all();
  if (!synced.ok()) co_return Error{errno_code(synced.error()), "the volume could not be flushed: " + synced.message()};
  Result<LayerFiles> new_head =
      co_await Offload(blocking_, reactor_, [&] { return prepare_head(directory_, next, direct_); });
  if (!new_head.ok()) {
    co_await Offload(blocking_, reactor_, [&] { return remove_layer_files(directory_, next.head), 0; });
    co_return new_head.error();
  }
  const Result<Unit> done = co_await cut(std::move(next), std::move(new_head.value()));
  if (!done.ok()) co_return done;
  const Status durable = co_await settle_former_head();
  if (!durable.ok())
    co_return Error{errno_code(durable.error()), "the snapshot could not be made durable: " + durable.message()};
  close_frozen_maps();
  look_later(checksum_delay);
  co_return Unit{};
}

/// The moment of the snapshot. Writers wait from the drain to the switch, which is one rename: all that could be slow
/// has been done before, what must be durable is made so after, and it waits for no merge of this or another volume.
Task<Result<Unit>> LayeredStore::cut(VolumeMetadata next, LayerFiles new_head) {
  co_await quiesce();
  const auto publish = [&] { return publish_metadata(directory_); };
  const Result<Unit> published = co_await Offload(blocking_, reactor_, publish, Urgency::urgent);
  if (!published.ok()) {
    release();
    co_await Offload(blocking_, reactor_, [&] { return remove_layer_files(directory_, next.head), 0; });
    co_return published;
  }
  capture_all();
  install(std::move(new_head));
  metadata_ = std::move(next);
  find_head();
  directory_dirty_ = true;
  release();
  co_return Unit{};
}

/// Replaces volume.json, durably. When only the last step fails, nobody knows which of the two is found after a crash:
/// the store has failed, and the files of both trees must stay.
Task<Result<Unit>> LayeredStore::replace_metadata(VolumeMetadata next) {
  bool published = false;
  const Result<Unit> done = co_await Offload(blocking_, reactor_, [&] {
    Result<Unit> replaced = stage_metadata(directory_, next);
    if (replaced.ok()) replaced = publish_metadata(directory_);
    published = replaced.ok();
    return published ? sync_directory(directory_) : replaced;
  });
  if (done.ok()) {
    metadata_ = std::move(next);
    ++tree_version_;
  } else if (published) {
    fail("syncing the directory", Status::from_errno(EIO));
  }
  co_return done;
}

Task<Result<Unit>> LayeredStore::delete_snapshot(std::string id) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  const LayerMetadata* layer = metadata_.snapshot(id);
  if (layer == nullptr || layer->removed) co_return snapshot_missing(id);
  if (pins_->snapshots.contains(id))
    co_return Error{"SNAPSHOT_IN_USE",
                    "a client reads snapshot " + layer->snapshot_name + ": disconnect it, then delete the snapshot"};
  if (!failure_.empty()) co_return Error{"EIO", failure_};
  VolumeMetadata next = metadata_;
  next.layer(layer->number)->removed = true;
  Result<Unit> done = co_await replace_metadata(next);
  if (!done.ok() && done.error().code == "ENOSPC" && failure_.empty()) {
    const bool room = co_await Offload(blocking_, reactor_, [&] { return release_reserve(directory_); });
    if (room) done = co_await replace_metadata(std::move(next));
  }
  if (done.ok()) maintain();
  co_return done;
}

Task<Result<Unit>> LayeredStore::revert(std::string id) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  const LayerMetadata* target = metadata_.snapshot(id);
  if (target == nullptr || target->removed) co_return snapshot_missing(id);
  VolumeMetadata next = metadata_;
  erase_head(next);
  add_head(next, target->number);
  co_await quiesce();
  // What the old head holds is about to go; its sync is for the snapshots below, whose last images may be pending.
  const Status synced = co_await sync_all();
  Result<Unit> done = Unit{};
  if (synced.ok())
    done = co_await restart_on(std::move(next));
  else
    done = Error{errno_code(synced.error()), "the volume could not be flushed: " + synced.message()};
  release();
  if (done.ok()) maintain();
  co_return done;
}

/// Nothing reads or syncs the open layers any more, without a moment between this and what the caller does next.
Task<> LayeredStore::release_layers() {
  const auto busy = [](const std::unique_ptr<OpenLayer>& layer) {
    return layer != nullptr && layer->readers.count() > 0;
  };
  for (;;) {
    const auto layer = std::find_if(slots_.begin(), slots_.end(), busy);
    if (syncing_)
      co_await sync_progress_.wait();
    else if (layer != slots_.end())
      co_await (*layer)->readers.wait_idle();
    else
      break;
  }
  CAIRN_ASSERT(pending_images_.empty());
}

Task<> LayeredStore::remove_files(std::vector<uint32_t> numbers) {
  co_await Offload(blocking_, reactor_, [&] {
    for (const uint32_t number : numbers) remove_layer_files(directory_, number);
    return 0;
  });
}

/// Switches to another chain: new metadata, its files, its index.
Task<Result<Unit>> LayeredStore::restart_on(VolumeMetadata next) {
  VolumeMetadata without_head = metadata_;
  const std::vector<uint32_t> gone = erase_head(without_head);
  struct Chain {
    std::vector<LayerFiles> files;
    std::unique_ptr<ReadIndex> index;
  };
  Result<Chain> opened = co_await Offload(blocking_, reactor_, [&]() -> Result<Chain> {
    Chain chain;
    Result<LayerFiles> new_head = make_head(directory_, next, direct_);
    if (!new_head.ok()) return new_head.error();
    for (const LayerMetadata* layer : next.chain()) {
      Result<LayerFiles> files = open_layer(directory_, layer->number, 0, direct_);
      if (!files.ok()) return files.error();
      chain.files.push_back(std::move(files.value()));
    }
    CAIRN_ASSERT(chain.files.back().number == next.head);
    chain.files.back().stamps = std::move(new_head.value().stamps);
    chain.files.back().cached = std::move(new_head.value().cached);
    Result<std::unique_ptr<ReadIndex>> index = build_index(directory_, chain.files, next.block_count());
    if (!index.ok()) return index.error();
    chain.index = std::move(index.value());
    return chain;
  });
  const uint32_t new_head = next.head;
  Result<Unit> done = Unit{};
  if (!opened.ok()) done = opened.error();
  if (done.ok()) done = co_await replace_metadata(std::move(next));
  if (!done.ok()) {
    if (failure_.empty())
      co_await Offload(blocking_, reactor_, [&] { return remove_layer_files(directory_, new_head), 0; });
    co_return done;
  }
  const AsyncMutex::Guard settled = co_await settling_.lock();
  co_await release_layers();
  ++chain_generation_;
  slots_.clear();
  slots_.emplace_back();
  for (LayerFiles& files : opened.value().files) install(std::move(files));
  find_head();
  index_ = std::move(opened.value().index);
  close_frozen_maps();
  co_await remove_files(gone);
  co_return Unit{};
}

Task<Result<Unit>> LayeredStore::close(bool anyway) {
  stopping_ = true;
  look_again_timer_.stop();
  co_await maintenance_.wait_idle();
  const AsyncMutex::Guard guard = co_await structure_.lock();
  co_await quiesce();
  sweep_timer_.stop();
  const Status synced = co_await settle_for_close();
  co_await ring_.wait_idle();
  co_await maintenance_.wait_idle();
  // A store that has failed has said so, and closing it is what helps: it is left as a crash would leave it.
  if (!failure_.empty()) co_return Unit{};
  if (!synced.ok()) {
    if (!anyway) {
      stopping_ = false;
      release();
      maintain();
      sweep_timer_.start(sweep_interval, true);
    }
    co_return Error{errno_code(synced.error()), "the volume could not be flushed (" + synced.message() +
                                                    ") and stays open: free space in its pool, then try again"};
  }
  if (index_->page_bytes() >= saved_index_page_bytes_min) co_await keep_index();
  superblock_.clean = 1;
  superblock_.stable = newest_stamp();
  const Result<Unit> marked = co_await Offload(blocking_, reactor_, [&] {
    return write_superblock(superblock_file_.fd(), superblock_path(directory_), superblock_);
  });
  if (!marked.ok())
    fail("marking the replica clean", Status::from_errno(EIO));  // all is flushed; the next open recovers
  co_return Unit{};
}

/// For the next open, which reads the maps where this could not be written.
Task<> LayeredStore::keep_index() {
  IndexedChain chain{superblock_.ring_session, {}};
  std::vector<uint16_t> places(slots_.size());
  for (const LayerMetadata* layer : metadata_.open_chain()) {
    places[find_open(layer->number)->slot] = static_cast<uint16_t>(chain.layers.size());
    chain.layers.push_back(layer->number);
  }
  co_await Offload(blocking_, reactor_, [&] {
    const Result<Unit> saved = save_index(directory_, *index_, chain, places);
    if (!saved.ok()) (void)remove_file(saved_index_path(directory_)).ok();
    return 0;
  });
}

std::vector<LayerStatus> LayeredStore::layers() const {
  std::map<uint32_t, std::string> ids;
  for (const LayerMetadata& layer : metadata_.layers)
    ids[layer.number] = layer.number == metadata_.head ? "head-" + std::to_string(layer.number) : layer.snapshot_id;
  std::set<uint32_t> chain;
  for (const LayerMetadata* layer : metadata_.open_chain()) chain.insert(layer->number);
  std::vector<LayerStatus> found;
  for (const LayerMetadata& layer : metadata_.layers) {
    LayerStatus status;
    status.number = layer.number;
    status.id = ids[layer.number];
    if (layer.parent) status.parent = ids[*layer.parent];
    status.name = layer.snapshot_name;
    status.removed = layer.removed;
    status.in_chain = chain.contains(layer.number);
    status.checksummed = layer.checksummed;
    status.created_ms = layer.created_ms;
    if (layer.removed && merging_ == layer.number) status.merge_progress = merge_progress_;
    found.push_back(std::move(status));
  }
  // The head last, also when a merge has put others behind it.
  std::stable_partition(found.begin(), found.end(),
                        [this](const LayerStatus& s) { return s.number != metadata_.head; });
  return found;
}

}  // namespace cairn::store
