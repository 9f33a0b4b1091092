#pragma once

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>

#include "block/block_device.h"
#include "block/memory_device.h"
#include "block/snapshot_set.h"

namespace cairn::test {

/// Snapshots in memory, one after the other: each descends from those before it. Every block of the volume has changed
/// since each of them in turn: the first 4 KiB since the first snapshot, the next since the second ...
class MemorySnapshots final : public SnapshotSet {
 public:
  /// `volume` is copied as it is now.
  void take(const std::string& name, const MemoryDevice& volume) {
    const std::lock_guard lock(mutex_);
    entries_.push_back({name, {volume.content().begin(), volume.content().end()}});
  }
  void remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    entries_.remove_if([&](const Entry& entry) { return entry.name == name; });
  }
  size_t open() const { return open_; }
  size_t opened() const { return opened_; }

  std::vector<SnapshotName> snapshots() const override { return ancestors(""); }
  std::vector<SnapshotName> ancestors(const std::string& of) const override {
    const std::lock_guard lock(mutex_);
    std::vector<SnapshotName> names;
    for (const Entry& entry : entries_) {
      if (!of.empty() && entry.name == of) break;
      names.push_back({entry.name, static_cast<uint32_t>(names.size() + 1)});
    }
    return names;
  }
  Task<Result<std::unique_ptr<BlockDevice>>> open_snapshot(std::string name) override {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(entries_, name, &Entry::name);
    if (found == entries_.end()) co_return Error{"SNAPSHOT_MISSING", "there is no snapshot " + name};
    ++opened_;
    co_return Result<std::unique_ptr<BlockDevice>>(std::make_unique<Opened>(found->content, open_));
  }

 private:
  struct Entry {
    std::string name;
    std::vector<std::byte> content;
  };

  class Opened final : public BlockDevice {
   public:
    Opened(std::vector<std::byte> content, std::atomic<size_t>& open) : content_(std::move(content)), open_(open) {
      ++open_;
    }
    ~Opened() override { --open_; }
    Geometry geometry() const override {
      return {.size = content_.size(), .logical_block_size = 512, .read_only = true};
    }
    Task<Status> read(uint64_t offset, std::span<std::byte> into) override {
      std::copy_n(content_.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
      co_return Status();
    }
    Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { return refused(); }
    Task<Status> flush() override { co_return Status(); }
    Task<Status> trim(uint64_t, uint64_t, Durability) override { return refused(); }
    Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { return refused(); }
    Task<Status> block_status(uint64_t, uint64_t length, StatusQuery, size_t, std::vector<Extent>& extents) override {
      extents.push_back({length, false, false});
      co_return Status();
    }

   private:
    static Task<Status> refused() { co_return Status::from_errno(EPERM); }
    std::vector<std::byte> content_;
    std::atomic<size_t>& open_;
  };

  mutable std::mutex mutex_;  // tests take snapshots while a reactor serves
  std::list<Entry> entries_;
  std::atomic<size_t> open_ = 0;
  std::atomic<size_t> opened_ = 0;
};

}  // namespace cairn::test
