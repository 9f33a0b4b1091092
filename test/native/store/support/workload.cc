#include "test/native/store/support/workload.h"

#include "store/uuid.h"

namespace cairn::test {
namespace {

/// Blocks that belong to one worker and can be written at once.
constexpr uint32_t group_sectors = 32;

}  // namespace

Workload::Workload(OpenedStore& store, WorkloadLog& log, const WorkloadOptions& options)
    : store_(store),
      log_(log),
      options_(options),
      random_(options.seed),
      next_tag_(options.first_tag),
      workers_(store.reactor().ready()) {}

Task<> Workload::run() {
  store_->resume_maintenance();
  for (uint32_t worker = 0; worker < options_.workers; ++worker) {
    workers_.add();
    run_detached(work(worker), [this] { workers_.remove(); });
  }
  co_await change_layers();
  co_await workers_.wait_idle();
  co_await store_->wait_maintenance();
}

Task<> Workload::work(uint32_t worker) {
  for (size_t step = 0; step < options_.steps; ++step) co_await this->step(worker);
}

SectorRange Workload::pick_range(uint32_t worker) {
  constexpr uint32_t groups = watched_sectors / group_sectors;
  const auto group = static_cast<uint32_t>(below(groups / options_.workers)) * options_.workers + worker;
  const uint32_t unit = options_.block_size / sector_size;
  const uint32_t units = group_sectors / unit;
  const auto first = static_cast<uint32_t>(below(units));
  const auto count = static_cast<uint32_t>(1 + below(units - first));
  return {group * group_sectors + first * unit, count * unit};
}

void Workload::check(Status status, const char* what) {
  if (!status.ok()) log_.failed(std::string(what) + ": " + status.message());
}

Task<> Workload::step(uint32_t worker) {
  const uint64_t kind = below(16);
  if (kind == 0) co_return co_await flush();
  SectorRange range = pick_range(worker);
  const Durability durability = below(8) == 0 ? Durability::durable : Durability::buffered;
  const bool zero = kind <= 4;
  if (kind <= 2) {  // trim: whole blocks only
    const uint32_t end = (range.first + range.count) / 8 * 8;
    range.first = (range.first + 7) / 8 * 8;
    if (range.first >= end) co_return;
    range.count = end - range.first;
  }
  const uint64_t tag = next_tag_++;
  const uint64_t length = range.count * sector_size;
  log_.issued(range, tag, zero);
  Status status;
  if (kind <= 2)
    status = co_await store_->trim(offset_of(range.first), length, durability);
  else if (zero)
    status = co_await store_->write_zeroes(offset_of(range.first), length,
                                           kind == 3 ? ZeroMode::may_unmap : ZeroMode::keep_space, durability);
  else
    status = co_await write(range, tag, durability);
  check(status, "a change of a range");
  if (status.ok()) log_.acknowledged(range, tag, zero, durability == Durability::durable);
}

Task<Status> Workload::write(SectorRange range, uint64_t tag, Durability durability) {
  const size_t length = range.count * sector_size;
  const AlignedMemory memory((length + store_block_size - 1) / store_block_size * store_block_size);
  stamp(memory.span().first(length), range.first, tag);
  co_return co_await store_->write(offset_of(range.first), memory.span().first(length), durability);
}

Task<> Workload::flush() {
  const uint64_t ticket = log_.flush_started();
  const Status status = co_await store_->flush();
  check(status, "flush");
  if (status.ok()) log_.flush_done(ticket);
}

Task<> Workload::change_layers() {
  while (workers_.count() > 0) {
    const uint64_t kind = below(16);
    if (kind == 0)
      co_await grow();
    else if (kind == 1)
      store_->start_checksums();
    else if (kind == 2 && options_.flatten)
      co_await flatten();
    else if (kind % 2 == 0)
      co_await take_snapshot();
    else
      co_await remove_snapshot();
    co_await store_.reactor().sleep(std::chrono::microseconds(below(3000)));
  }
}

Task<> Workload::take_snapshot() {
  size_t snapshots = 0;
  for (const store::LayerMetadata& layer : store_->metadata().layers)
    if (!layer.snapshot_id.empty() && !layer.removed) ++snapshots;
  const std::string id = store::format_uuid(store::random_uuid());
  if (snapshots >= options_.snapshots_max || !log_.snapshot_started(id)) co_return;
  const Result<Unit> done = co_await store_->create_snapshot(id, id);
  if (done.ok())
    log_.snapshot_done(id);
  else
    log_.failed("snapshot: " + done.error().message);
}

Task<> Workload::remove_snapshot() {
  std::vector<std::string> ids;
  for (const store::LayerMetadata& layer : store_->metadata().layers)
    if (!layer.snapshot_id.empty() && !layer.removed) ids.push_back(layer.snapshot_id);
  if (ids.empty()) co_return;
  const std::string id = ids[below(ids.size())];
  log_.removal_started(id);
  const Result<Unit> done = co_await store_->delete_snapshot(id);
  if (done.ok())
    log_.removal_done(id);
  else
    log_.failed("removal of a snapshot: " + done.error().message);
}

Task<> Workload::grow() {
  const uint64_t size = store_->geometry().size + (1 + below(3000)) * store_block_size;
  if (size > 4 * watched_volume_size) co_return;
  log_.resize_started(size);
  const Result<Unit> done = co_await store_->resize(size);
  if (done.ok())
    log_.resize_done(size);
  else
    log_.failed("resize: " + done.error().message);
}

Task<> Workload::flatten() {
  const Result<Unit> done = co_await store_->flatten();
  if (!done.ok()) log_.failed("flatten: " + done.error().message);
}

}  // namespace cairn::test
