// The store beside a vector of bytes: random operations, snapshots, merges, reverts and reopening, with a printed seed.
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

constexpr uint64_t volume_size = 20 * mebibyte;

class Model {
 public:
  Model(uint32_t block_size, store::CacheMode mode, uint64_t seed)
      : block_size_(block_size), fixture_(volume_size, block_size, mode), random_(seed), content_(volume_size) {}

  void run(size_t steps) {
    for (size_t step = 0; step < steps; ++step) {
      this->step();
      if (::testing::Test::HasFailure()) {
        ADD_FAILURE() << "at step " << step;
        return;
      }
    }
    expect_all_same();
  }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }

  /// Mostly small and often the same places, so that operations meet.
  std::pair<uint64_t, uint64_t> range() {
    const uint64_t blocks = volume_size / block_size_;
    const uint64_t length_max = below(8) == 0 ? mebibyte / block_size_ : 24;
    const uint64_t first = below(3) == 0 ? below(blocks) : below(4 * mebibyte / block_size_);
    const uint64_t count = std::min(1 + below(length_max), blocks - first);
    return {first * block_size_, count * block_size_};
  }

  void step() {
    switch (below(40)) {
      case 0:
        return take_snapshot();
      case 1:
        return delete_snapshot();
      case 2:
        return below(4) == 0 ? revert() : void();
      case 3:
        return below(2) == 0 ? reopen() : void();
      case 4:
        return expect_ok(fixture_.wait(fixture_.store().flush()));
      case 5:
      case 6:
      case 7:
        return trim();
      case 8:
      case 9:
      case 10:
        return write_zeroes();
      default:
        return below(3) == 0 ? compare() : write();
    }
  }

  static void expect_ok(Status status) { EXPECT_TRUE(status.ok()) << status.message(); }
  static void expect_ok(const Result<Unit>& result) { EXPECT_TRUE(result.ok()) << result.error().message; }

  void write() {
    const auto [offset, length] = range();
    const Bytes bytes = random_bytes(random_, length);
    expect_ok(fixture_.write(offset, bytes, below(5) == 0 ? Durability::durable : Durability::buffered));
    std::copy(bytes.begin(), bytes.end(), content_.begin() + static_cast<ptrdiff_t>(offset));
  }
  void trim() {
    const auto [offset, length] = range();
    expect_ok(fixture_.wait(fixture_.store().trim(offset, length, Durability::buffered)));
    const uint64_t first = (offset + 4095) / 4096 * 4096;
    const uint64_t end = (offset + length) / 4096 * 4096;
    if (first < end) std::fill_n(content_.begin() + static_cast<ptrdiff_t>(first), end - first, std::byte{0});
  }
  void write_zeroes() {
    const auto [offset, length] = range();
    const ZeroMode mode = below(2) == 0 ? ZeroMode::may_unmap : ZeroMode::keep_space;
    expect_ok(fixture_.wait(fixture_.store().write_zeroes(offset, length, mode, Durability::buffered)));
    std::fill_n(content_.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
  }
  void compare() {
    const auto [offset, length] = range();
    const Bytes found = fixture_.read(offset, length);
    const auto expected = content_.begin() + static_cast<ptrdiff_t>(offset);
    const auto wrong = std::mismatch(found.begin(), found.end(), expected).first;
    EXPECT_TRUE(wrong == found.end()) << "read of " << length << " at " << offset << " is wrong from byte "
                                      << offset + static_cast<uint64_t>(wrong - found.begin());
  }
  void take_snapshot() {
    if (snapshots_.size() >= 12) return;
    store::Uuid uuid{};
    for (uint8_t& byte : uuid) byte = static_cast<uint8_t>(random_());
    const std::string id = store::format_uuid(uuid);
    expect_ok(fixture_.snapshot(id));
    snapshots_[id] = content_;
  }
  std::string any_snapshot() {
    auto at = snapshots_.begin();
    std::advance(at, below(snapshots_.size()));
    return at->first;
  }
  void delete_snapshot() {
    if (snapshots_.empty()) return;
    const std::string id = any_snapshot();
    expect_ok(fixture_.wait(fixture_.store().delete_snapshot(id)));
    snapshots_.erase(id);
    if (below(2) == 0) fixture_.loop().wait(fixture_.store().wait_maintenance());
  }
  void revert() {
    if (snapshots_.empty()) return;
    const std::string id = any_snapshot();
    expect_ok(fixture_.wait(fixture_.store().revert(id)));
    content_ = snapshots_[id];
  }
  void reopen() {
    fixture_.close();
    fixture_.open();
  }
  void expect_all_same() {
    EXPECT_EQ(fixture_.read(0, volume_size), content_);
    for (const auto& [id, content] : snapshots_) {
      expect_ok(fixture_.wait(fixture_.store().revert(id)));
      EXPECT_TRUE(fixture_.read(0, volume_size) == content) << "snapshot " << id;
    }
  }

  uint32_t block_size_;
  StoreFixture fixture_;
  std::mt19937_64 random_;
  Bytes content_;
  std::map<std::string, Bytes> snapshots_;
};

TEST(StoreModel, RandomOperationsOn4096ByteBlocksReadAsTheModel) {
  Model(4096, store::CacheMode::none, test_seed()).run(3000);
}
TEST(StoreModel, RandomOperationsOn512ByteBlocksReadAsTheModel) {
  Model(512, store::CacheMode::none, test_seed()).run(3000);
}
TEST(StoreModel, RandomOperationsThroughThePageCacheReadAsTheModel) {
  Model(512, store::CacheMode::writeback, test_seed()).run(3000);
}
TEST(StoreModel, RandomOperationsWithDurableWritesReadAsTheModel) {
  Model(4096, store::CacheMode::writethrough, test_seed()).run(500);
}

}  // namespace
}  // namespace cairn::test
