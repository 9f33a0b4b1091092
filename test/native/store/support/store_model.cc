#include "test/native/store/support/store_model.h"

#include <algorithm>

namespace cairn::test {
namespace {

constexpr uint64_t block_sectors = store_block_size / sector_size;
constexpr size_t snapshots_max = 12;

void expect_ok(Status status) { EXPECT_TRUE(status.ok()) << status.message(); }
void expect_ok(const Result<Unit>& result) { EXPECT_TRUE(result.ok()) << result.error().message; }

}  // namespace

StoreModel::StoreModel(uint32_t block_size, store::CacheMode mode, uint64_t seed)
    : block_size_(block_size),
      fixture_(first_size, block_size, mode),
      random_(seed),
      clones_(random_, mode),
      readers_(random_),
      content_(first_size / sector_size) {
  if (random_() % 2 == 0) fixture_.loop().reactor().assume_waiting_clients();
}

void StoreModel::run(uint64_t operations) {
  while (operations_ < operations && !::testing::Test::HasFailure()) {
    const End end = fixture_.wait(batch(std::min<uint64_t>(1 + below(500), operations - operations_)));
    if (below(4) == 0) operations_ += clones_.visit();
    if (end == End::none) continue;
    readers_.clear();
    fixture_.settle();
    fixture_.abandon();
    fixture_.open();
    fixture_.loop().wait(settle_doubts());
  }
  if (::testing::Test::HasFailure())
    ADD_FAILURE() << "at operation " << operations_;
  else
    compare_all();
  readers_.clear();
  clones_.check_all();
}

Task<StoreModel::End> StoreModel::batch(uint64_t operations) {
  End end = End::none;
  for (; operations > 0 && end == End::none && !::testing::Test::HasFailure(); --operations) {
    ++operations_;
    end = co_await step();
  }
  co_return end;
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

Task<StoreModel::End> StoreModel::step() {
  const uint64_t kind = below(1000);
  if (kind < 20) {
    co_await change_tree();
  } else if (kind < 24) {
    expect_ok(co_await fixture_.store().close());  // in the middle of a merge, as it happens
    co_return End::closed;
  } else if (kind < 28) {
    // Not in the middle of a merge: that needs a process of its own (kill_test.cc).
    co_await fixture_.store().wait_maintenance();
    co_return End::killed;
  } else if (kind < 32) {
    co_return co_await suffer_faults();
  } else if (kind < 60) {
    co_await flush();
  } else if (kind < 350) {
    co_await compare(range());
  } else {
    co_await change();
  }
  co_return End::none;
}

Task<> StoreModel::change() {
  const uint64_t kind = below(8);
  Task<Status> work = kind == 0 ? trim(range()) : kind == 1 ? write_zeroes(range()) : write(range());
  const Status status = co_await std::move(work);
  if (!faulty_) expect_ok(status);
}

Task<> StoreModel::change_tree() {
  const uint64_t kind = below(60);
  if (kind < 18) co_return co_await take_snapshot();
  if (kind < 36) co_return co_await delete_snapshot();
  if (kind < 38) co_return co_await revert();
  if (kind < 39) co_return co_await clone();
  if (kind < 40) co_return co_await grow();
  if (kind < 44) co_return co_await open_reader();
  if (kind < 56) co_return co_await readers_.visit();
  if (kind < 58) co_return scrub();
  fixture_.store().start_checksums();
}

Task<> StoreModel::flush() {
  const Status status = co_await fixture_.store().flush();
  if (!faulty_) expect_ok(status);
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

Task<Status> StoreModel::write(Range range) {
  const uint64_t tag = ++last_tag_;
  for (uint64_t at = 0; at < range.count; ++at)
    fill_model_sector(memory_.span().subspan(at * sector_size, sector_size), tag, range.first + at);
  const Durability durability = below(20) == 0 ? Durability::durable : Durability::buffered;
  const Status status = co_await fixture_.store().write(range.offset(), memory(range), durability);
  co_return done(status, range, tag);
}

Task<Status> StoreModel::trim(Range range) {
  const Status status = co_await fixture_.store().trim(range.offset(), range.bytes(), Durability::buffered);
  const uint64_t first = (range.first + block_sectors - 1) / block_sectors * block_sectors;
  const uint64_t end = (range.first + range.count) / block_sectors * block_sectors;
  const Range whole{first, end > first ? end - first : 0};
  co_return done(status, whole, 0);
}

Task<Status> StoreModel::write_zeroes(Range range) {
  const ZeroMode mode = below(2) == 0 ? ZeroMode::may_unmap : ZeroMode::keep_space;
  const Status status =
      co_await fixture_.store().write_zeroes(range.offset(), range.bytes(), mode, Durability::buffered);
  co_return done(status, range, 0);
}

Task<> StoreModel::compare(Range range) {
  const Status status = co_await fixture_.store().read(range.offset(), memory(range));
  if (faulty_ && !status.ok()) co_return;
  expect_ok(status);
  check(range);
}

/// What has been read into the memory.
void StoreModel::check(Range range) {
  for (uint64_t at = 0; at < range.count; ++at) {
    const uint64_t sector = range.first + at;
    const std::span<const std::byte> found = memory_.span().subspan(at * sector_size, sector_size);
    if (holds_tag(found, content_[sector], sector)) continue;
    const auto doubt = doubts_.find(sector);
    const bool explained =
        doubt != doubts_.end() && std::any_of(doubt->second.begin(), doubt->second.end(),
                                              [&](uint64_t tag) { return holds_tag(found, tag, sector); });
    if (explained) continue;
    ADD_FAILURE() << "sector " << sector << " does not hold write " << content_[sector];
    return;
  }
}

void StoreModel::compare_all() {
  fixture_.loop().wait(compare({0, content_.size()}));
  for (const auto& [id, tags] : snapshots_) {
    expect_ok(fixture_.revert(id));
    const uint64_t sectors = content_.size();
    content_ = tags;
    content_.resize(sectors);
    fixture_.loop().wait(compare({0, sectors}));
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "of snapshot " << id;
      return;
    }
  }
}

/// Whatever is there now stays there.
Task<> StoreModel::settle_doubts() {
  for (auto& [sector, tags] : doubts_) {
    const std::span<std::byte> bytes = memory({sector, 1});
    expect_ok(co_await fixture_.store().read(sector * sector_size, bytes));
    tags.push_back(content_[sector]);
    const auto found =
        std::find_if(tags.begin(), tags.end(), [&](uint64_t tag) { return holds_tag(bytes, tag, sector); });
    EXPECT_NE(found, tags.end()) << "sector " << sector << " holds none of the writes that failed, nor the one before";
    if (found != tags.end()) content_[sector] = *found;
  }
  doubts_.clear();
}

// ---- The tree -------------------------------------------------------------------------------------------------------

Task<> StoreModel::take_snapshot() {
  if (snapshots_.size() >= snapshots_max) co_return;
  store::Uuid uuid{};
  for (uint8_t& byte : uuid) byte = static_cast<uint8_t>(random_());
  const std::string id = store::format_uuid(uuid);
  const SectorTags content = content_;
  expect_ok(co_await fixture_.store().create_snapshot(id, id));
  snapshots_[id] = content;
}

Task<> StoreModel::delete_snapshot() {
  if (snapshots_.empty()) co_return;
  const auto at = std::next(snapshots_.begin(), static_cast<ptrdiff_t>(below(snapshots_.size())));
  const std::string id = at->first;
  const Result<Unit> deleted = co_await fixture_.store().delete_snapshot(id);
  if (readers_.has(id)) {
    EXPECT_EQ(code_of(deleted), "SNAPSHOT_IN_USE");
    co_return;
  }
  expect_ok(deleted);
  snapshots_.erase(id);
  if (below(4) == 0) co_await fixture_.store().wait_maintenance();
}

Task<> StoreModel::revert() {
  if (snapshots_.empty()) co_return;
  const auto at = std::next(snapshots_.begin(), static_cast<ptrdiff_t>(below(snapshots_.size())));
  const std::string id = at->first;
  expect_ok(co_await fixture_.store().revert(id));
  const uint64_t sectors = content_.size();
  content_ = snapshots_[id];
  content_.resize(sectors);  // the volume keeps its size
}

Task<> StoreModel::clone() {
  if (snapshots_.empty() || clones_.full()) co_return;
  const auto at = std::next(snapshots_.begin(), static_cast<ptrdiff_t>(below(snapshots_.size())));
  const SectorTags content = at->second;
  const store::CloneTarget target = clones_.target(at->first);
  expect_ok(co_await fixture_.store().clone(target));
  clones_.add(target, content);
}

Task<> StoreModel::grow() {
  const uint64_t size = content_.size() * sector_size + (1 + below(40)) * store_block_size;
  if (size > size_max) co_return;
  expect_ok(co_await fixture_.store().resize(size));
  content_.resize(size / sector_size);
}

Task<> StoreModel::open_reader() {
  if (snapshots_.empty() || readers_.full()) co_return;
  const auto at = std::next(snapshots_.begin(), static_cast<ptrdiff_t>(below(snapshots_.size())));
  if (!readers_.has(at->first)) co_await readers_.open(fixture_.store(), at->first, at->second);
}

/// It goes on between the operations, and finds nothing, for there is nothing.
void StoreModel::scrub() {
  const store::ScrubStatus& last = fixture_.store().scrub_status();
  EXPECT_TRUE(last.findings.empty()) << last.findings.front();
  EXPECT_EQ(last.blocks_damaged, 0U);
  EXPECT_EQ(last.repaired, 0U);
  if (last.state != store::ScrubStatus::State::running) expect_ok(fixture_.store().start_scrub());
}

// ---- Faults ---------------------------------------------------------------------------------------------------------

void StoreModel::break_disk(FaultyDisk& disk, bool full_too) {
  using Kind = IoTap::Kind;
  struct Fault {
    Kind kind;
    const char* file;
    int error;
  };
  constexpr std::array faults = {Fault{Kind::read, ".data", EIO},    Fault{Kind::write, ".data", EIO},
                                 Fault{Kind::write, "ring", EIO},    Fault{Kind::sync, ".data", EIO},
                                 Fault{Kind::sync, ".map", EIO},     Fault{Kind::write, ".map", EIO},
                                 Fault{Kind::punch, ".data", EIO},   Fault{Kind::write, ".data", ENOSPC},
                                 Fault{Kind::write, ".map", ENOSPC}, Fault{Kind::write, "ring", ENOSPC}};
  constexpr size_t full_disks = 3;
  const Fault& fault = faults[below(faults.size() - (full_too ? 0 : full_disks))];
  disk.fail(fault.kind, fault.file, fault.error);
}

/// A merge that meets a full disk waits for seconds, so that one is for quiet moments.
Task<StoreModel::End> StoreModel::suffer_faults() {
  const bool quiet = below(3) != 0;
  if (quiet) co_await fixture_.store().wait_maintenance();
  faulty_ = true;
  {
    FaultyDisk disk(fixture_);
    break_disk(disk, quiet);
    for (uint64_t left = 1 + below(4); left > 0; --left) {
      const uint64_t kind = below(4);
      Task<> work = kind == 0 ? compare(range()) : kind == 1 ? flush() : change();
      co_await std::move(work);
    }
  }
  faulty_ = false;
  if (!fixture_.store().failure().empty()) {
    co_await fixture_.store().wait_maintenance();
    co_return End::killed;
  }
  co_await settle_doubts();
  co_return End::none;
}

}  // namespace cairn::test
