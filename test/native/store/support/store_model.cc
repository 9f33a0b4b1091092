#include "test/native/store/support/store_model.h"

#include <algorithm>

namespace cairn::test {
namespace {

constexpr uint64_t block_sectors = store_block_size / sector_size;
constexpr size_t snapshots_max = 12;

void expect_ok(Status status) { EXPECT_TRUE(status.ok()) << status.message(); }
void expect_ok(const Result<Unit>& result) { EXPECT_TRUE(result.ok()) << result.error().message; }

uint64_t word_of(uint64_t tag, uint64_t sector, size_t index) {
  return tag == 0 ? 0 : tag * 0x9e3779b97f4a7c15 + sector * 64 + index;
}

void fill(std::span<std::byte> bytes, uint64_t tag, uint64_t sector) {
  for (size_t index = 0; index < sector_size / 8; ++index) {
    const uint64_t word = word_of(tag, sector, index);
    std::memcpy(bytes.data() + index * 8, &word, 8);
  }
}

bool holds(std::span<const std::byte> bytes, uint64_t tag, uint64_t sector) {
  uint64_t difference = 0;
  for (size_t index = 0; index < sector_size / 8; ++index) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + index * 8, 8);
    difference |= word ^ word_of(tag, sector, index);
  }
  return difference == 0;
}

}  // namespace

StoreModel::StoreModel(uint32_t block_size, store::CacheMode mode, uint64_t seed)
    : block_size_(block_size),
      fixture_(volume_size, block_size, mode),
      random_(seed),
      content_(volume_size / sector_size) {}

void StoreModel::run(uint64_t operations) {
  for (; operations_ < operations && !::testing::Test::HasFailure(); ++operations_) {
    step();
    if (::testing::Test::HasFailure()) ADD_FAILURE() << "at operation " << operations_;
  }
  if (!::testing::Test::HasFailure()) compare_all();
}

/// Mostly small and often the same places, so that operations meet.
StoreModel::Range StoreModel::range() {
  const uint64_t unit = block_size_ / sector_size;
  const uint64_t units = content_.size() / unit;
  const uint64_t units_max = below(64) == 0 ? sectors_max / unit : 12;
  const uint64_t first = below(3) == 0 ? below(units) : below(units / 5);
  const uint64_t count = std::min(1 + below(units_max), units - first);
  return {first * unit, count * unit};
}

void StoreModel::step() {
  const uint64_t kind = below(1000);
  if (kind < 20) return change_tree();
  if (kind < 24) return reopen();
  if (kind < 28) return kill();
  if (kind < 32) return suffer_faults();
  if (kind < 60) return expect_ok(fixture_.flush());
  if (kind < 350) return compare(range());
  change();
}

void StoreModel::change() {
  const uint64_t kind = below(8);
  const Status status = kind == 0 ? trim(range()) : kind == 1 ? write_zeroes(range()) : write(range());
  if (!faulty_) expect_ok(status);
}

void StoreModel::change_tree() {
  const uint64_t kind = below(20);
  if (kind < 9) return take_snapshot();
  if (kind < 18) return delete_snapshot();
  revert();
}

// ---- Bytes ----------------------------------------------------------------------------------------------------------

/// What a failed write has left, nobody knows until it is read.
Status StoreModel::done(Status status, Range range, uint64_t tag) {
  for (uint64_t sector = range.first; sector < range.first + range.count; ++sector) {
    if (status.ok()) {
      content_[sector] = tag;
      doubts_.erase(sector);
    } else {
      doubts_[sector].push_back(tag);
    }
  }
  return status;
}

Status StoreModel::write(Range range) {
  const uint64_t tag = ++last_tag_;
  for (uint64_t at = 0; at < range.count; ++at)
    fill(memory_.span().subspan(at * sector_size, sector_size), tag, range.first + at);
  const Durability durability = below(20) == 0 ? Durability::durable : Durability::buffered;
  return done(fixture_.wait(fixture_.store().write(range.offset(), memory(range), durability)), range, tag);
}

Status StoreModel::trim(Range range) {
  const Status status = fixture_.trim(range.offset(), range.bytes());
  const uint64_t first = (range.first + block_sectors - 1) / block_sectors * block_sectors;
  const uint64_t end = (range.first + range.count) / block_sectors * block_sectors;
  return done(status, {first, end > first ? end - first : 0}, 0);
}

Status StoreModel::write_zeroes(Range range) {
  const ZeroMode mode = below(2) == 0 ? ZeroMode::may_unmap : ZeroMode::keep_space;
  return done(fixture_.zero(range.offset(), range.bytes(), mode), range, 0);
}

void StoreModel::compare(Range range) {
  const Status status = fixture_.wait(fixture_.store().read(range.offset(), memory(range)));
  if (faulty_ && !status.ok()) return;
  expect_ok(status);
  for (uint64_t at = 0; at < range.count; ++at) {
    const uint64_t sector = range.first + at;
    const std::span<const std::byte> found = memory_.span().subspan(at * sector_size, sector_size);
    if (holds(found, content_[sector], sector)) continue;
    const auto doubt = doubts_.find(sector);
    const bool explained =
        doubt != doubts_.end() && std::any_of(doubt->second.begin(), doubt->second.end(),
                                              [&](uint64_t tag) { return holds(found, tag, sector); });
    if (explained) continue;
    ADD_FAILURE() << "sector " << sector << " does not hold write " << content_[sector];
    return;
  }
}

void StoreModel::compare_all() {
  compare({0, content_.size()});
  for (const auto& [id, tags] : snapshots_) {
    expect_ok(fixture_.revert(id));
    content_ = tags;
    compare({0, content_.size()});
    if (::testing::Test::HasFailure()) ADD_FAILURE() << "of snapshot " << id;
  }
}

/// Whatever is there now stays there.
void StoreModel::settle_doubts() {
  for (auto& [sector, tags] : doubts_) {
    const std::span<std::byte> bytes = memory({sector, 1});
    expect_ok(fixture_.wait(fixture_.store().read(sector * sector_size, bytes)));
    tags.push_back(content_[sector]);
    const auto found = std::find_if(tags.begin(), tags.end(), [&](uint64_t tag) { return holds(bytes, tag, sector); });
    EXPECT_NE(found, tags.end()) << "sector " << sector << " holds none of the writes that failed, nor the one before";
    if (found != tags.end()) content_[sector] = *found;
  }
  doubts_.clear();
}

// ---- The tree -------------------------------------------------------------------------------------------------------

void StoreModel::take_snapshot() {
  if (snapshots_.size() >= snapshots_max) return;
  store::Uuid uuid{};
  for (uint8_t& byte : uuid) byte = static_cast<uint8_t>(random_());
  const std::string id = store::format_uuid(uuid);
  expect_ok(fixture_.snapshot(id));
  snapshots_[id] = content_;
}

void StoreModel::delete_snapshot() {
  if (snapshots_.empty()) return;
  const auto at = std::next(snapshots_.begin(), static_cast<ptrdiff_t>(below(snapshots_.size())));
  expect_ok(fixture_.remove(at->first));
  snapshots_.erase(at);
  if (below(2) == 0) fixture_.settle();
}

void StoreModel::revert() {
  if (snapshots_.empty()) return;
  const auto at = std::next(snapshots_.begin(), static_cast<ptrdiff_t>(below(snapshots_.size())));
  expect_ok(fixture_.revert(at->first));
  content_ = at->second;
}

void StoreModel::reopen() {
  fixture_.close();
  fixture_.open();
}

/// Without a word to the store, though not in the middle of a merge: that needs a process of its own (kill_test.cc).
void StoreModel::kill() {
  fixture_.settle();
  fixture_.abandon();
  fixture_.open();
}

// ---- Faults ---------------------------------------------------------------------------------------------------------

void StoreModel::break_disk(FaultyDisk& disk) {
  using Kind = IoTap::Kind;
  struct Fault {
    Kind kind;
    const char* file;
    int error;
  };
  constexpr std::array faults = {Fault{Kind::read, ".data", EIO},     Fault{Kind::write, ".data", EIO},
                                 Fault{Kind::write, ".data", ENOSPC}, Fault{Kind::write, ".map", ENOSPC},
                                 Fault{Kind::write, "ring", ENOSPC},  Fault{Kind::write, "ring", EIO},
                                 Fault{Kind::sync, ".data", EIO},     Fault{Kind::sync, ".map", EIO},
                                 Fault{Kind::write, ".map", EIO},     Fault{Kind::punch, ".data", EIO}};
  const Fault& fault = faults[below(faults.size())];
  disk.fail(fault.kind, fault.file, fault.error);
}

void StoreModel::suffer_faults() {
  fixture_.settle();  // a merge that meets a full disk waits for seconds
  faulty_ = true;
  {
    FaultyDisk disk(fixture_);
    break_disk(disk);
    for (uint64_t left = 1 + below(4); left > 0; --left) {
      const uint64_t kind = below(4);
      if (kind == 0)
        compare(range());
      else if (kind == 1)
        (void)fixture_.flush().ok();
      else
        change();
    }
  }
  faulty_ = false;
  if (!fixture_.store().failure().empty()) kill();
  settle_doubts();
}

}  // namespace cairn::test
