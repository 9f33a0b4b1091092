// A store that is opened, killed and opened again, and the plain model it is compared with.
#pragma once

#include <sys/stat.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "base/aligned_memory.h"
#include "store/layered_store.h"
#include "store/uuid.h"
#include "test/native/support/on_reactor.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {

using Bytes = std::vector<std::byte>;

class StoreFixture {
 public:
  StoreFixture(uint64_t size, uint32_t block_size, store::CacheMode mode = store::CacheMode::none) : mode_(mode) {
    const store::NewReplica replica{path(), store::format_uuid(store::random_uuid()),
                                    store::format_uuid(store::random_uuid()), size, block_size};
    const Result<cairn::Unit> created = store::create_replica(replica);
    EXPECT_TRUE(created.ok()) << (created.ok() ? "" : created.error().message);
    open();
  }
  ~StoreFixture() {
    if (store_ != nullptr) close();
  }

  std::string path() const { return directory_.path() + "/replica"; }
  store::LayeredStore& store() { return *store_; }
  OnReactor& loop() { return loop_; }
  BlockingThread& blocking() { return blocking_; }
  template <typename T>
  T wait(Task<T> task) {
    return loop_.wait(std::move(task));
  }

  void open() {
    open_without_maintenance();
    if (store_ != nullptr) store_->resume_maintenance();
  }
  void open_without_maintenance() {
    Result<store::OpenedReplica> opened = store::open_replica(path(), {.cache_mode = mode_, .boot_id = boot_});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::make_unique<store::LayeredStore>(loop_.reactor(), blocking_, std::move(opened.value()),
                                                   [this](const store::StoreEvent& event) { events.push_back(event); });
  }
  /// As the death of the process leaves it: nothing is closed, nothing flushed. Open again with the same boot for a
  /// killed process, with `new_boot()` before for a power loss that kept all that the files hold.
  void abandon() { store_.reset(); }
  void new_boot() { boot_ = store::random_uuid(); }
  void close() {
    const Result<cairn::Unit> closed = wait(store_->close());
    EXPECT_TRUE(closed.ok()) << (closed.ok() ? "" : closed.error().message);
    store_.reset();
  }

  Bytes read(uint64_t offset, size_t length) {
    AlignedMemory memory((length + 4095) / 4096 * 4096);
    const Status status = wait(store_->read(offset, memory.span().first(length)));
    EXPECT_TRUE(status.ok()) << status.message();
    return Bytes(memory.span().begin(), memory.span().begin() + static_cast<ptrdiff_t>(length));
  }
  Status write(uint64_t offset, const Bytes& bytes, Durability durability = Durability::buffered) {
    AlignedMemory memory((bytes.size() + 4095) / 4096 * 4096);
    std::copy(bytes.begin(), bytes.end(), memory.span().begin());
    return wait(store_->write(offset, memory.span().first(bytes.size()), durability));
  }
  Status flush() { return wait(store_->flush()); }
  Status trim(uint64_t offset, uint64_t length, Durability durability = Durability::buffered) {
    return wait(store_->trim(offset, length, durability));
  }
  Status zero(uint64_t offset, uint64_t length, ZeroMode mode = ZeroMode::may_unmap,
              Durability durability = Durability::buffered) {
    return wait(store_->write_zeroes(offset, length, mode, durability));
  }
  Result<cairn::Unit> snapshot(const std::string& id) { return wait(store_->create_snapshot(id, "of " + id)); }
  Result<cairn::Unit> remove(const std::string& id) { return wait(store_->delete_snapshot(id)); }
  Result<cairn::Unit> revert(const std::string& id) { return wait(store_->revert(id)); }
  /// Until every merge that can be done is done.
  void settle() { loop_.wait(store_->wait_maintenance()); }

  /// What the replica takes on the disk besides the ring, which has its 4 MiB from the first record on, and the
  /// reserve.
  uint64_t disk_bytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      if (entry.path().filename() == "write-ring" || entry.path().filename() == "reserve") continue;
      struct stat status {};
      if (::stat(entry.path().c_str(), &status) == 0) bytes += static_cast<uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
  }
  uint64_t head_bytes() const { return store::allocated_bytes(path(), store_->metadata().head); }
  std::vector<std::string> snapshots() const {
    std::vector<std::string> ids;
    for (const store::LayerMetadata& layer : store_->metadata().layers)
      if (!layer.snapshot_id.empty()) ids.push_back(layer.snapshot_id);
    return ids;
  }

  std::vector<store::StoreEvent> events;
  store::Uuid boot_ = store::random_uuid();

 private:
  store::CacheMode mode_;
  TemporaryDirectory directory_;
  OnReactor loop_;
  BlockingThread blocking_;
  std::unique_ptr<store::LayeredStore> store_;
};

/// Bytes that say which write they are of, and that are not zero anywhere.
inline Bytes pattern(uint32_t tag, size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>((tag * 37 + i / 512 + i) % 255 + 1);
  return bytes;
}

inline Bytes zeros(size_t length) { return Bytes(length); }

template <typename T>
::testing::AssertionResult succeeded(const Result<T>& result) {
  if (result.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.error().code << ": " << result.error().message;
}
inline ::testing::AssertionResult succeeded(Status status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status.message();
}

/// The code of what must have failed.
template <typename T>
std::string code_of(const Result<T>& result) {
  return result.ok() ? "ok" : result.error().code;
}

inline std::string new_id() { return store::format_uuid(store::random_uuid()); }

inline Bytes random_bytes(std::mt19937_64& random, size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; i += 8) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min<size_t>(8, length - i));
  }
  return bytes;
}

/// CAIRN_TEST_SEED repeats a run.
inline uint64_t test_seed() {
  const char* given = std::getenv("CAIRN_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::printf("seed: CAIRN_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace cairn::test
