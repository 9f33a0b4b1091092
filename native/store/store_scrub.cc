// Checksums and lists of runs of frozen layers, made in the background, and the scrub that verifies what the disk has.
#include <unistd.h>

#include <algorithm>

#include "store/layered_store.h"
#include "store/private_copy.h"
#include "store/replica_files.h"
#include "store/run_list.h"

namespace cairn::store {
namespace {

/// So many layers' checksums are noted in volume.json at once.
constexpr size_t checksummed_at_once = 64;

std::string name_of(const LayerMetadata& layer) {
  return "snapshot " + layer.snapshot_name + " (layer " + std::to_string(layer.number) + ")";
}

}  // namespace

// ---- Checksums ------------------------------------------------------------------------------------------------------

bool LayeredStore::lacks_sums(const LayerMetadata& layer) const {
  return !layer.checksummed && !summed_.contains(layer.number) && !unsummable_.contains(layer.number);
}

/// The first frozen layer that lacks something. Removed ones that are still there when this is asked stay for long:
/// others have them too.
template <typename Lacks>
std::optional<uint32_t> LayeredStore::next_frozen(Lacks lacks) const {
  for (const LayerMetadata& layer : metadata_.layers)
    if (layer.number != metadata_.head && layer.number != metadata_.overlay && lacks(layer)) return layer.number;
  return std::nullopt;
}

/// Lists first: they take little, and the next opening may need them all.
Task<Result<LayeredStore::Outcome>> LayeredStore::describe_next() {
  if (!checksums_due_ || summed_.size() >= checksummed_at_once) co_return co_await note_summed();
  const auto lacks_list = [this](const LayerMetadata& layer) { return !listed_.contains(layer.number); };
  if (const std::optional<uint32_t> layer = next_frozen(lacks_list)) co_return co_await list_layer(*layer);
  const auto lacks_its_sums = [this](const LayerMetadata& layer) { return lacks_sums(layer); };
  if (const std::optional<uint32_t> layer = next_frozen(lacks_its_sums)) co_return co_await sum_layer(*layer);
  co_return co_await note_summed();
}

Task<Result<LayeredStore::Outcome>> LayeredStore::sum_layer(uint32_t number) {
  SumBuilder builder;
  const Result<Outcome> summed = co_await build_for(number, builder);
  if (summed.ok() && summed.value() == Outcome::done) summed_.insert(number);
  if (summed.ok() || summed.error().code == "CLOSED" || summed.error().code == "ENOSPC") co_return summed;
  // Merges and the other layers go on; a scrub says where the damage is.
  unsummable_.insert(number);
  on_event_({StoreEvent::Kind::failed, "no checksums can be made for layer " + std::to_string(number) + ": " +
                                           summed.error().message + "; scrub the volume"});
  co_return Outcome::changed;
}

/// An opening can do without: what is damaged, a scrub says.
Task<Result<LayeredStore::Outcome>> LayeredStore::list_layer(uint32_t number) {
  RunListBuilder builder;
  const Result<Outcome> listed = co_await build_for(number, builder);
  const bool later = !listed.ok() && (listed.error().code == "CLOSED" || listed.error().code == "ENOSPC");
  if (later || (listed.ok() && listed.value() != Outcome::done)) co_return listed;
  listed_.insert(number);
  co_return Outcome::changed;
}

/// Gives way to merges; what is done of checksums stays.
template <typename Builder>
Task<Result<LayeredStore::Outcome>> LayeredStore::build_for(uint32_t number, Builder& builder) {
  Result<Unit> done = Unit{};
  {
    const AsyncMutex::Guard guard = co_await structure_.lock();
    const Status settled = co_await settle_layers();
    if (!settled.ok()) co_return Error{errno_code(settled.error()), settled.message()};
    if (metadata_.layer(number) == nullptr) co_return Outcome::changed;
    done = co_await Offload(blocking_, reactor_, [&] { return builder.begin(directory_, number); });
  }
  while (done.ok() && !builder.whole()) {
    if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
    if (look_again_) co_return Outcome::changed;
    WorkingSince since = Reactor::Clock::now();
    done = co_await Offload(blocking_, reactor_, [&] { return builder.step(); });
    co_await pace(since);
  }
  if (done.ok()) done = co_await Offload(blocking_, reactor_, [&] { return builder.finish(directory_); });
  if (!done.ok()) co_return done.error();
  co_return Outcome::done;
}

Task<Result<LayeredStore::Outcome>> LayeredStore::note_summed() {
  if (summed_.empty()) {
    checksums_due_ = false;
    co_return Outcome::nothing;
  }
  const AsyncMutex::Guard guard = co_await structure_.lock();
  if (stopping_) co_return Error{"CLOSED", "the volume is closing"};
  VolumeMetadata next = metadata_;
  for (LayerMetadata& layer : next.layers)
    if (summed_.contains(layer.number) && layer.number != next.head && layer.number != next.overlay)
      layer.checksummed = true;
  const Result<Unit> noted = co_await replace_metadata(std::move(next));
  if (!noted.ok()) co_return noted.error();
  summed_.clear();
  co_return Outcome::changed;
}

/// Before layers change: checksums that are not whole, lists of runs, and copies of what others had too, would be of
/// what they were. Durable, for whoever finds them later uses them.
Task<Result<Unit>> LayeredStore::drop_partial_files(std::vector<uint32_t> numbers) {
  std::vector<std::string> partial;
  for (const uint32_t number : numbers) {
    summed_.erase(number);
    listed_.erase(number);
    partial.push_back(run_list_path(directory_, number));
    if (!metadata_.layer(number)->checksummed) partial.push_back(layer_path(directory_, number, ".sum"));
    for (std::string& copy : PrivateCopy::paths_of(directory_, number)) partial.push_back(std::move(copy));
  }
  co_return co_await Offload(blocking_, reactor_, [&]() -> Result<Unit> {
    for (const std::string& path : partial) {
      Result<Unit> done = remove_file(path);
      if (!done.ok()) return done;
    }
    // Also where none was left: an attempt before this one may have removed them, and failed to sync.
    return sync_directory(directory_);
  });
}

/// A layer that will be written: it has no checksums from now on.
Task<Result<Unit>> LayeredStore::forget_sums(uint32_t number) {
  if (metadata_.layer(number)->checksummed) {
    VolumeMetadata next = metadata_;
    next.layer(number)->checksummed = false;
    const Result<Unit> replaced = co_await replace_metadata(std::move(next));
    if (!replaced.ok()) co_return replaced;
  }
  const std::vector<uint32_t> one(1, number);
  if (scrubbing_ == number) scrubbing_.reset();
  co_return co_await drop_partial_files(one);
}

// ---- Scrub ----------------------------------------------------------------------------------------------------------

Result<Unit> LayeredStore::start_scrub() {
  if (scrub_.state == ScrubStatus::State::running)
    return Error{"SCRUB_RUNNING", "a scrub of this volume runs already: wait for it to end"};
  if (stopping_) return Error{"CLOSED", "the volume is closing"};
  scrub_ = {};
  scrub_.state = ScrubStatus::State::running;
  maintenance_.add();
  run_detached(scrub(), [this] { maintenance_.remove(); });
  return Unit{};
}

Task<> LayeredStore::scrub() {
  Status settled;
  {
    const AsyncMutex::Guard guard = co_await structure_.lock();
    settled = co_await settle_layers();
  }
  std::vector<uint32_t> numbers;
  for (const LayerMetadata& layer : metadata_.layers)
    if (layer.number != metadata_.head) numbers.push_back(layer.number);
  for (size_t i = 0; i < numbers.size() && settled.ok() && !stopping_; ++i) {
    const double before = static_cast<double>(i) / static_cast<double>(numbers.size());
    co_await scrub_layer(numbers[i], before, 1.0 / static_cast<double>(numbers.size()));
  }
  if (stopping_ || !settled.ok()) {
    scrub_.state = ScrubStatus::State::stopped;
    co_return;
  }
  scrub_.progress = 1;
  scrub_.state = ScrubStatus::State::finished;
  if (scrub_.blocks_damaged > 0)
    on_event_({StoreEvent::Kind::damaged,
               std::to_string(scrub_.blocks_damaged) + " blocks are damaged: " + scrub_.findings.front()});
  on_event_({StoreEvent::Kind::scrub_finished, std::to_string(scrub_.blocks_checked) + " blocks checked, " +
                                                   std::to_string(scrub_.blocks_damaged) + " damaged, " +
                                                   std::to_string(scrub_.blocks_unverified) + " without checksums, " +
                                                   std::to_string(scrub_.repaired) + " map sectors repaired"});
}

/// What a merge moves is not scrubbed: neither a removed layer nor its child. One that another replica has too is not
/// moved.
Task<bool> LayeredStore::may_scrub(uint32_t number) {
  const LayerMetadata* layer = metadata_.layer(number);
  if (layer == nullptr || number == metadata_.head || number == metadata_.overlay) co_return false;
  const bool below_removed = layer->parent && metadata_.layer(*layer->parent)->removed;
  if (!layer->removed && !below_removed) co_return true;
  const bool is_removed = layer->removed;
  const uint32_t below = layer->parent.value_or(number);
  const bool shared = co_await Offload(blocking_, reactor_, [&] {
    return layer_shared(directory_, number) || (!is_removed && layer_shared(directory_, below));
  });
  co_return shared;
}

Task<> LayeredStore::scrub_layer(uint32_t number, double before, double share) {
  LayerScrubber scrubber;
  Result<Unit> done = Unit{};
  for (bool begun = false; done.ok() && !stopping_ && (!begun || !scrubber.whole()); begun = true) {
    WorkingSince since = Reactor::Clock::now();
    {
      const AsyncMutex::Guard guard = co_await structure_.lock();
      if (!begun) scrubbing_ = number;
      // Between two steps it may have been the head, written, and frozen again.
      const bool stays = co_await may_scrub(number);
      if (!stays || scrubbing_ != number) co_return;
      const LayerMetadata& layer = *metadata_.layer(number);
      const std::string name = name_of(layer);
      const bool checksummed = layer.checksummed;
      ScrubStatus next = scrub_;  // the present one is asked for on this thread meanwhile
      done = co_await Offload(blocking_, reactor_, [&] {
        return begun ? scrubber.step(next) : scrubber.begin(directory_, number, name, checksummed);
      });
      std::swap(scrub_, next);
      if (scrub_.repaired > next.repaired)
        on_event_({StoreEvent::Kind::repaired, name + ": a damaged sector of the block map is made anew"});
      if (!done.ok() && scrub_.findings.size() < ScrubStatus::findings_max)
        scrub_.findings.push_back(name + ": " + done.error().message);
      if (!done.ok()) ++scrub_.blocks_damaged;
    }
    if (begun) scrub_.progress = before + share * scrubber.progress();
    co_await pace(since);
  }
}

}  // namespace cairn::store
