// A store of files that are there, on a reactor of its own that goes with it: no thread is left for a fork() to lose.
#pragma once

#include <algorithm>

#include "base/aligned_memory.h"
#include "store/layered_store.h"
#include "test/native/store/support/tagged_sectors.h"
#include "test/native/support/on_reactor.h"

namespace cairn::test {

class OpenedStore {
 public:
  /// error() says so when it could not be opened.
  OpenedStore(const std::string& directory, const store::Uuid& boot, store::CacheMode mode = store::CacheMode::none) {
    Result<store::OpenedReplica> opened = store::open_replica(directory, {.cache_mode = mode, .boot_id = boot});
    if (!opened.ok()) {
      error_ = opened.error().code + ": " + opened.error().message;
      return;
    }
    store_ = std::make_unique<store::LayeredStore>(loop_.reactor(), blocking_, std::move(opened.value()),
                                                   [this](const store::StoreEvent& event) { on_event(event); });
  }

  const std::string& error() const { return error_; }
  store::LayeredStore& operator*() { return *store_; }
  store::LayeredStore* operator->() { return store_.get(); }
  Reactor& reactor() { return loop_.reactor(); }
  template <typename T>
  T wait(Task<T> task) {
    return loop_.wait(std::move(task));
  }
  void wait(Task<void> task) { loop_.wait(std::move(task)); }
  /// What failed in the background; empty when nothing did.
  const std::string& failure() const { return failure_; }
  size_t events(store::StoreEvent::Kind kind) const {
    return static_cast<size_t>(std::count(events_.begin(), events_.end(), kind));
  }

  /// The watched sectors, one behind the other; empty if they cannot be read.
  std::vector<std::byte> read_watched() {
    const AlignedMemory memory(watched_sectors * sector_size);
    constexpr size_t region_bytes = region_sectors * sector_size;
    for (uint32_t region = 0; region < region_count; ++region) {
      const Status status =
          wait(store_->read(region_offset(region), memory.span().subspan(region * region_bytes, region_bytes)));
      if (!status.ok()) return {};
    }
    return {memory.span().begin(), memory.span().end()};
  }

 private:
  void on_event(const store::StoreEvent& event) {
    events_.push_back(event.kind);
    if (event.kind == store::StoreEvent::Kind::failed) failure_ = event.message;
  }

  OnReactor loop_{256 * kibibyte};  // pinned memory costs more than all else when stores come and go
  BlockingThread blocking_;
  std::unique_ptr<store::LayeredStore> store_;
  std::string error_;
  std::string failure_;
  std::vector<store::StoreEvent::Kind> events_;
};

}  // namespace cairn::test
