// Clients of the model's snapshots: devices that stay open while the volume goes on, and read what the snapshots hold.
#pragma once

#include <map>
#include <random>

#include "test/native/store/store_fixture.h"
#include "test/native/store/support/model_sectors.h"

namespace cairn::test {

class ModelReaders {
 public:
  explicit ModelReaders(std::mt19937_64& random) : random_(random) {}

  bool full() const { return readers_.size() >= readers_max; }
  bool has(const std::string& snapshot) const { return readers_.contains(snapshot); }
  /// The snapshot's name is its id.
  Task<> open(store::LayeredStore& store, std::string id, SectorTags content);
  /// Some read, or end.
  Task<> visit();
  void clear() { readers_.clear(); }

 private:
  static constexpr size_t readers_max = 3;
  struct Reader {
    std::unique_ptr<BlockDevice> device;
    SectorTags content;
  };

  uint64_t below(uint64_t limit) { return random_() % limit; }
  Task<> read(Reader& reader);

  std::mt19937_64& random_;
  AlignedMemory memory_{mebibyte};
  std::map<std::string, Reader> readers_;
};

}  // namespace cairn::test
