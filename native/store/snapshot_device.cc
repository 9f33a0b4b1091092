#include "store/snapshot_device.h"

#include <algorithm>

#include "store/chain_read.h"

namespace cairn::store {
namespace {

Task<Status> read_only() { co_return Status::from_errno(EPERM); }

}  // namespace

void append_extents(const ReadIndex& index, uint64_t offset, uint64_t length, const std::vector<bool>* unchanged,
                    size_t extents_max, std::vector<Extent>& extents) {
  for_each_piece(index, offset, length, [&](Source source, uint64_t from, uint64_t to) {
    const bool zero = unchanged == nullptr && source.reads_zero();
    const bool changed = unchanged != nullptr && source.slot() != 0 && !(*unchanged)[source.slot()];
    // Layers are not visible.
    if (!extents.empty() && extents.back().zero == zero && extents.back().changed == changed)
      extents.back().length += to - from;
    else if (extents.size() < extents_max)
      extents.push_back({to - from, zero, zero, changed});
    else
      return false;
    return true;
  });
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
  if (chain_.alignment.fits(offset, into)) return read_runs(offset, into);
  return read_around(offset, into,
                     [this](uint64_t start, std::span<std::byte> blocks) { return read_runs(start, blocks); });
}

Task<Status> SnapshotDevice::read_runs(uint64_t offset, std::span<std::byte> into) {
  return read_pieces(*chain_.index, offset, into,
                     [this](Source source, std::span<std::byte> piece, uint64_t from, PieceJoin& join) {
                       read_piece(data_[source.slot() - 1], piece, from, join);
                     });
}

Detached SnapshotDevice::read_piece(const File& file, std::span<std::byte> into, uint64_t offset, PieceJoin& join) {
  join.done(co_await reactor_.read(file, into, offset));
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
