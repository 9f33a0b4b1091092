#include "store/replica.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "store/activity_log.h"
#include "store/block_map.h"
#include "store/layer_sums.h"
#include "store/private_copy.h"
#include "store/recovery.h"
#include "store/replica_files.h"
#include "store/run_list.h"
#include "store/saved_index.h"
#include "store/uuid.h"

namespace cairn::store {
namespace {

namespace fs = std::filesystem;

/// Of format 1.0: without a header, and without the other half of what 1.1 knows.
std::string old_ring_path(const std::string& directory) { return directory + "/ring"; }

uint64_t now_ms() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
}

uint64_t random_session() {
  const Uuid random = random_uuid();
  uint64_t session;
  std::memcpy(&session, random.data(), sizeof session);
  return session;
}

// ---- Creation -------------------------------------------------------------------------------------------------------

Result<Unit> check_new(const NewReplica& replica) {
  if (!parse_uuid(replica.volume_id) || !parse_uuid(replica.replica_id))
    return Error{"INVALID_ARGUMENT", "the volume and replica ids must be UUIDs"};
  if (replica.size_bytes == 0 || replica.size_bytes % store_block_size != 0 || replica.size_bytes > volume_size_max)
    return Error{"INVALID_ARGUMENT", "the size must be a multiple of 4096 bytes, at least 4096 and at most 64 TiB"};
  if (replica.block_size != 512 && replica.block_size != 4096)
    return Error{"INVALID_ARGUMENT", "the block size must be 512 or 4096"};
  return Unit{};
}

Result<Unit> make_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return system_error("create", directory, error.value());
  return Unit{};
}

/// What an attempt that was cut short left; volume.json, which makes it a replica, is written last.
Result<Unit> clear_leftovers(const std::string& directory) {
  std::vector<std::string> left{superblock_path(directory),    ring_path(directory),
                                activity_path(directory),      reserve_path(directory),
                                saved_index_path(directory),   metadata_path(directory) + ".new",
                                metadata_copy_path(directory), metadata_copy_path(directory) + ".new"};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.path().filename().string().starts_with("layer-")) left.push_back(entry.path().string());
  if (error) return system_error("list", directory, error.value());
  for (const std::string& path : left) {
    Result<Unit> removed = remove_file(path);
    if (!removed.ok()) return removed;
  }
  return Unit{};
}

Result<Unit> create_superblock(const NewReplica& replica) {
  const std::string path = superblock_path(replica.directory);
  Result<UniqueFd> file = create_file(path);
  if (!file.ok()) return file.error();
  Superblock superblock;
  superblock.volume_id = *parse_uuid(replica.volume_id);
  superblock.replica_id = *parse_uuid(replica.replica_id);
  superblock.incarnation = random_uuid();
  superblock.clean = 1;
  Result<Unit> written = Unit{};
  for (size_t copy = 0; copy < superblock_copies && written.ok(); ++copy)
    written = write_superblock(file.value().get(), path, superblock);
  return written;
}

/// ext4 has files of at most 16 TiB, less with small blocks; XFS has enough for every volume.
Error too_large(const std::string& directory, uint64_t size_bytes) {
  return {"INVALID_ARGUMENT", "the file system of " + directory + " has no files of " + std::to_string(size_bytes) +
                                  " bytes: choose a smaller size, or a pool on XFS"};
}

/// Without space yet: the first record takes all of it (WriteRing::reserve).
Result<Unit> create_ring(const std::string& directory) {
  const std::string path = ring_path(directory);
  Result<UniqueFd> file = create_file(path);
  if (!file.ok()) return file.error();
  if (::ftruncate(file.value().get(), ring_bytes(ring_slots_min)) != 0) return system_error("size", path, errno);
  return sync_file(file.value().get(), path);
}

VolumeMetadata first_metadata(const NewReplica& replica, const LinkedLayers& linked) {
  VolumeMetadata metadata;
  metadata.volume_id = replica.volume_id;
  metadata.replica_id = replica.replica_id;
  metadata.size_bytes = replica.size_bytes;
  metadata.block_size = replica.block_size;
  metadata.head = linked.next_layer;
  metadata.next_layer = metadata.head + 1;
  metadata.layers = linked.chain;
  // The snapshots are the other replica's; here the layers are only what is below the head.
  for (LayerMetadata& layer : metadata.layers) layer.removed = true;
  LayerMetadata head;
  head.number = metadata.head;
  head.created_ms = now_ms();
  if (!linked.chain.empty()) head.parent = linked.chain.back().number;
  metadata.layers.push_back(head);
  return metadata;
}

// ---- Opening --------------------------------------------------------------------------------------------------------

Result<Unit> lock_replica(int fd, const std::string& directory, int wait_ms) {
  constexpr int step_ms = 2;
  for (int waited = 0;; waited += step_ms) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return Unit{};
    if (errno != EWOULDBLOCK) return system_error("lock", directory, errno);
    if (waited >= wait_ms) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(step_ms));
  }
  return Error{"VOLUME_LOCKED", directory + " is in use by another process: stop it, or use it there"};
}

Result<Unit> open_metadata(OpenedReplica& replica) {
  Result<FoundMetadata> found = find_metadata(replica.directory);
  if (!found.ok()) return found.error();
  replica.metadata = std::move(found.value().metadata);
  if (found.value().agree) return Unit{};
  // Format 1.0 had no copy.
  if (!found.value().damage.empty() && replica.superblock.version_minor > 0)
    replica.repairs.push_back(found.value().damage + "; its copy was used");
  Result<Unit> written = write_metadata(replica.directory, replica.metadata);
  if (!written.ok() && written.error().code == "ENOSPC" && release_reserve(replica.directory))
    written = write_metadata(replica.directory, replica.metadata);
  return written;
}

Result<Unit> open_identity(OpenedReplica& replica, const OpenOptions& options) {
  const std::string path = superblock_path(replica.directory);
  if (::access(path.c_str(), F_OK) != 0)
    return Error{"REPLICA_MISSING", replica.directory + " holds no replica: check that the pool's disk is mounted"};
  Result<UniqueFd> file = open_file(path, O_RDWR);
  if (!file.ok()) return file.error();
  replica.superblock_file = std::move(file.value());
  Result<Unit> locked = lock_replica(replica.superblock_file.get(), replica.directory, options.lock_wait_ms);
  if (!locked.ok()) return locked;
  Result<FoundSuperblock> found = read_superblock(replica.superblock_file.get(), path);
  if (!found.ok()) return found.error();
  replica.superblock = found.value().superblock;
  if (found.value().copy_damaged) replica.repairs.push_back(path + " was damaged in one of its two copies");
  Result<Unit> described = open_metadata(replica);
  if (!described.ok()) return described;
  if (format_uuid(replica.superblock.volume_id) != replica.metadata.volume_id ||
      format_uuid(replica.superblock.replica_id) != replica.metadata.replica_id)
    return Error{"REPLICA_CORRUPT", replica.directory + ": superblock and volume.json are of different replicas"};
  return Unit{};
}

/// Files of layers that volume.json does not name: of a snapshot or a merge that was cut short.
Result<Unit> remove_orphans(const OpenedReplica& replica) {
  std::set<std::string> known;
  for (const LayerMetadata& layer : replica.metadata.layers) {
    for (const std::string suffix : layer_file_suffixes) {
      // What is written has no checksums and no list yet; those of a layer that was frozen once are of another content.
      const bool written = layer.number == replica.metadata.head || layer.number == replica.metadata.overlay;
      if ((suffix == ".sum" || suffix == ".runs") && written) continue;
      known.insert(layer_path(replica.directory, layer.number, suffix));
    }
    if (!replica.metadata.flattening) continue;
    for (std::string& copy : PrivateCopy::paths_of(replica.directory, layer.number)) known.insert(std::move(copy));
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(replica.directory, error)) {
    const std::string path = entry.path().string();
    const std::string name = entry.path().filename().string();
    const bool orphan = name == "volume.json.new" || name == "volume.copy.json.new" ||
                        (name.starts_with("layer-") && !known.contains(path));
    if (!orphan) continue;
    Result<Unit> removed = remove_file(path);
    if (!removed.ok()) return removed;
  }
  if (error) return system_error("list", replica.directory, error.value());
  return Unit{};
}

/// Opens one data file to see whether the file system takes direct I/O, and how it wants it.
void find_alignment(OpenedReplica& replica) {
  if (replica.cache_mode != CacheMode::none) {
    replica.alignment = {1, 1};
    return;
  }
  const std::string path = layer_data_path(replica.directory, replica.metadata.head);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  replica.direct = file.valid();
  if (!replica.direct) {
    replica.alignment = {1, 1};
    return;
  }
  struct statx status {};
  const int result =
      static_cast<int>(::syscall(SYS_statx, file.get(), "", 0x1000 /* AT_EMPTY_PATH */, STATX_DIOALIGN, &status));
  if (result == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 && status.stx_dio_offset_align != 0)
    replica.alignment = {status.stx_dio_mem_align, status.stx_dio_offset_align};
}

Result<Unit> open_files(OpenedReplica& replica) {
  Result<UniqueFd> ring = open_part(ring_path(replica.directory), O_RDWR, ring_bytes(ring_slots_min));
  if (!ring.ok()) return ring.error();
  replica.ring_file = std::move(ring.value());
  Result<LoadedActivity> activity = load_activity(replica.directory, replica.metadata.size_bytes);
  if (!activity.ok()) return activity.error();
  replica.activity_file = std::move(activity.value().file);
  replica.activity = activity.value().slot;
  if (activity.value().damaged)
    replica.repairs.push_back(activity_path(replica.directory) +
                              " was damaged or missing, and is made anew: all of it counts as hot");
  Result<UniqueFd> directory = open_file(replica.directory, O_RDONLY | O_DIRECTORY);
  if (!directory.ok()) return directory.error();
  replica.directory_file = std::move(directory.value());
  for (const LayerMetadata* layer : replica.metadata.open_chain()) {
    const uint64_t blocks_min = layer->number == replica.metadata.head ? replica.metadata.block_count() : 0;
    Result<LayerFiles> files = open_layer(replica.directory, layer->number, blocks_min, replica.direct);
    if (!files.ok()) return files.error();
    if (replica.direct && layer->number == replica.metadata.head) {
      Result<UniqueFd> cached = open_cached(replica.directory, layer->number);
      if (!cached.ok()) return cached.error();
      files.value().cached = std::move(cached.value());
    }
    replica.chain.push_back(std::move(files.value()));
  }
  return Unit{};
}

/// Format 1.0 knew neither region stamps nor the activity log, and its ring was another: what they would say is taken
/// as "all may have changed". A ring in use can only be read by the version that wrote it.
Result<Unit> upgrade(OpenedReplica& replica, const Uuid& boot_id) {
  if (replica.superblock.version_minor > 0) return Unit{};
  if (replica.superblock.clean == 0 && replica.superblock.boot_id == boot_id)
    return Error{"REPLICA_CORRUPT", replica.directory +
                                        " was not closed by the older Cairn that wrote it: detach the volume there, or "
                                        "restart this machine to go on from what was flushed"};
  Result<Unit> done = remove_file(ring_path(replica.directory));
  if (done.ok()) done = remove_file(activity_path(replica.directory));
  if (done.ok()) done = create_ring(replica.directory);
  if (done.ok()) done = create_activity(replica.directory, replica.metadata.size_bytes);
  const PackedStamp newest = pack({replica.superblock.promised_term + 1, 0, 0});
  for (const LayerMetadata& layer : replica.metadata.layers)
    if (done.ok()) done = create_stamps(stamps_file(replica, layer.number), newest);
  if (done.ok()) done = sync_directory(replica.directory);
  return done.ok() ? remove_file(old_ring_path(replica.directory)) : done;
}

/// The head's table, made anew where it is missing or damaged.
Result<Unit> open_head_stamps(OpenedReplica& replica, Stamp base) {
  const StampsFile table = stamps_file(replica, replica.metadata.head);
  Result<OpenedStamps> opened = open_stamps(table);
  if (!opened.ok() && opened.error().code == "REPLICA_CORRUPT") {
    Result<StampsReport> raised = raise_stamps(table, {}, pack(base));
    if (!raised.ok()) return raised.error();
    replica.repairs.push_back(raised.value().damage);
    opened = open_stamps(table);
  }
  if (!opened.ok()) return opened.error();
  for (LayerFiles& layer : replica.chain)
    if (layer.number == replica.metadata.head) layer.stamps = std::move(opened.value());
  return Unit{};
}

/// One activation: what is unsettled is settled, and from now on this owner's stamps are newer than all that is here.
Result<Unit> activate(OpenedReplica& replica, const Uuid& boot_id) {
  Superblock& superblock = replica.superblock;
  replica.recovered = superblock.clean == 0;
  if (superblock.promised_term >= term_max)
    return Error{"REPLICA_CORRUPT", replica.directory + " has no terms left: copy the volume to a new one"};
  const Stamp base{superblock.promised_term + 1, 0, 0};
  if (replica.recovered) {
    Result<Unsettled> unsettled = gather_unsettled(replica, superblock.boot_id == boot_id);
    if (!unsettled.ok()) return unsettled.error();
    Result<Unit> settled = settle_alone(replica, unsettled.value(), base);
    if (!settled.ok()) return settled;
  }
  Result<Unit> done = open_head_stamps(replica, base);
  superblock.version_minor = format_minor;
  superblock.promised_term = superblock.vouch_term = base.term;
  superblock.vouch_reset = 0;
  superblock.stable = base;
  superblock.clean = 0;
  superblock.boot_id = boot_id;
  superblock.ring_session = random_session();
  // Both copies: if one is damaged, the other must not say that the replica was closed, or of another session.
  for (size_t copy = 0; copy < superblock_copies && done.ok(); ++copy)
    done = write_superblock(replica.superblock_file.get(), superblock_path(replica.directory), superblock);
  // Only now: until then a power loss must find what was suspect.
  if (done.ok() && replica.recovered)
    done = clear_activity(replica.activity_file.get(), replica.directory, replica.activity);
  return done;
}

}  // namespace

StampsFile stamps_file(const OpenedReplica& replica, uint32_t layer) {
  return {replica.directory, layer, replica.metadata.block_count(), replica.superblock.volume_id};
}

Result<Unit> create_replica(const NewReplica& replica, const LinkedLayers& linked) {
  Result<Unit> done = check_new(replica);
  if (done.ok()) done = make_directory(replica.directory);
  if (done.ok() && ::access(metadata_path(replica.directory).c_str(), F_OK) == 0)
    done = Error{"REPLICA_EXISTS", replica.directory + " holds a replica already"};
  if (done.ok()) done = clear_leftovers(replica.directory);
  if (done.ok()) done = create_superblock(replica);
  if (done.ok()) done = create_ring(replica.directory);
  if (done.ok()) done = create_activity(replica.directory, replica.size_bytes);
  std::vector<uint32_t> links;
  for (const LayerMetadata& layer : linked.chain) links.push_back(layer.number);
  if (done.ok()) done = link_layers(linked.directory, replica.directory, links);
  if (!done.ok()) return done;
  const VolumeMetadata metadata = first_metadata(replica, linked);
  Result<LayerFiles> layer = create_layer(replica.directory, metadata.head, metadata);
  if (!layer.ok()) return layer.error();
  // All that the description names, before there is a copy of it: the copy alone is enough to open a replica.
  done = sync_directory(replica.directory);
  if (done.ok()) done = stage_metadata(replica.directory, metadata);
  if (done.ok()) done = publish_metadata(replica.directory);
  if (done.ok()) done = sync_directory(replica.directory);
  if (done.ok()) done = sync_directory(fs::path(replica.directory).parent_path().string());
  return done;
}

Result<LayerFiles> create_layer(const std::string& directory, uint32_t number, const VolumeMetadata& metadata) {
  const std::string data_path = layer_data_path(directory, number);
  const std::string map_path = layer_map_path(directory, number);
  const StampsFile table{directory, number, metadata.block_count(), *parse_uuid(metadata.volume_id)};
  Result<UniqueFd> data = create_file(data_path);
  if (!data.ok()) return data.error();
  Result<UniqueFd> map = create_file(map_path);
  if (!map.ok()) return map.error();
  if (::ftruncate(data.value().get(), static_cast<off_t>(metadata.size_bytes)) != 0)
    return errno == EFBIG ? too_large(directory, metadata.size_bytes) : system_error("size", data_path, errno);
  Result<Unit> made =
      create_map(map.value().get(), map_path, number, metadata.block_count(), *parse_uuid(metadata.volume_id));
  if (made.ok()) made = create_stamps(table, 0);
  if (made.ok()) made = sync_file(data.value().get(), data_path);
  if (made.ok()) made = sync_file(map.value().get(), map_path);
  if (!made.ok()) return made.error();
  Result<OpenedStamps> stamps = open_stamps(table);
  if (!stamps.ok()) return stamps.error();
  return LayerFiles{.number = number,
                    .data = std::move(data.value()),
                    .map = std::move(map.value()),
                    .block_count = metadata.block_count(),
                    .stamps = std::move(stamps.value())};
}

Result<LayerFiles> open_layer(const std::string& directory, uint32_t number, uint64_t blocks_min, bool direct) {
  const std::string map_path = layer_map_path(directory, number);
  Result<UniqueFd> map = open_part(map_path, O_RDWR, map_sector_size);
  if (!map.ok()) return map.error();
  Result<uint64_t> blocks = read_map_header(map.value().get(), map_path, number);
  if (!blocks.ok()) return blocks.error();
  if (blocks.value() < blocks_min)
    return Error{"REPLICA_CORRUPT", map_path + " is of a smaller volume: restore this replica from a backup or a peer"};
  Result<Unit> whole = check_size(map.value().get(), map_path, map_sector_offset(map_sector_count(blocks.value())));
  if (!whole.ok()) return whole.error();
  Result<UniqueFd> data = open_part(layer_data_path(directory, number), O_RDWR | (direct ? O_DIRECT : 0),
                                    blocks.value() * store_block_size);
  if (!data.ok()) return data.error();
  return LayerFiles{
      .number = number, .data = std::move(data.value()), .map = std::move(map.value()), .block_count = blocks.value()};
}

Result<UniqueFd> open_cached(const std::string& directory, uint32_t number) {
  Result<UniqueFd> file = open_part(layer_data_path(directory, number), O_RDWR, 0);
  // Reading a block must not bring in its neighbours, which are read and written past the page cache.
  if (file.ok()) (void)::posix_fadvise(file.value().get(), 0, 0, POSIX_FADV_RANDOM);
  return file;
}

Result<Unit> grow_layer(const std::string& directory, uint32_t number, int data, int map, uint64_t block_count) {
  const std::string path = layer_data_path(directory, number);
  const uint64_t size = block_count * store_block_size;
  struct stat status {};
  if (::fstat(data, &status) != 0) return system_error("stat", path, errno);
  // Never shorter: an attempt that was cut short may have made it longer than this one asks for.
  if (static_cast<uint64_t>(status.st_size) < size) {
    if (::ftruncate(data, static_cast<off_t>(size)) != 0)
      return errno == EFBIG ? too_large(directory, size) : system_error("size", path, errno);
    Result<Unit> synced = sync_file(data, path);
    if (!synced.ok()) return synced;
  }
  return grow_map(map, layer_map_path(directory, number), number, block_count);
}

Result<std::unique_ptr<ReadIndex>> build_index(const std::string& directory, const std::vector<LayerFiles>& chain,
                                               uint64_t block_count) {
  auto index = std::make_unique<ReadIndex>(block_count);
  uint16_t slot = 0;
  for (const LayerFiles& layer : chain) {
    ++slot;
    const auto assign = [&](const StateRun& run) {
      if (run.first >= block_count) return;
      const uint64_t count = std::min(run.count, block_count - run.first);
      index->assign(run.first, count, Source(slot, run.state == BlockState::zero));
    };
    if (read_run_list(directory, layer.number, layer.block_count, assign)) continue;
    Result<Unit> read =
        for_each_sector(layer.map.get(), layer_map_path(directory, layer.number), all_sectors(layer.block_count),
                        [&](uint32_t number, const MapSector& sector) { for_each_run(sector, number, assign); });
    if (!read.ok()) return read.error();
  }
  return index;
}

/// Of frozen layers that have checksums.
static Result<Unit> mend_maps(OpenedReplica& replica) {
  std::vector<uint32_t> layers;
  for (const LayerMetadata* layer : replica.metadata.open_chain())
    if (layer->checksummed) layers.push_back(layer->number);
  Result<std::vector<std::string>> mended = repair_maps(replica.directory, layers);
  if (!mended.ok()) return mended.error();
  for (std::string& what : mended.value()) replica.repairs.push_back(std::move(what));
  return Unit{};
}

/// As the last owner left it: this activation is another session.
static IndexedChain closed_chain(const OpenedReplica& replica) {
  IndexedChain chain{replica.superblock.ring_session, {}};
  for (const LayerFiles& layer : replica.chain) chain.layers.push_back(layer.number);
  return chain;
}

uint64_t allocated_bytes(const std::string& directory, uint32_t layer) {
  uint64_t bytes = 0;
  for (const char* suffix : layer_file_suffixes) {
    struct stat status {};
    if (::stat(layer_path(directory, layer, suffix).c_str(), &status) == 0)
      bytes += static_cast<uint64_t>(status.st_blocks) * 512;
  }
  return bytes;
}

Result<OpenedReplica> open_replica(const std::string& directory, const OpenOptions& options) {
  OpenedReplica replica;
  replica.directory = directory;
  replica.cache_mode = options.cache_mode;
  Result<Unit> done = open_identity(replica, options);
  if (done.ok()) done = remove_orphans(replica);
  if (done.ok()) done = upgrade(replica, options.boot_id);
  if (!done.ok()) return done.error();
  find_alignment(replica);
  done = open_files(replica);
  const IndexedChain closed = closed_chain(replica);
  if (done.ok()) done = activate(replica, options.boot_id);
  if (!done.ok()) return done.error();
  if (!replica.recovered) replica.index = load_index(directory, closed, replica.metadata.block_count());
  if (replica.index) return replica;
  Result<std::unique_ptr<ReadIndex>> index = build_index(directory, replica.chain, replica.metadata.block_count());
  if (!index.ok() && index.error().code == "REPLICA_CORRUPT") {
    done = mend_maps(replica);
    if (!done.ok()) return done.error();
    index = build_index(directory, replica.chain, replica.metadata.block_count());
  }
  if (!index.ok()) return index.error();
  replica.index = std::move(index.value());
  return replica;
}

}  // namespace cairn::store
