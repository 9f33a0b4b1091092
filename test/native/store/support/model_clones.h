// Clones of the model's snapshots: volumes of their own over shared files, which must not feel each other.
#pragma once

#include <map>
#include <random>

#include "test/native/store/store_fixture.h"
#include "test/native/store/support/model_sectors.h"
#include "test/native/store/support/opened_store.h"

namespace cairn::test {

class ModelClones {
 public:
  ModelClones(std::mt19937_64& random, store::CacheMode mode) : random_(random), mode_(mode) {}

  bool full() const { return clones_.size() >= clones_max; }
  /// For the next clone.
  store::CloneTarget target(const std::string& snapshot_id);
  void add(const store::CloneTarget& target, SectorTags content) { clones_[target.directory] = std::move(content); }
  /// Opens one, reads, writes, flattens it as it happens, closes it; or deletes it. Returns the number of operations.
  uint64_t visit();
  void check_all();

 private:
  static constexpr size_t clones_max = 3;

  uint64_t below(uint64_t limit) { return random_() % limit; }
  uint64_t work(OpenedStore& store, SectorTags& content);
  void write(OpenedStore& store, SectorTags& content);
  void check(OpenedStore& store, const SectorTags& content, uint64_t first, uint64_t count);

  std::mt19937_64& random_;
  store::CacheMode mode_;
  TemporaryDirectory directory_;
  store::Uuid boot_ = store::random_uuid();
  uint64_t made_ = 0;
  uint64_t last_tag_ = uint64_t{1} << 48;  // apart from the tags of the volume that they are clones of
  std::map<std::string, SectorTags> clones_;
};

}  // namespace cairn::test
