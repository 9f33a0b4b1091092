#include "test/native/store/support/disk_journal.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <filesystem>

namespace cairn::test {
namespace {

uint64_t inode_of(int fd) {
  struct stat status {};
  ::fstat(fd, &status);
  return status.st_ino;
}

uint64_t inode_of(const std::string& path) {
  struct stat status {};
  ::stat(path.c_str(), &status);
  return status.st_ino;
}

/// tmpfs has no FALLOC_FL_ZERO_RANGE; what fails must not be in the journal.
bool can_zero_range(int fd) {
  constexpr long tmpfs = 0x01021994;
  struct statfs status {};
  return ::fstatfs(fd, &status) == 0 && status.f_type != tmpfs;
}

std::string name_of(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace

DiskJournal::DiskJournal(std::string directory) : directory_(std::move(directory)) {
  directory_inode_ = inode_of(directory_);
  for (const auto& entry : std::filesystem::directory_iterator(directory_))
    first_files_.push_back(entry.path().filename().string());
  std::sort(first_files_.begin(), first_files_.end());
  for (const std::string& name : first_files_) name_file(inode_of(directory_ + "/" + name), name);
  watch_file_calls(this);
}

void DiskJournal::name_file(uint64_t inode, const std::string& name) {
  file_of_inode_[inode] = next_file_++;
  // Also a private copy, which takes the place of the file that it is of.
  holds_data_.push_back(name.ends_with(".data") || name.ends_with(".data.private"));
}

DiskJournal::Known DiskJournal::known(int fd) {
  const uint64_t inode = inode_of(fd);
  if (inode == directory_inode_) return {false, true, 0};
  const auto found = file_of_inode_.find(inode);
  if (found == file_of_inode_.end()) return {};
  return {true, false, found->second};
}

uint64_t DiskJournal::add(JournalEntry entry) {
  const std::lock_guard lock(mutex_);
  if (entry.number == 0) entry.number = next_number_++;
  const uint64_t number = entry.number;
  entries_.push_back(std::move(entry));
  return number;
}

void DiskJournal::add_named(Step step, const std::string& name) { add({.step = step, .name = name}); }

// ---- The reactor ----------------------------------------------------------------------------------------------------

Status DiskJournal::before(const Event& event) {
  if (event.kind == Kind::read) return Status();
  const std::lock_guard lock(mutex_);
  const Known target = known(event.fd);
  const bool zeroes = event.kind == Kind::allocate && target.file && holds_data_[target.number];
  if (zeroes && !can_zero_range(event.fd)) return Status::from_errno(EOPNOTSUPP);
  uint64_t number = 0;
  if (event.kind == Kind::sync) {
    number = add_sync(event.fd);
  } else if (target.file && (event.kind != Kind::allocate || zeroes)) {
    const bool writes = event.kind == Kind::write || event.kind == Kind::store;
    const Step step = writes ? Step::write : Step::punch;
    number = add({.step = step,
                  .file = target.number,
                  .offset = event.offset,
                  .length = event.length,
                  .durable = event.durable,
                  .data = {event.data.begin(), event.data.end()}});
  }
  in_flight_.push_back({event.kind, event.fd, event.offset, number});
  return Status();
}

void DiskJournal::after(const Event& event) {
  if (event.kind == Kind::read) return;
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(in_flight_.begin(), in_flight_.end(), [&event](const InFlightEvent& begun) {
    return begun.kind == event.kind && begun.fd == event.fd && begun.offset == event.offset;
  });
  CAIRN_ASSERT(at != in_flight_.end());
  succeeded(at->number);
  in_flight_.erase(at);
}

// ---- File calls -----------------------------------------------------------------------------------------------------

void DiskJournal::created(const std::string& path, int fd) {
  if (!ours(path)) return;
  const std::lock_guard lock(mutex_);
  name_file(inode_of(fd), name_of(path));
  add({.step = Step::create, .file = next_file_ - 1, .name = name_of(path)});
}

void DiskJournal::truncated(int fd, uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (const Known file = known(fd); file.file) add({.step = Step::truncate, .file = file.number, .length = size});
}

uint64_t DiskJournal::write_begins(int fd, std::span<const std::byte> data, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const Known file = known(fd);
  if (!file.file) return 0;
  return add({.step = Step::write,
              .file = file.number,
              .offset = offset,
              .length = data.size(),
              .data = {data.begin(), data.end()}});
}

uint64_t DiskJournal::add_sync(int fd) {
  const Known known_fd = known(fd);
  if (known_fd.directory) return add({.step = Step::directory_sync});
  return known_fd.file ? add({.step = Step::sync, .file = known_fd.number}) : 0;
}

uint64_t DiskJournal::sync_begins(int fd) {
  const std::lock_guard lock(mutex_);
  return add_sync(fd);
}

void DiskJournal::succeeded(uint64_t number) {
  if (number != 0) add({.step = Step::done, .number = number});
}

void DiskJournal::rename_begins(const std::string& from, const std::string& to) {
  if (ours(from)) add({.step = Step::rename, .name = name_of(from), .new_name = name_of(to)});
}

void DiskJournal::unlink_begins(const std::string& path) {
  if (ours(path)) add({.step = Step::unlink, .name = name_of(path)});
}

void DiskJournal::linked(const std::string& from, const std::string& to) {
  if (!ours(to)) return;
  const std::lock_guard lock(mutex_);
  name_file(inode_of(to), name_of(to));
  add({.step = Step::link, .file = next_file_ - 1, .name = name_of(to), .new_name = from});
}

// ---- Clients --------------------------------------------------------------------------------------------------------

void DiskJournal::issued(SectorRange range, uint64_t tag, bool zero) {
  add({.step = Step::issued, .range = range, .tag = tag, .zero = zero});
}

void DiskJournal::acknowledged(SectorRange range, uint64_t tag, bool zero, bool durable) {
  add({.step = Step::acknowledged, .durable = durable, .range = range, .tag = tag, .zero = zero});
}

uint64_t DiskJournal::flush_started() { return add({.step = Step::flush_started}); }
void DiskJournal::flush_done(uint64_t ticket) { add({.step = Step::flush_done, .number = ticket}); }

void DiskJournal::revert_done(const std::string& id, Windows windows) {
  add({.step = Step::revert_done, .name = id, .windows = std::move(windows)});
}

}  // namespace cairn::test
