#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "aio/reactor.h"
#include "block/block_device.h"
#include "store/chain_read.h"
#include "store/replica.h"

namespace cairn::store {

/// What devices of snapshots hold fast. It outlives both the store and the devices.
struct SnapshotPins {
  std::map<uint32_t, size_t> layers;        // how many devices read a layer
  std::map<std::string, size_t> snapshots;  // how many are of a snapshot, by its id
  std::function<void()> released;           // of the store, while it lives
};

/// Everything a device needs of its snapshot.
struct SnapshotChain {
  std::string id;
  uint64_t size_bytes = 0;
  uint32_t block_size = 0;
  DirectAlignment alignment;
  std::vector<LayerFiles> files;         // base first
  std::unique_ptr<ReadIndex> index;      // the layer at position i has slot i + 1
  std::map<uint32_t, size_t> positions;  // by reference: a snapshot's layer in the chain
};

/// A snapshot's content, read-only, with files and an index of its own: what the volume does meanwhile, it does not
/// see.
class SnapshotDevice final : public BlockDevice {
 public:
  SnapshotDevice(Reactor& reactor, SnapshotChain chain, std::shared_ptr<SnapshotPins> pins);
  ~SnapshotDevice() override;

  Geometry geometry() const override;
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override;
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

 private:
  Task<Status> read_runs(uint64_t offset, std::span<std::byte> into);
  Detached read_piece(const File& file, std::span<std::byte> into, uint64_t offset, PieceJoin& join);

  Reactor& reactor_;
  SnapshotChain chain_;
  std::vector<uint32_t> layers_;  // their numbers
  std::vector<File> data_;        // base first
  std::shared_ptr<SnapshotPins> pins_;
};

/// Appends extents of [offset, offset + length) from the index, runs of one kind as one. `unchanged` (by slot): what
/// was there at the time asked about; null: allocation is asked for.
void append_extents(const ReadIndex& index, uint64_t offset, uint64_t length, const std::vector<bool>* unchanged,
                    size_t extents_max, std::vector<Extent>& extents);

}  // namespace cairn::store
