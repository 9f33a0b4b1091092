// The store beside what it should hold: random operations, snapshots, merges, reverts, faults, kills and reopening.
#pragma once

#include "test/native/store/support/faulty_disk.h"
#include "test/native/store/support/model_clones.h"
#include "test/native/store/support/model_readers.h"

namespace cairn::test {

class StoreModel {
 public:
  StoreModel(uint32_t block_size, store::CacheMode mode, uint64_t seed);

  /// Ends early when something is wrong, which has failed the test then.
  void run(uint64_t operations);
  uint64_t operations() const { return operations_; }

 private:
  struct Range {
    uint64_t first;  // in sectors
    uint64_t count;
    uint64_t offset() const { return first * sector_size; }
    uint64_t bytes() const { return count * sector_size; }
  };
  /// What a batch of operations ends with, once nothing runs any more.
  enum class End : uint8_t { none, closed, killed };
  static constexpr uint64_t first_size = 20 * mebibyte;
  static constexpr uint64_t size_max = 26 * mebibyte;
  static constexpr uint64_t sectors_max = mebibyte / sector_size;

  uint64_t below(uint64_t limit) { return random_() % limit; }
  Range range();
  std::span<std::byte> memory(Range range) { return memory_.span().first(range.bytes()); }

  /// All in one run of the reactor: merges go on between the operations.
  Task<End> batch(uint64_t operations);
  Task<End> step();
  Task<> change();
  Task<> change_tree();
  // Operations on bytes: whether it succeeded.
  Task<Status> write(Range range);
  Task<Status> trim(Range range);
  Task<Status> write_zeroes(Range range);
  Status done(Status status, Range range, uint64_t tag);
  Task<> compare(Range range);
  void check(Range range);
  Task<> flush();
  Task<> settle_doubts();
  void compare_all();

  Task<> take_snapshot();
  Task<> delete_snapshot();
  Task<> revert();
  Task<> clone();
  Task<> grow();
  Task<> open_reader();
  void scrub();
  Task<End> suffer_faults();
  void break_disk(FaultyDisk& disk, bool full_too);

  uint32_t block_size_;
  StoreFixture fixture_;
  std::mt19937_64 random_;
  AlignedMemory memory_{size_max};
  uint64_t operations_ = 0;
  uint64_t last_tag_ = 0;
  ModelClones clones_;
  ModelReaders readers_;
  SectorTags content_;
  std::map<std::string, SectorTags> snapshots_;
  bool faulty_ = false;
  std::map<uint64_t, std::vector<uint64_t>> doubts_;  // what a sector may hold besides, for a write to it has failed
};

}  // namespace cairn::test
