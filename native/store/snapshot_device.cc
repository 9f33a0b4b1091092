#include "store/snapshot_device.h"

#include <algorithm>

#include "base/aligned_memory.h"

namespace cairn::store {
namespace {

Task<Status> read_only() { co_return Status::from_errno(EPERM); }

}  // namespace

void append_extents(const ReadIndex& index, uint64_t offset, uint64_t length, const std::vector<bool>* unchanged,
                    size_t extents_max, std::vector<Extent>& extents) {
  const uint64_t end_byte = offset + length;
  const uint64_t end = (end_byte + store_block_size - 1) / store_block_size;
  for (uint64_t block = offset / store_block_size; block < end;) {
    const SourceRun run = index.run_at(block, end);
    block += run.count;
    const uint64_t from = std::max(offset, run.first * store_block_size);
    const uint64_t to = std::min(end_byte, block * store_block_size);
    const bool zero = unchanged == nullptr && run.source.reads_zero();
    const bool changed = unchanged != nullptr && run.source.slot() != 0 && !(*unchanged)[run.source.slot()];
    const Extent extent{to - from, zero, zero, changed};
    // Layers are not visible.
    if (!extents.empty() && extents.back().zero == zero && extents.back().changed == changed)
      extents.back().length += extent.length;
    else if (extents.size() < extents_max)
      extents.push_back(extent);
    else
      return;
  }
}

SnapshotDevice::SnapshotDevice(Reactor& reactor, SnapshotChain chain, std::shared_ptr<SnapshotPins> pins)
    : reactor_(reactor), chain_(std::move(chain)), pins_(std::move(pins)) {
  for (LayerFiles& layer : chain_.files) {
    layers_.push_back(layer.number);
    ++pins_->layers[layer.number];
    data_.push_back(reactor.adopt(std::move(layer.data)));
  }
  chain_.files.clear();  // the maps have been read
  ++pins_->snapshots[chain_.id];
}

SnapshotDevice::~SnapshotDevice() {
  for (const uint32_t layer : layers_)
    if (--pins_->layers[layer] == 0) pins_->layers.erase(layer);
  if (--pins_->snapshots[chain_.id] == 0) pins_->snapshots.erase(chain_.id);
  if (pins_->released) pins_->released();
}

Geometry SnapshotDevice::geometry() const {
  Geometry geometry;
  geometry.size = chain_.size_bytes;
  geometry.logical_block_size = chain_.block_size;
  geometry.preferred_block_size = store_block_size;
  geometry.read_only = true;
  geometry.can_trim = false;
  geometry.can_write_zeroes = false;
  return geometry;
}

Task<Status> SnapshotDevice::read(uint64_t offset, std::span<std::byte> into) {
  const bool aligned = offset % chain_.alignment.offset == 0 && into.size() % chain_.alignment.offset == 0 &&
                       reinterpret_cast<uintptr_t>(into.data()) % chain_.alignment.memory == 0;
  if (aligned) co_return co_await read_runs(offset, into);
  // What direct I/O cannot read as it is: the blocks around it.
  const uint64_t start = offset / store_block_size * store_block_size;
  const uint64_t end = (offset + into.size() + store_block_size - 1) / store_block_size * store_block_size;
  const AlignedMemory memory(end - start);
  if (!memory.valid()) co_return Status::from_errno(ENOMEM);
  const Status status = co_await read_runs(start, memory.span());
  if (status.ok())
    std::copy_n(memory.span().begin() + static_cast<ptrdiff_t>(offset - start), into.size(), into.begin());
  co_return status;
}

Task<Status> SnapshotDevice::read_runs(uint64_t offset, std::span<std::byte> into) {
  const uint64_t end_byte = offset + into.size();
  const uint64_t end = (end_byte + store_block_size - 1) / store_block_size;
  for (uint64_t block = offset / store_block_size; block < end;) {
    const SourceRun run = chain_.index->run_at(block, end);
    block += run.count;
    const uint64_t from = std::max(offset, run.first * store_block_size);
    const uint64_t to = std::min(end_byte, block * store_block_size);
    const std::span<std::byte> piece = into.subspan(from - offset, to - from);
    if (run.source.reads_zero()) {
      std::fill(piece.begin(), piece.end(), std::byte{0});
      continue;
    }
    const Status status = co_await reactor_.read(data_[run.source.slot() - 1], piece, from);
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

Task<Status> SnapshotDevice::write(uint64_t, std::span<const std::byte>, Durability) { return read_only(); }
Task<Status> SnapshotDevice::trim(uint64_t, uint64_t, Durability) { return read_only(); }
Task<Status> SnapshotDevice::write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) { return read_only(); }
Task<Status> SnapshotDevice::flush() { co_return Status(); }

Task<Status> SnapshotDevice::block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                                          std::vector<Extent>& extents) {
  if (!query.since) {
    append_extents(*chain_.index, offset, length, nullptr, extents_max, extents);
    co_return Status();
  }
  const auto at = chain_.positions.find(*query.since);
  if (at == chain_.positions.end()) co_return Status::from_errno(EINVAL);
  std::vector<bool> unchanged(data_.size() + 1);
  std::fill_n(unchanged.begin() + 1, at->second + 1, true);
  append_extents(*chain_.index, offset, length, &unchanged, extents_max, extents);
  co_return Status();
}

}  // namespace cairn::store
