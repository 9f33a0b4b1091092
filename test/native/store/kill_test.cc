// Processes that are killed at a random moment in the middle of everything: what was acknowledged is there afterwards.
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>

#include "test/native/store/store_fixture.h"
#include "test/native/store/support/workload.h"
#include "test/native/support/scale.h"

namespace cairn::test {
namespace {

constexpr size_t snapshot_slots = 64;
using std::chrono::steady_clock;

/// What the killed process had said, in memory that outlives it. A snapshot's windows are those of its moment.
struct Shared {
  enum class State : uint8_t { free, creating, created, removing, removed };
  struct Snapshot {
    char id[37];
    std::atomic<State> state;
    std::array<Window, watched_sectors> windows;
  };
  std::atomic<uint64_t> next_tag;
  std::atomic<uint64_t> acknowledged;
  std::atomic<uint64_t> size_min;
  std::atomic<uint64_t> size_max;
  std::atomic<bool> failed;
  char failure[256];
  std::array<Window, watched_sectors> windows;
  std::array<Snapshot, snapshot_slots> snapshots;
};

/// The killed process's side. The fences keep the compiler from moving a note to the other side of what it is about.
class SharedLog final : public WorkloadLog {
 public:
  explicit SharedLog(Shared& shared) : shared_(shared) {}

  void issued(SectorRange range, uint64_t tag, bool zero) override {
    shared_.next_tag = tag + 1;
    for (Window& window : windows(range)) {
      window.to = tag;
      if (zero) window.zero = tag;
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  void acknowledged(SectorRange range, uint64_t tag, bool, bool) override {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    for (Window& window : windows(range)) window.from = tag;
    ++shared_.acknowledged;
  }
  uint64_t flush_started() override { return 0; }
  void flush_done(uint64_t) override {}
  bool snapshot_started(const std::string& id) override {
    Shared::Snapshot* slot = find(State::free);
    if (slot == nullptr) return false;
    id.copy(slot->id, sizeof slot->id - 1);
    slot->windows = shared_.windows;
    slot->state = State::creating;
    return true;
  }
  void snapshot_done(const std::string& id) override {
    Shared::Snapshot& slot = *find(id);
    widen(slot, shared_);
    slot.state = State::created;
  }
  void removal_started(const std::string& id) override { find(id)->state = State::removing; }
  void removal_done(const std::string& id) override { find(id)->state = State::removed; }
  void resize_started(uint64_t size) override { shared_.size_max = size; }
  void resize_done(uint64_t size) override { shared_.size_min = size; }
  void failed(const std::string& what) override {
    what.copy(shared_.failure, sizeof shared_.failure - 1);
    shared_.failed = true;
  }

  /// Writes that began before the snapshot was done may be in it.
  static void widen(Shared::Snapshot& slot, const Shared& shared) {
    for (uint32_t sector = 0; sector < watched_sectors; ++sector) {
      slot.windows[sector].to = shared.windows[sector].to;
      slot.windows[sector].zero = shared.windows[sector].zero;
    }
  }

 private:
  using State = Shared::State;
  std::span<Window> windows(SectorRange range) { return std::span(shared_.windows).subspan(range.first, range.count); }
  Shared::Snapshot* find(State state) {
    for (Shared::Snapshot& slot : shared_.snapshots)
      if (slot.state == state) return &slot;
    return nullptr;
  }
  Shared::Snapshot* find(const std::string& id) {
    for (Shared::Snapshot& slot : shared_.snapshots)
      if (slot.id == id && slot.state != State::free) return &slot;
    return nullptr;
  }
  Shared& shared_;
};

class KillTest {
 public:
  KillTest(uint32_t block_size, store::CacheMode mode, uint64_t seed)
      : block_size_(block_size), mode_(mode), random_(seed) {
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = new (memory) Shared{};
    shared_->next_tag = 1;
    shared_->size_min = shared_->size_max = watched_volume_size;
    const store::NewReplica replica{path_, new_id(), new_id(), watched_volume_size, block_size};
    EXPECT_TRUE(succeeded(store::create_replica(replica)));
  }
  ~KillTest() { ::munmap(shared_, sizeof(Shared)); }

  /// Rounds of run, kill and check; ends at the first that fails.
  void run(std::chrono::milliseconds duration) {
    const auto end = steady_clock::now() + duration;
    size_t rounds = 0;
    for (; steady_clock::now() < end && !::testing::Test::HasFailure(); ++rounds) {
      const uint64_t seed = random_();
      const uint64_t kill_after = shared_->acknowledged + 1 + random_() % 300;
      const pid_t process = ::fork();
      if (process == 0) live(seed);
      kill_when(process, kill_after);
      // Often opened again at once, while the kernel still ends the process and its I/O: the lock is what waits.
      const bool ended = random_() % 2 == 0;
      if (ended) ::waitpid(process, nullptr, 0);
      check(random_() % 4 == 0);
      if (!ended) ::waitpid(process, nullptr, 0);
    }
    print_total(rounds, "killed processes");
    print_total(shared_->acknowledged, "operations acknowledged to killed processes");
  }

 private:
  using State = Shared::State;

  [[noreturn]] void live(uint64_t seed) {
    SharedLog log(*shared_);
    OpenedStore store(path_, boot_, mode_);
    if (!store.error().empty()) {
      log.failed(store.error());
    } else {
      if (seed % 2 == 0) store.reactor().assume_waiting_clients();
      Workload workload(store, log, {.seed = seed, .block_size = block_size_, .first_tag = shared_->next_tag});
      store.wait(workload.run());
    }
    ::_exit(1);
  }

  void kill_when(pid_t process, uint64_t acknowledged) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(30);
    while (shared_->acknowledged < acknowledged && !shared_->failed && steady_clock::now() < deadline) ::usleep(100);
    EXPECT_GE(shared_->acknowledged, acknowledged) << "the process does not get on: " << shared_->failure;
    ::kill(process, SIGKILL);
    EXPECT_FALSE(shared_->failed) << shared_->failure;
  }

  void check(bool snapshots_too) {
    OpenedStore store(path_, boot_, mode_);
    ASSERT_EQ(store.error(), "");
    EXPECT_TRUE(store->recovered());
    EXPECT_TRUE(store->geometry().size == shared_->size_min || store->geometry().size == shared_->size_max);
    shared_->size_min = shared_->size_max = store->geometry().size;
    expect_content(store, shared_->windows, "the head");
    check_list(store);
    settle(store, shared_->windows);
    // Closed, for merges may be under way, which must not be when the store goes.
    if (snapshots_too) check_snapshots(store);
    if (snapshots_too || random_() % 2 == 0) {
      EXPECT_TRUE(succeeded(store.wait(store->close())));
    }
    EXPECT_EQ(store.failure(), "");
  }

  static void expect_content(OpenedStore& store, std::span<const Window> windows, const std::string& of) {
    const Bytes content = store.read_watched();
    ASSERT_FALSE(content.empty()) << of << " cannot be read";
    EXPECT_EQ(mismatch(content, windows), "") << of;
  }
  static void settle(OpenedStore& store, std::span<Window> windows) {
    const Bytes content = store.read_watched();
    for (uint32_t sector = 0; sector < watched_sectors && !content.empty(); ++sector)
      if (const auto tag = tag_of(std::span(content).subspan(sector * sector_size, sector_size), sector))
        windows[sector].settle(*tag);
  }

  /// Brings what was under way when the process died to its end, as the store has it.
  void check_list(OpenedStore& store) {
    for (Shared::Snapshot& slot : shared_->snapshots) {
      if (slot.state == State::free) continue;
      const store::LayerMetadata* layer = store->metadata().snapshot(slot.id);
      const bool there = layer != nullptr && !layer->removed;
      EXPECT_TRUE(there || slot.state != State::created) << "snapshot " << slot.id << " is lost";
      EXPECT_FALSE(there && slot.state == State::removed) << "snapshot " << slot.id << " is back";
      if (slot.state == State::creating) SharedLog::widen(slot, *shared_);
      slot.state = there ? State::created : State::free;
    }
  }

  void check_snapshots(OpenedStore& store) {
    const std::string present = new_id();
    ASSERT_TRUE(succeeded(store.wait(store->create_snapshot(present, present))));
    for (Shared::Snapshot& slot : shared_->snapshots) {
      if (slot.state != State::created) continue;
      ASSERT_TRUE(succeeded(store.wait(store->revert(slot.id))));
      expect_content(store, slot.windows, std::string("snapshot ") + slot.id);
      settle(store, slot.windows);
    }
    ASSERT_TRUE(succeeded(store.wait(store->revert(present))));
    ASSERT_TRUE(succeeded(store.wait(store->delete_snapshot(present))));
    if (random_() % 2 == 0) store.wait(store->wait_maintenance());
    expect_content(store, shared_->windows, "the head");
  }

  uint32_t block_size_;
  store::CacheMode mode_;
  std::mt19937_64 random_;
  TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/replica";
  store::Uuid boot_ = store::random_uuid();
  Shared* shared_;
};

std::chrono::milliseconds duration() {
  return scale_seconds("CAIRN_KILL_TEST_SECONDS", std::chrono::milliseconds(1500));
}

TEST(StoreKill, EverythingAcknowledgedIsThereAfterKillsOn512ByteBlocks) {
  KillTest(512, store::CacheMode::none, test_seed()).run(duration());
}
TEST(StoreKill, EverythingAcknowledgedIsThereAfterKillsOn4096ByteBlocks) {
  KillTest(4096, store::CacheMode::none, test_seed()).run(duration());
}
TEST(StoreKill, EverythingAcknowledgedIsThereAfterKillsThroughThePageCache) {
  KillTest(512, store::CacheMode::writeback, test_seed()).run(duration());
}

}  // namespace
}  // namespace cairn::test
