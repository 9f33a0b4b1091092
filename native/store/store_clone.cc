// Clones: a new replica over links to a snapshot's layer files, and the copying that makes such files its own.
//
// A file with several names is never written: merges of such layers wait until the other names are gone, by the other
// replica's deletion or by a copy here. Who has the other names does not matter.
#include <algorithm>

#include "store/layered_store.h"
#include "store/private_copy.h"
#include "store/replica_files.h"

namespace cairn::store {
namespace {

/// What could not be completed gives its space back.
bool discard_all(const std::vector<PrivateCopy>& copies) {
  bool all = true;
  for (const PrivateCopy& copy : copies)
    if (copy.needed()) all = copy.discard().ok() && all;
  return all;
}

}  // namespace

/// volume.json of the clone comes last: what is cut short is no replica, and is removed by the next attempt.
Task<Result<Unit>> LayeredStore::clone(CloneTarget target) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  const LayerMetadata* snapshot = metadata_.snapshot(target.snapshot_id);
  if (snapshot == nullptr || snapshot->removed)
    co_return Error{"SNAPSHOT_MISSING", "there is no snapshot " + target.snapshot_id};
  if (!failure_.empty()) co_return Error{"EIO", failure_};
  const Status settled = co_await settle_layers();
  if (!settled.ok())
    co_return Error{errno_code(settled.error()), "the volume could not be flushed: " + settled.message()};
  NewReplica replica;
  replica.directory = target.directory;
  replica.volume_id = target.volume_id;
  replica.replica_id = target.replica_id;
  replica.size_bytes = snapshot->size_bytes == 0 ? metadata_.size_bytes : snapshot->size_bytes;
  replica.block_size = metadata_.block_size;
  LinkedLayers linked;
  linked.directory = directory_;
  for (const LayerMetadata* layer : metadata_.chain_of(snapshot->number)) linked.chain.push_back(*layer);
  linked.next_layer = metadata_.next_layer;
  co_return co_await Offload(blocking_, reactor_, [&] { return create_replica(replica, linked); });
}

Task<Result<Unit>> LayeredStore::flatten() {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (!failure_.empty()) co_return Error{"EIO", failure_};
  if (metadata_.flattening) co_return Unit{};
  VolumeMetadata next = metadata_;
  next.flattening = true;
  flattened_.clear();
  flatten_progress_ = 0;
  const Result<Unit> marked = co_await replace_metadata(std::move(next));
  if (marked.ok()) maintain();
  co_return marked;
}

/// One layer's files, or the end of it all. Each layer once: what is linked again meanwhile is another clone's affair.
Task<Result<LayeredStore::Outcome>> LayeredStore::flatten_next() {
  std::vector<uint32_t> left;
  for (const LayerMetadata& layer : metadata_.layers)
    if (!flattened_.contains(layer.number)) left.push_back(layer.number);
  const std::vector<uint32_t> shared = co_await Offload(blocking_, reactor_, [&] {
    std::erase_if(left, [this](uint32_t number) { return !layer_shared(directory_, number); });
    return left;
  });
  if (shared.empty()) co_return co_await end_flatten();
  const auto next = std::find_if(shared.begin(), shared.end(), [this](uint32_t n) { return !uncopyable_.contains(n); });
  flatten_waits_ = next == shared.end();
  if (flatten_waits_) co_return Outcome::waits;
  const uint32_t number = *next;
  flattening_left_ = shared.size();
  const Result<Outcome> copied = co_await make_private(number);
  if (!copied.ok() && (copied.error().code == "ENOSPC" || copied.error().code == "REPLICA_CORRUPT"))
    co_return flatten_later(number, copied.error());
  if (!copied.ok())
    co_return Error{copied.error().code, "copying the files of layer " + std::to_string(number) + " stopped: " +
                                             copied.error().message + "; it goes on when the volume is attached again"};
  if (uncopyable_.empty()) flatten_problem_.clear();
  flattened_.insert(number);
  look_again_ = true;  // merges that waited for this layer
  co_return copied;
}

/// Space is others' first: it is looked for again when something has changed, or in a while. Damage is for people to
/// mend; looking at it again would only keep the disk busy.
LayeredStore::Outcome LayeredStore::flatten_later(uint32_t number, const Error& error) {
  flatten_problem_ = error.message;
  if (error.code == "ENOSPC") {
    flatten_waits_ = true;
    report_no_space(error.message);
    return Outcome::waits;
  }
  uncopyable_.insert(number);
  on_event_({StoreEvent::Kind::damaged, "flattening waits: " + error.message});
  return Outcome::changed;
}

Task<Result<LayeredStore::Outcome>> LayeredStore::end_flatten() {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
  // Half a copy of what became the volume's own by itself.
  std::vector<std::string> copies;
  for (const LayerMetadata& layer : metadata_.layers)
    for (std::string& copy : PrivateCopy::paths_of(directory_, layer.number)) copies.push_back(std::move(copy));
  co_await Offload(blocking_, reactor_, [&] {
    for (const std::string& copy : copies) (void)remove_file(copy).ok();
    return 0;
  });
  VolumeMetadata next = metadata_;
  next.flattening = false;
  const Result<Unit> replaced = co_await replace_metadata(std::move(next));
  if (!replaced.ok()) co_return replaced.error();
  flattened_.clear();
  flatten_problem_.clear();
  flatten_progress_ = 1;
  on_event_({StoreEvent::Kind::flatten_finished, "the volume shares no layers any more"});
  co_return Outcome::changed;
}

/// A copy gets checksums of its own later: damage must not be in it then.
Task<Result<Unit>> LayeredStore::verify_before_copy(uint32_t number) {
  const LayerMetadata* layer = metadata_.layer(number);
  if (layer == nullptr || !layer->checksummed) co_return Unit{};
  LayerScrubber scrubber;
  ScrubStatus found;
  const std::string name = "layer " + std::to_string(number);
  Result<Unit> done =
      co_await Offload(blocking_, reactor_, [&] { return scrubber.begin(directory_, number, name, true); });
  while (done.ok() && !scrubber.whole()) {
    if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
    WorkingSince since = Reactor::Clock::now();
    done = co_await Offload(blocking_, reactor_, [&] { return scrubber.step(found); });
    co_await pace(since);
  }
  if (done.ok() && found.blocks_damaged > 0)
    co_return Error{"REPLICA_CORRUPT", "what is shared is damaged, and is not copied: " + found.findings.front() +
                                           ", then detach this volume and attach it"};
  co_return done;
}

Task<Result<LayeredStore::Outcome>> LayeredStore::make_private(uint32_t number) {
  const Result<Unit> sound = co_await verify_before_copy(number);
  if (!sound.ok()) co_return sound.error();
  const double before = flatten_progress_;
  const double share = (1 - before) / static_cast<double>(flattening_left_);
  std::vector<PrivateCopy> copies(layer_file_suffixes.size());
  for (size_t i = 0; i < copies.size(); ++i) {
    PrivateCopy& copy = copies[i];
    const std::string path = layer_path(directory_, number, layer_file_suffixes[i]);
    Result<Unit> done = co_await Offload(blocking_, reactor_, [&] { return copy.begin(path); });
    while (done.ok() && copy.needed() && !copy.whole()) {
      if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
      WorkingSince since = Reactor::Clock::now();
      done = co_await Offload(blocking_, reactor_, [&] { return copy.step(); });
      if (i == 0)
        flatten_progress_ = before + share * static_cast<double>(copy.copied()) / static_cast<double>(copy.size());
      co_await pace(since);
    }
    if (!done.ok() && done.error().code == "ENOSPC")
      co_await Offload(blocking_, reactor_, [&] { return discard_all(copies); });
    if (!done.ok()) co_return done.error();
  }
  co_return co_await use_private(number, copies);
}

/// From the first rename on the files that are open are the other replicas' alone: nothing may come in between.
Task<Result<LayeredStore::Outcome>> LayeredStore::use_private(uint32_t number, std::vector<PrivateCopy>& copies) {
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (metadata_.layer(number) == nullptr) co_return Outcome::changed;
  if (scrubbing_ == number) scrubbing_.reset();  // it reads files that are others' alone from now on
  OpenLayer* layer = find_open(number);
  Result<LayerFiles> opened = co_await Offload(blocking_, reactor_, [&]() -> Result<LayerFiles> {
    Result<Unit> done = Unit{};
    for (const PrivateCopy& copy : copies)
      if (done.ok() && copy.needed()) done = copy.publish();
    if (done.ok()) done = sync_directory(directory_);
    if (!done.ok()) return done.error();
    return open_layer(directory_, number, 0, direct_);
  });
  if (!opened.ok()) {
    if (layer != nullptr) fail("changing to the volume's own files", Status::from_errno(EIO));
    co_return opened.error();
  }
  if (layer == nullptr) co_return Outcome::done;
  const File old_data = std::exchange(layer->data, reactor_.adopt(std::move(opened.value().data)));
  if (layer->map.valid()) layer->map = reactor_.adopt(std::move(opened.value().map));
  co_await layer->readers.wait_present();  // who began with the old files ends with them; they hold the same
  co_return Outcome::done;
}

}  // namespace cairn::store
