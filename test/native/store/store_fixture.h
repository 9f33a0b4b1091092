// A store that is opened, killed and opened again, and the plain model it is compared with.
#pragma once

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
    const Result<Unit> created = store::create_replica(replica);
    EXPECT_TRUE(created.ok()) << (created.ok() ? "" : created.error().message);
    open();
  }
  ~StoreFixture() {
    if (store_ != nullptr) close();
  }

  std::string path() const { return directory_.path() + "/replica"; }
  store::LayeredStore& store() { return *store_; }
  OnReactor& loop() { return loop_; }
  template <typename T>
  T wait(Task<T> task) {
    return loop_.wait(std::move(task));
  }

  void open() {
    Result<store::OpenedReplica> opened = store::open_replica(path(), {.cache_mode = mode_, .boot_id = boot_});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::make_unique<store::LayeredStore>(loop_.reactor(), blocking_, std::move(opened.value()),
                                                   [this](const store::StoreEvent& event) { events.push_back(event); });
    store_->resume_maintenance();
  }
  void close() {
    const Result<Unit> closed = wait(store_->close());
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
  Result<Unit> snapshot(const std::string& id) { return wait(store_->create_snapshot(id)); }

  std::vector<store::StoreEvent> events;
  store::Uuid boot_ = store::random_uuid();

 private:
  store::CacheMode mode_;
  TemporaryDirectory directory_;
  OnReactor loop_;
  BlockingThread blocking_;
  std::unique_ptr<store::LayeredStore> store_;
};

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
