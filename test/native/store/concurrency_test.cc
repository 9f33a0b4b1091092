// Many operations at once on the same blocks: every block is a register whose history must be linearizable.
#include <fcntl.h>
#include <sys/stat.h>

#include "test/native/store/store_fixture.h"
#include "test/native/store/support/register_history.h"
#include "test/native/store/support/tagged_sectors.h"
#include "test/native/support/scale.h"

namespace cairn::test {
namespace {

constexpr uint32_t block_count = 48;
/// The sectors of a block that are registers: a disk promises no more than whole sectors, and the outer ones are left
/// out by writes of a part of a block.
constexpr std::array<uint32_t, 3> watched_in_block = {0, 4, 7};
/// Side by side across the border of two map sectors.
constexpr uint64_t first_block = store::map_sector_blocks - block_count / 2;

/// Holds operations back for a moment, so that they meet in orders that a fast disk never shows. A block is never
/// written directly and through the page cache at the same time: the kernel would not keep the two the same.
class SlowDisk final : public IoTap {
 public:
  explicit SlowDisk(uint64_t seed) : random_(seed) {}
  Status before(const Event& event) override {
    if (event.kind != Kind::write) return Status();
    const Write write = write_of(event);
    for (const Write& other : under_way_) {
      const bool overlap = write.offset < other.offset + other.length && other.offset < write.offset + write.length;
      EXPECT_FALSE(overlap && write.inode == other.inode && write.direct != other.direct) << "at " << write.offset;
    }
    ++(write.direct ? direct_writes : cached_writes);
    under_way_.push_back(write);
    return Status();
  }
  void after(const Event& event) override {
    if (event.kind != Kind::write) return;
    const auto at = std::find(under_way_.begin(), under_way_.end(), write_of(event));
    CAIRN_ASSERT(at != under_way_.end());
    under_way_.erase(at);
  }
  std::chrono::nanoseconds delay(const Event&) override {
    return std::chrono::microseconds(random_() % 4 == 0 ? random_() % 400 : 0);
  }

  uint64_t direct_writes = 0;
  uint64_t cached_writes = 0;

 private:
  struct Write {
    uint64_t inode;
    bool direct;
    uint64_t offset;
    uint64_t length;
    friend bool operator==(const Write&, const Write&) = default;
  };
  static Write write_of(const Event& event) {
    struct stat status {};
    ::fstat(event.fd, &status);
    return {status.st_ino, (::fcntl(event.fd, F_GETFL) & O_DIRECT) != 0, event.offset, event.length};
  }
  std::mt19937_64 random_;
  std::vector<Write> under_way_;
};

/// Clients without order among them, and snapshots, merges and flushes between.
class Clients {
 public:
  Clients(uint32_t block_size, store::CacheMode mode, uint64_t seed, bool zeroes, bool waiting = false)
      : block_size_(block_size),
        zeroes_(zeroes),
        random_(seed),
        slow_disk_(seed),
        fixture_(4 * store::map_sector_blocks * 4096, block_size, mode),
        running_(fixture_.loop().reactor().ready()) {
    fixture_.loop().reactor().set_tap(&slow_disk_);
    if (waiting) fixture_.loop().reactor().assume_waiting_clients();
  }

  void run(size_t clients, size_t steps) {
    clients_running_ = clients;
    for (size_t client = 0; client < clients; ++client) start(client_of(steps));
    start(layers());
    fixture_.loop().wait(running_.wait_idle());
    fixture_.settle();
    fixture_.loop().wait(read(0, block_count));
    print_total(clock_ / 2, "operations in linearizable histories");
    print_total(fixture_.events.size(), "merges under them");
    print_total(slow_disk_.direct_writes, "direct writes");
    print_total(slow_disk_.cached_writes, "writes through the page cache");
    for (const auto& [sector, history] : histories_)
      EXPECT_EQ(register_violation(history), "") << "sector " << sector % 8 << " of block " << sector / 8;
    for (const store::StoreEvent& event : fixture_.events)
      EXPECT_NE(event.kind, store::StoreEvent::Kind::failed) << event.message;
  }

 private:
  void start(Task<> task) {
    running_.add();
    run_detached(std::move(task), [this] { running_.remove(); });
  }
  uint64_t below(uint64_t limit) { return random_() % limit; }

  Task<> client_of(size_t steps) {
    for (size_t step = 0; step < steps; ++step) {
      const auto first = static_cast<uint32_t>(below(block_count));
      // Large ones go past the page cache also where nobody has written.
      const uint64_t most = below(8) == 0 ? 24 : 4;
      const auto count = static_cast<uint32_t>(1 + below(std::min<uint64_t>(most, block_count - first)));
      const uint64_t kind = below(16);
      if (kind == 0)
        expect_ok(co_await fixture_.store().flush());
      else if (kind <= 8)
        co_await read(first, count);
      else if (kind <= 10 && zeroes_)
        co_await zero(first, count);
      else
        co_await write(first, count);
    }
    --clients_running_;
  }

  /// Only words are read whole while they are written: the page cache copies without a lock.
  static std::optional<uint64_t> tag_of_word(std::span<const std::byte> bytes, uint32_t sector) {
    Bytes whole(sector_size);
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    if (word != 0) stamp(whole, sector, word >> 20);
    return std::equal(bytes.begin(), bytes.begin() + sizeof word, whole.begin()) ? std::optional(word >> 20)
                                                                                 : std::nullopt;
  }

  Task<> write(uint32_t first, uint32_t count) {
    const uint64_t tag = ++last_tag_;
    AlignedMemory memory(count * store_block_size + store_block_size);
    // Odd memory goes the way of everything that direct I/O does not take.
    const size_t skew = below(6) == 0 ? 8 : 0;
    const std::span<std::byte> bytes = memory.span().subspan(skew, count * store_block_size);
    stamp(bytes, first * 8, tag);
    const size_t cut = block_size_ == 512 && below(2) == 0 ? 3 * sector_size : 0;  // both edges in part
    const uint64_t began = ++clock_;
    expect_ok(co_await fixture_.store().write((first_block + first) * store_block_size + cut,
                                              bytes.subspan(cut, bytes.size() - 2 * cut),
                                              below(10) == 0 ? Durability::durable : Durability::buffered));
    note(first * 8 + cut / sector_size, (first + count) * 8 - cut / sector_size, tag, began);
  }
  Task<> zero(uint32_t first, uint32_t count) {
    const uint64_t offset = (first_block + first) * store_block_size;
    const uint64_t kind = below(3);
    const uint64_t began = ++clock_;
    if (kind == 0)
      expect_ok(co_await fixture_.store().trim(offset, count * store_block_size, Durability::buffered));
    else
      expect_ok(co_await fixture_.store().write_zeroes(offset, count * store_block_size,
                                                       kind == 1 ? ZeroMode::may_unmap : ZeroMode::keep_space,
                                                       Durability::buffered));
    note(first * 8, (first + count) * 8, 0, began);
  }
  Task<> read(uint32_t first, uint32_t count) {
    const AlignedMemory memory(count * store_block_size);
    const uint64_t began = ++clock_;
    expect_ok(co_await fixture_.store().read((first_block + first) * store_block_size, memory.span()));
    const uint64_t ended = ++clock_;
    for (uint32_t sector = first * 8; sector < (first + count) * 8; ++sector) {
      if (!watched(sector)) continue;
      const auto tag = tag_of_word(memory.span().subspan((sector - first * 8) * sector_size, sizeof(uint64_t)), sector);
      EXPECT_TRUE(tag.has_value()) << "sector " << sector << " holds what nobody wrote";
      if (tag) histories_[sector].push_back({false, *tag, began, ended});
    }
  }
  void note(size_t first_sector, size_t end_sector, uint64_t value, uint64_t began) {
    const uint64_t ended = ++clock_;
    for (size_t sector = first_sector; sector < end_sector; ++sector)
      if (watched(sector)) histories_[sector].push_back({true, value, began, ended});
  }
  static bool watched(size_t sector) {
    return std::find(watched_in_block.begin(), watched_in_block.end(), sector % 8) != watched_in_block.end();
  }

  Task<> layers() {
    std::vector<std::string> ids;
    while (clients_running_ > 0) {
      if (ids.size() < 4 && below(2) == 0) {
        ids.push_back(new_id());
        EXPECT_TRUE(succeeded(co_await fixture_.store().create_snapshot(ids.back(), ids.back())));
      } else if (!ids.empty()) {
        // Often the newest, for it is merged into the head that everybody writes.
        const size_t index = below(2) == 0 ? ids.size() - 1 : below(ids.size());
        EXPECT_TRUE(succeeded(co_await fixture_.store().delete_snapshot(ids[index])));
        ids.erase(ids.begin() + static_cast<ptrdiff_t>(index));
      }
      co_await fixture_.loop().reactor().sleep(std::chrono::microseconds(below(1000)));
    }
  }

  static void expect_ok(Status status) { EXPECT_TRUE(succeeded(status)); }

  uint32_t block_size_;
  bool zeroes_;
  std::mt19937_64 random_;
  SlowDisk slow_disk_;
  StoreFixture fixture_;
  InFlight running_;
  size_t clients_running_ = 0;
  uint64_t clock_ = 0;
  uint64_t last_tag_ = 0;
  std::map<size_t, std::vector<RegisterOperation>> histories_;  // by sector, counted from the first block
};

size_t steps() { return scale("CAIRN_HISTORY_STEPS", 800); }

TEST(StoreConcurrency, BlocksAreLinearizableUnderWritesSnapshotsAndMerges) {
  Clients(4096, store::CacheMode::none, test_seed(), false).run(8, steps());
}
TEST(StoreConcurrency, BlocksAreLinearizableWithTrimsAndZeroes) {
  Clients(4096, store::CacheMode::none, test_seed(), true).run(8, steps());
}
TEST(StoreConcurrency, PartsOfBlocksAreLinearizable) {
  Clients(512, store::CacheMode::none, test_seed(), true).run(8, steps());
}
TEST(StoreConcurrency, BlocksAreLinearizableWhereOverwritesAreAnsweredEarly) {
  Clients(512, store::CacheMode::none, test_seed(), true, true).run(3, 3 * steps());
}
TEST(StoreConcurrency, BlocksAreLinearizableThroughThePageCache) {
  Clients(512, store::CacheMode::writeback, test_seed(), true).run(8, steps());
}

/// Holds back what is longer than a block: merges, not the clients of the test below.
class SlowCopies final : public IoTap {
 public:
  Status before(const Event&) override { return Status(); }
  void after(const Event&) override {}
  std::chrono::nanoseconds delay(const Event& event) override {
    return std::chrono::milliseconds(event.length > store_block_size ? 3 : 0);
  }
};

/// One after the other, while the merge of the snapshot below copies them.
Task<> remove_and_overwrite(StoreFixture& fixture, std::string id, uint32_t blocks) {
  EXPECT_TRUE(succeeded(co_await fixture.store().delete_snapshot(id)));
  const AlignedMemory memory(store_block_size);
  for (uint32_t block = 0; block < blocks; ++block) {
    co_await fixture.loop().reactor().sleep(std::chrono::microseconds(50));
    const Bytes bytes = pattern(2 + block, store_block_size);
    std::copy(bytes.begin(), bytes.end(), memory.span().begin());
    const Status written =
        co_await fixture.store().write(block * store_block_size, memory.span(), Durability::buffered);
    EXPECT_TRUE(succeeded(written));
  }
}

struct MergeCase {
  const char* name;
  uint32_t below;        // blocks of the removed snapshot, from the first on
  uint32_t above_first;  // blocks of the head
  uint32_t above;
};

class StoreMergeRace : public ::testing::TestWithParam<MergeCase> {};

TEST_P(StoreMergeRace, AWriteInTheMiddleOfTheMergeOfItsBlockWins) {
  constexpr uint32_t blocks = 160;
  const MergeCase& layers = GetParam();
  StoreFixture fixture(2 * mebibyte, 4096);
  const std::string id = new_id();
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, layers.below * store_block_size))));
  ASSERT_TRUE(succeeded(fixture.snapshot(id)));
  ASSERT_TRUE(
      succeeded(fixture.write(layers.above_first * store_block_size, pattern(3, layers.above * store_block_size))));
  SlowCopies slow_copies;
  fixture.loop().reactor().set_tap(&slow_copies);
  fixture.loop().wait(remove_and_overwrite(fixture, id, blocks));
  fixture.settle();
  fixture.loop().reactor().set_tap(nullptr);
  for (uint32_t block = 0; block < blocks; ++block)
    EXPECT_EQ(fixture.read(block * store_block_size, store_block_size), pattern(2 + block, store_block_size))
        << "block " << block;
}

INSTANTIATE_TEST_SUITE_P(Of, StoreMergeRace,
                         ::testing::Values(MergeCase{"ASmallSnapshotIntoTheHead", 160, 160, 300},
                                           MergeCase{"ASmallHeadIntoTheSnapshot", 400, 0, 160}),
                         [](const auto& tested) { return tested.param.name; });

using History = std::vector<RegisterOperation>;

TEST(RegisterHistory, OverlappingOperationsInAnyOrderAreFine) {
  EXPECT_EQ(register_violation(History{{true, 1, 1, 6}, {true, 2, 2, 5}, {false, 2, 3, 4}, {false, 1, 7, 8}}), "");
  EXPECT_EQ(register_violation(History{{false, 0, 1, 2}, {true, 1, 3, 4}, {true, 0, 5, 6}, {false, 0, 7, 8}}), "");
}
TEST(RegisterHistory, AReadOfAReplacedValueIsFound) {
  EXPECT_NE(register_violation(History{{true, 1, 1, 2}, {true, 2, 3, 4}, {false, 1, 5, 6}}), "");
  EXPECT_NE(register_violation(History{{true, 1, 1, 2}, {false, 0, 3, 4}}), "");
  EXPECT_NE(register_violation(History{{true, 0, 1, 2}, {true, 1, 3, 4}, {false, 0, 5, 6}}), "");
}
TEST(RegisterHistory, AReadOfWhatNobodyWroteIsFound) { EXPECT_NE(register_violation(History{{false, 9, 1, 2}}), ""); }
TEST(RegisterHistory, TwoReadersThatSeeDifferentOrdersAreFound) {
  EXPECT_NE(register_violation(
                History{{true, 1, 1, 10}, {true, 2, 2, 9}, {false, 1, 11, 12}, {false, 2, 13, 14}, {false, 1, 15, 16}}),
            "");
}

}  // namespace
}  // namespace cairn::test
