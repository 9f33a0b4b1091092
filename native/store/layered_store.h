// One replica, open: a chain of layers as a BlockDevice, with snapshots.
//
//   read     the index names the layer of each run; runs are read in parallel
//   write    a ring record, then in place into the head; where the head had no data, then the index; then the reply
//   flush    data, then maps, then the directory: a map never points at data that could be lost
//   settle   in the background: region stamps follow, ring slots get free, the activity log cools
//
// All calls come from the reactor that it was made on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "aio/offload.h"
#include "aio/range_lock.h"
#include "aio/wait.h"
#include "block/block_device.h"
#include "block/snapshot_set.h"
#include "store/activity_log.h"
#include "store/block_map.h"
#include "store/chain_read.h"
#include "store/dirty_sectors.h"
#include "store/layer_scrubber.h"
#include "store/map_space.h"
#include "store/readers.h"
#include "store/replica.h"
#include "store/snapshot_device.h"
#include "store/write_ring.h"

namespace cairn::store {

class PrivateCopy;

struct StoreCounters {
  uint64_t reads = 0;
  uint64_t read_bytes = 0;
  uint64_t writes = 0;
  uint64_t written_bytes = 0;
  uint64_t flushes = 0;
  uint64_t trims = 0;
  uint64_t trimmed_bytes = 0;
  uint64_t write_zeroes = 0;
  uint64_t errors = 0;
};

struct LayerStatus {
  std::string id;      // of a snapshot its id, of the head "head-N"
  std::string name;    // of the snapshot; empty for the head
  std::string parent;  // empty: the base
  bool removed = false;
  bool in_chain = false;
  bool checksummed = false;  // a scrub can verify it
  uint64_t created_ms = 0;
  double merge_progress = 0;
  uint32_t number = 0;
};

/// Where a clone goes, and who it is.
struct CloneTarget {
  std::string snapshot_id;
  std::string directory;
  std::string volume_id;
  std::string replica_id;
};

struct StoreEvent {
  enum class Kind : uint8_t { merge_finished, failed, no_space, flatten_finished, scrub_finished, repaired, damaged };
  Kind kind;
  std::string message;
};

class LayeredStore final : public BlockDevice, public SnapshotSet {
 public:
  using EventHandler = std::function<void(const StoreEvent&)>;

  LayeredStore(Reactor& reactor, BlockingThread& blocking, OpenedReplica replica, EventHandler on_event);
  ~LayeredStore() override;

  Geometry geometry() const override;
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override;
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

  std::vector<SnapshotName> snapshots() const override;
  std::vector<SnapshotName> ancestors(const std::string& of) const override;
  Task<Result<std::unique_ptr<BlockDevice>>> open_snapshot(std::string name) override;

  /// Freezes the head as a snapshot of exactly the writes acknowledged before; durable when it returns.
  Task<Result<Unit>> create_snapshot(std::string id, std::string name);
  /// Durable when it returns; the merge goes on in the background. SNAPSHOT_IN_USE while a device of it is open.
  Task<Result<Unit>> delete_snapshot(std::string id);
  /// The volume's content becomes the snapshot's; what was written since is gone. No client may be connected.
  Task<Result<Unit>> revert(std::string id);
  /// Makes the volume larger while it is used; durable when it returns. INVALID_ARGUMENT for less than it has.
  Task<Result<Unit>> resize(uint64_t size_bytes);
  /// A new replica over links to the snapshot's files, in the same file system: CLONE_OTHER_FILE_SYSTEM otherwise.
  Task<Result<Unit>> clone(CloneTarget target);
  /// Files that other replicas have too are copied in the background until this one has its own. Durably decided when
  /// it returns.
  Task<Result<Unit>> flatten();
  /// Verifies in the background what the disk has of the snapshots. SCRUB_RUNNING while it does.
  Result<Unit> start_scrub();
  ScrubStatus scrub_status() const { return scrub_; }
  bool flattening() const { return metadata_.flattening; }
  double flatten_progress() const { return flatten_progress_; }
  /// Why it waits; empty while it does not.
  const std::string& flatten_problem() const { return flatten_problem_; }
  /// Flushes and marks the replica clean; only destruction may follow. Nothing may be in flight. When it fails, for
  /// want of space, the store stays as usable as it was, unless it is closed `anyway`: then the ring still says what
  /// the maps do not.
  Task<Result<Unit>> close(bool anyway = false);
  /// Goes on with merges that an earlier process did not finish.
  void resume_maintenance();
  /// Checksums of frozen layers are computed some seconds after an opening or a snapshot; this does it now.
  void start_checksums();
  /// Until all that can be done is done; while somebody waits, it is not paced.
  /// The stamp of the last write; the base of this activation while there was none.
  Stamp newest_stamp() const { return {superblock_.promised_term, 0, sequence_}; }
  /// Makes all durable, and cools what has not been written since the last time. Runs by itself every few seconds while
  /// anything is hot.
  Task<> sweep();
  Task<> wait_maintenance();

  const VolumeMetadata& metadata() const { return metadata_; }
  const std::string& directory() const { return directory_; }
  CacheMode cache_mode() const { return cache_mode_; }
  bool recovered() const { return recovered_; }
  const StoreCounters& counters() const { return counters_; }
  std::vector<LayerStatus> layers() const;
  /// Why writes are refused; empty when well.
  const std::string& failure() const { return failure_; }
  size_t index_bytes() const { return index_->page_bytes(); }

 private:
  struct BlockRange {
    uint64_t first;
    uint64_t end;
    uint64_t count() const { return end - first; }
  };
  struct OpenLayer {
    OpenLayer(Reactor& reactor, LayerFiles files, uint16_t slot);
    uint32_t number;
    uint16_t slot;
    uint64_t block_count;
    File data;
    File map;
    /// The same data through the page cache; of what is or was the head under direct I/O.
    File cached;
    std::vector<BlockRange> overwritten_in_cache;  // since the last sync began; not first writes
    uint64_t left_cache = 0;                       // blocks whose pages may still be there
    std::optional<RegionStamps> stamps;  // of the head, and of a layer that was it until its records are settled
    bool data_written = false;           // since the last sync
    MapSpace map_space;
    Readers readers;
    const File& file(Source source) const { return source.in_page_cache() ? cached : data; }
  };
  /// Map sectors as they are to be once the layer's data is durable.
  struct MapImage {
    OpenLayer* layer;
    std::vector<MapSector> sectors;  // ascending numbers
  };
  /// A write through the page cache that is under way.
  struct CachedWrite : ListLink {
    explicit CachedWrite(BlockRange blocks) : range(blocks) {}
    ~CachedWrite() { end(); }
    void end() {
      if (linked()) unlink();
    }
    BlockRange range;
  };
  /// How a write reaches the head's data file; store_cached.cc says why.
  enum class WriteRoute : uint8_t { direct, page_cache, alone };
  struct WritePlan {
    WriteRoute route;
    bool overwrite;  // of data that is where the route leads
    bool write_back = false;
  };
  /// How often what has long been synced cools.
  static constexpr std::chrono::seconds sweep_interval{5};

  static BlockRange blocks_touched(uint64_t offset, uint64_t length);
  static BlockRange blocks_covered(uint64_t offset, uint64_t length);
  OpenLayer& head() const { return *head_; }
  OpenLayer& layer_at(uint16_t slot) const { return *slots_[slot]; }
  Source head_data(bool in_page_cache) const {
    return Source(head_->slot, in_page_cache ? Source::Access::page_cache : Source::Access::plain);
  }
  /// Not in the page cache.
  Source head_source(BlockState state) const {
    return state == BlockState::absent ? Source() : Source(head_->slot, state == BlockState::zero);
  }
  bool is_head_data(Source source) const { return source == head_data(false) || source == head_data(true); }
  bool must_be_durable(Durability durability) const {
    return durability == Durability::durable || cache_mode_ == CacheMode::writethrough;
  }

  // layered_store.cc: the data path
  bool needs_merge(uint64_t offset, std::span<const std::byte> from) const;
  Task<Status> read_runs(uint64_t offset, std::span<std::byte> into);
  Task<Status> read_bounced(uint64_t offset, std::span<std::byte> into);
  Detached read_piece(Source source, std::span<std::byte> into, uint64_t offset, PieceJoin& join);
  Task<Status> put_merged(uint64_t offset, std::span<const std::byte> from, Durability durability);
  Task<Status> put(uint64_t offset, std::span<const std::byte> from, Durability durability, WritePlan plan);
  Task<Status> set_state(BlockRange range, BlockState state);
  Task<Status> reserve_space(MapSpace::Pieces pieces);
  bool may_record(BlockRange range, bool new_state);
  Task<Status> prepare_record(BlockRange range, bool new_state);
  uint64_t put_record(BlockRange range, BlockState state);
  void take_effect(BlockRange range, Source source);
  Task<Status> discard(BlockRange range, ZeroMode mode);
  Task<Status> write_zero_pieces(uint64_t offset, uint64_t length);
  Task<Status> make_durable(BlockRange range);
  Status finish(Status status);
  bool is_frozen(const OpenLayer& layer) const { return &layer != head_ && &layer != overlay_; }
  /// Once, until there has been space again.
  void report_no_space(const std::string& message);
  std::string pool_full() const {
    return "the pool that holds " + directory_ + " is full: free space or move the volume";
  }

  // store_cached.cc: first writes
  WritePlan plan_write(BlockRange range) const;
  bool written_through_cache(BlockRange range);
  WritePlan plan_client_write(uint64_t offset, uint64_t length, Durability durability);
  Task<> leave_cache(const MapImage& image);
  void leave_cache(OpenLayer& layer, uint32_t sector);
  void leave_cache(OpenLayer& layer, BlockRange range);
  bool stop_caching(OpenLayer& layer, BlockRange run);
  Task<> drop_cached(OpenLayer& layer);

  // store_sync.cc: durability
  Task<Status> sync_all(Purpose purpose = Purpose::upkeep);
  Task<Status> sync_once();
  Task<Status> write_image(const MapImage& image, Purpose purpose);
  Detached write_sectors(OpenLayer& layer, std::span<const MapSector> sectors, Purpose purpose, PieceJoin& join);
  MapImage capture(OpenLayer& layer, DirtySectors& dirty);
  void fail(const std::string& what, Status status);

  // store_settle.cc: what follows behind a sync
  Task<Status> settle();
  Task<Status> raise_recorded(uint64_t through);
  Task<Status> raise_portion(uint64_t through);
  Task<Status> sync_stamps();
  Task<Status> settle_former_head();
  Task<Result<Unit>> inherit_stamps(uint32_t from, uint32_t to);
  StampsFile stamps_table(uint32_t layer, uint64_t blocks) const;
  Result<OpenedStamps> open_stamps_or_renew(uint32_t layer) const;
  Result<Unit> grow_stamps(uint32_t layer, uint64_t blocks) const;
  Task<Status> settle_for_close();
  void settle_in_background();
  void start_sweep();

  // store_snapshots.cc: the layer tree
  Task<Result<Unit>> replace_metadata(VolumeMetadata next);
  Task<Result<Unit>> cut(VolumeMetadata next, LayerFiles new_head);
  Task<> quiesce();
  void release();
  OpenLayer* install(LayerFiles files);
  void find_head();
  uint16_t take_slot();
  Task<> release_layers();
  Task<Result<Unit>> restart_on(VolumeMetadata next);
  void capture_all();
  Task<> keep_index();
  Task<> remove_files(std::vector<uint32_t> numbers);

  // store_merge.cc: removed snapshots
  struct Drain;
  /// How a piece of background work ended: `changed`, the tree is another one now, look again; `waits`, it cannot go on
  /// before something else changes.
  enum class Outcome : uint8_t { done, changed, waits, nothing };
  Detached maintain();
  Task<Result<Outcome>> next_work();
  Task<Result<Outcome>> remove_next();
  const LayerMetadata* next_removable() const;
  bool may_change(const OpenLayer& layer) const;
  Task<Result<Outcome>> remove_layer(uint32_t number);
  Task<Result<Outcome>> begin_drain(Drain& drain, uint32_t parent, uint32_t child);
  Task<Result<Outcome>> drain_layer(Drain& drain);
  Task<Result<Outcome>> end_drain(Drain& drain);
  Task<Result<Unit>> drop_layer(uint32_t number);
  Task<Result<Unit>> replace_by_parent(uint32_t number);
  Task<Result<Unit>> forget_layer(VolumeMetadata next, uint32_t number);
  using WorkingSince = Reactor::Clock::time_point;
  Task<> pace(WorkingSince& since);
  Task<> pace_within(WorkingSince& since);
  uint64_t blocks_at_once() const;
  uint64_t foreground_operations() const;

  // store_drain.cc: one map sector's blocks from a layer to its neighbour
  Task<Result<Unit>> drain_sector(Drain& drain, uint32_t number);
  Task<Result<Unit>> load_sums(Drain& drain, uint32_t number, bool into_head);
  Task<Status> drain_copy(Drain& drain, OpenLayer& to, BlockRange run);
  Task<Status> disown_sums(Drain& drain, uint32_t number);
  Task<Status> save_sums(Drain& drain, uint32_t number);
  Task<Result<Unit>> open_map(OpenLayer& layer);
  void close_frozen_maps();
  Task<Status> drain_into_frozen(Drain& drain, uint32_t number);
  Task<Status> drain_into_head(Drain& drain);
  Task<Status> drain_piece_into_head(Drain& drain, BlockRange piece, BlockState state);
  Task<Status> drain_piece_into_frozen(Drain& drain, BlockRange piece, BlockState state);
  Task<Status> settle_layers();
  Task<Result<Unit>> open_for_drain(Drain& drain);
  Task<Result<OpenLayer*>> open_or_borrow(uint32_t number, std::unique_ptr<OpenLayer>& borrowed);
  Task<Result<Unit>> read_map(OpenLayer& layer, uint32_t first, std::span<MapSector> into);
  Task<Status> write_sector(OpenLayer& layer, const MapSector& sector, uint32_t number);
  void redirect(const OpenLayer& from, const OpenLayer& to, const StateRun& run);
  bool is_base(const OpenLayer& layer) const { return !metadata_.layer(layer.number)->parent.has_value(); }
  Task<Status> copy(OpenLayer& from, OpenLayer& to, BlockRange piece, std::span<std::byte> memory);
  Task<Status> punch(OpenLayer& layer, BlockRange range);
  OpenLayer* find_open(uint32_t number) const;

  // store_scrub.cc: checksums of frozen layers
  bool lacks_sums(const LayerMetadata& layer) const;
  template <typename Lacks>
  std::optional<uint32_t> next_frozen(Lacks lacks) const;
  Task<Result<Outcome>> describe_next();
  Task<Result<Outcome>> sum_layer(uint32_t number);
  Task<Result<Outcome>> list_layer(uint32_t number);
  template <typename Builder>
  Task<Result<Outcome>> build_for(uint32_t number, Builder& builder);
  Task<Result<Outcome>> note_summed();
  static constexpr std::chrono::seconds checksum_delay{10};
  void look_later(Reactor::Clock::duration delay);
  Task<Result<Unit>> drop_partial_files(std::vector<uint32_t> numbers);
  Task<Result<Unit>> forget_sums(uint32_t number);
  Task<> scrub();
  Task<> scrub_layer(uint32_t number, double before, double share);
  Task<bool> may_scrub(uint32_t number);

  // store_snapshot_set.cc
  uint32_t reference_of(const std::string& id) const;
  std::vector<SnapshotName> names_of(std::vector<const LayerMetadata*> layers) const;
  Result<Unit> open_chain(const std::vector<const LayerMetadata*>& layers, SnapshotChain& chain) const;
  const std::vector<bool>* unchanged_since(uint32_t reference);

  // store_clone.cc: files of several replicas
  Task<Result<Outcome>> flatten_next();
  Outcome flatten_later(uint32_t number, const Error& error);
  Task<Result<Outcome>> end_flatten();
  Task<Result<Outcome>> make_private(uint32_t number);
  Task<Result<Unit>> verify_before_copy(uint32_t number);
  Task<Result<Outcome>> use_private(uint32_t number, std::vector<PrivateCopy>& copies);

  // store_overlay.cc: the newest snapshot's removal under a small head
  Task<Result<Unit>> swap_head(uint32_t parent);
  Task<Result<Outcome>> drain_overlay();
  Task<Status> drain_overlay_sector(BlockRange range, std::span<std::byte> memory, WorkingSince& since);
  Task<Status> drain_overlay_piece(BlockRange piece, std::span<std::byte> memory);
  bool overlay_has(BlockRange range) const;
  void mark_uncovered(BlockRange range);

  Reactor& reactor_;
  BlockingThread& blocking_;
  EventHandler on_event_;
  std::string directory_;
  CacheMode cache_mode_;
  bool direct_;
  DirectAlignment alignment_;
  VolumeMetadata metadata_;
  Superblock superblock_;
  File superblock_file_;
  File directory_file_;
  std::unique_ptr<ReadIndex> index_;
  bool recovered_;

  std::vector<std::unique_ptr<OpenLayer>> slots_;  // by slot; 0 is nobody
  OpenLayer* head_ = nullptr;
  OpenLayer* overlay_ = nullptr;  // mostly there is none
  WriteRing ring_;
  ActivityLog activity_;
  uint64_t sequence_ = 0;       // of the last stamp
  DirtySectors dirty_;          // of the head
  DirtySectors overlay_dirty_;  // of the overlay
  IntrusiveList<CachedWrite> cached_writes_;
  RangeLock locks_;
  StoreCounters counters_;
  std::string failure_;
  bool no_space_reported_ = false;
  bool zero_range_missing_ = false;  // the file system has no FALLOC_FL_ZERO_RANGE: zeroes are written out

  bool gate_closed_ = false;  // no new write begins
  WaitQueue gate_;
  InFlight mutations_;
  AsyncMutex structure_;  // one change of the layer tree, or one step of a merge, at a time

  std::vector<MapImage> pending_images_;  // to be written at the next sync, in order
  bool directory_dirty_ = false;
  AsyncMutex settling_;
  bool settle_asked_ = false;
  Timer sweep_timer_;
  bool syncing_ = false;
  uint64_t sync_requested_ = 0;
  uint64_t sync_done_ = 0;
  WaitQueue sync_progress_;
  InFlight clients_syncing_;  // that wait for a sync

  InFlight maintenance_;
  bool stopping_ = false;
  bool maintaining_ = false;
  bool look_again_ = false;     // something changed while maintenance ran
  std::set<uint32_t> waiting_;  // removed layers that cannot be merged now
  uint64_t operations_when_paced_ = 0;
  bool clients_busy_ = false;  // when it was paced last
  size_t maintenance_waiters_ = 0;
  Timer look_again_timer_;
  std::set<uint32_t> flattened_;   // layers that need not be copied (again)
  std::set<uint32_t> uncopyable_;  // damaged
  size_t flattening_left_ = 0;
  bool flatten_waits_ = false;   // it has a problem, and is tried again later
  std::string flatten_problem_;  // of the last attempt
  bool checksums_due_ = false;
  std::set<uint32_t> summed_;      // checksums whole, and not yet noted in volume.json
  std::set<uint32_t> unsummable_;  // damaged
  std::set<uint32_t> listed_;      // its list of runs is there, or cannot be made
  ScrubStatus scrub_;
  std::optional<uint32_t> scrubbing_;  // the layer, unless it has been written since its scrub began
  double flatten_progress_ = 0;
  std::shared_ptr<SnapshotPins> pins_ = std::make_shared<SnapshotPins>();
  mutable std::map<std::string, uint32_t> references_;  // of snapshots, by id
  uint64_t tree_version_ = 0;                           // another one: other layers, or other slots for them
  struct {
    uint32_t reference = 0;
    uint64_t tree_version = 0;
    std::vector<bool> slots;
  } unchanged_;  // what was asked for last

  uint64_t chain_generation_ = 0;  // another one: open layers have been replaced
  uint32_t merging_ = 0;           // the layer, while merge_progress_ > 0
  double merge_progress_ = 0;
};

}  // namespace cairn::store
