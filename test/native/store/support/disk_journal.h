// Everything that a store does to its directory, and everything that its clients were told, in one order.
#pragma once

#include <mutex>

#include "test/native/store/support/file_calls.h"
#include "test/native/store/support/workload.h"

namespace cairn::test {

struct JournalEntry {
  enum class Step : uint8_t {
    // The disk. `file` and `number` are given out by the journal.
    create,    // `name` is `file` now
    truncate,  // to `length`
    write,
    punch,  // the range reads as zeros
    sync,
    done,  // `number`: the write, punch or sync that is done
    rename,
    unlink,
    link,  // `name` is `file` now, which has the content of the file `new_name` (with its path), durable
    directory_sync,
    // The clients.
    issued,
    acknowledged,
    flush_started,
    flush_done,
    snapshot_started,
    snapshot_done,
    removal_started,
    removal_done,
    resize_started,  // to `length`
    resize_done,
    revert_started,
    revert_done,  // `windows`: what the head holds
  };
  Step step;
  uint32_t file = 0;
  uint64_t number = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  bool durable = false;
  std::vector<std::byte> data;
  std::string name;
  std::string new_name;
  SectorRange range{};
  uint64_t tag = 0;
  bool zero = false;
  Windows windows;
};

class DiskJournal final : public IoTap, public FileCallWatch, public WorkloadLog {
 public:
  /// Records from now on; the files there now are files 0, 1, ... by name, with what they hold durable.
  explicit DiskJournal(std::string directory);
  ~DiskJournal() override { watch_file_calls(nullptr); }

  const std::vector<JournalEntry>& entries() const { return entries_; }
  const std::vector<std::string>& first_files() const { return first_files_; }
  const std::string& failure() const { return failure_; }

  void revert_started(const std::string& id) { add_named(Step::revert_started, id); }
  void revert_done(const std::string& id, Windows windows);

  // IoTap
  Status before(const Event& event) override;
  void after(const Event& event) override;
  // FileCallWatch
  void created(const std::string& path, int fd) override;
  void emptied(int fd) override { truncated(fd, 0); }
  void truncated(int fd, uint64_t size) override;
  uint64_t write_begins(int fd, std::span<const std::byte> data, uint64_t offset) override;
  uint64_t sync_begins(int fd) override;
  void succeeded(uint64_t number) override;
  void rename_begins(const std::string& from, const std::string& to) override;
  void unlink_begins(const std::string& path) override;
  void linked(const std::string& from, const std::string& to) override;
  // WorkloadLog
  void issued(SectorRange range, uint64_t tag, bool zero) override;
  void acknowledged(SectorRange range, uint64_t tag, bool zero, bool durable) override;
  uint64_t flush_started() override;
  void flush_done(uint64_t ticket) override;
  bool snapshot_started(const std::string& id) override { return add_named(Step::snapshot_started, id), true; }
  void snapshot_done(const std::string& id) override { add_named(Step::snapshot_done, id); }
  void removal_started(const std::string& id) override { add_named(Step::removal_started, id); }
  void removal_done(const std::string& id) override { add_named(Step::removal_done, id); }
  void resize_started(uint64_t size) override { add({.step = Step::resize_started, .length = size}); }
  void resize_done(uint64_t size) override { add({.step = Step::resize_done, .length = size}); }
  void failed(const std::string& what) override { failure_ = what; }

 private:
  using Step = JournalEntry::Step;
  /// Which of the two the descriptor is, or neither: a file of another directory.
  struct Known {
    bool file = false;
    bool directory = false;
    uint32_t number = 0;
  };
  Known known(int fd);
  void name_file(uint64_t inode, const std::string& name);
  bool ours(const std::string& path) const { return path.starts_with(directory_ + "/"); }
  uint64_t add(JournalEntry entry);
  void add_named(Step step, const std::string& name);
  uint64_t add_sync(int fd);

  std::string directory_;
  std::recursive_mutex mutex_;
  std::vector<JournalEntry> entries_;
  std::vector<std::string> first_files_;
  std::map<uint64_t, uint32_t> file_of_inode_;
  std::vector<bool> holds_data_;  // by file: space allocated there is zeroes; elsewhere it changes nothing
  uint64_t directory_inode_ = 0;
  uint32_t next_file_ = 0;
  uint64_t next_number_ = 1;
  struct InFlightEvent {
    Kind kind;
    int fd;
    uint64_t offset;
    uint64_t number;
  };
  std::vector<InFlightEvent> in_flight_;
  std::string failure_;
};

}  // namespace cairn::test
