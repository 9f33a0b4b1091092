#include "test/native/store/support/crash_image.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <filesystem>

#include "base/unique_fd.h"

namespace cairn::test {
namespace {

using Step = JournalEntry::Step;

bool chance(std::mt19937_64& random, unsigned in) { return random() % in == 0; }

}  // namespace

// ---- Files ----------------------------------------------------------------------------------------------------------

void CrashFile::write(uint64_t offset, std::span<const std::byte> data) {
  size = std::max(size, offset + data.size());
  while (!data.empty()) {
    const size_t at = offset % store_block_size;
    const size_t part = std::min(data.size(), store_block_size - at);
    std::shared_ptr<const Block>& present = blocks[offset / store_block_size];
    const auto changed = present ? std::make_shared<Block>(*present) : std::make_shared<Block>();
    std::copy_n(data.begin(), part, changed->begin() + static_cast<ptrdiff_t>(at));
    present = changed;
    data = data.subspan(part);
    offset += part;
  }
}

void CrashFile::punch(uint64_t offset, uint64_t length) {
  CAIRN_ASSERT(offset % store_block_size == 0 && length % store_block_size == 0);
  blocks.erase(blocks.lower_bound(offset / store_block_size), blocks.lower_bound((offset + length) / store_block_size));
}

void CrashFile::truncate(uint64_t length) {
  if (length < size) {
    CAIRN_ASSERT(length % store_block_size == 0);
    blocks.erase(blocks.lower_bound(length / store_block_size), blocks.end());
  }
  size = length;
}

void CrashFile::apply(const JournalEntry& change) {
  if (change.step == Step::write) write(change.offset, change.data);
  if (change.step == Step::punch) punch(change.offset, change.length);
  if (change.step == Step::truncate) truncate(change.length);
}

/// Reads what is there, not the holes.
CrashFile CrashFile::load(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  CAIRN_ASSERT(file.valid());
  CrashFile loaded;
  loaded.size = std::filesystem::file_size(path);
  loaded.shared = std::filesystem::hard_link_count(path) > 1;
  std::vector<std::byte> bytes;
  for (off_t at = ::lseek(file.get(), 0, SEEK_DATA); at >= 0;) {
    const off_t end = ::lseek(file.get(), at, SEEK_HOLE);
    bytes.resize(static_cast<size_t>(end - at));
    CAIRN_ASSERT(::pread(file.get(), bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size()));
    loaded.write(static_cast<uint64_t>(at), bytes);
    at = ::lseek(file.get(), end, SEEK_DATA);
  }
  return loaded;
}

void CrashFile::save(const std::string& path) const {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  CAIRN_ASSERT(file.valid());
  std::vector<iovec> run;
  uint64_t first = 0;
  const auto write_run = [&] {
    if (run.empty()) return;
    const ssize_t written =
        ::pwritev(file.get(), run.data(), static_cast<int>(run.size()), static_cast<off_t>(first * store_block_size));
    CAIRN_ASSERT(written == static_cast<ssize_t>(run.size() * store_block_size));
    run.clear();
  };
  for (const auto& [number, block] : blocks) {
    if (number != first + run.size() || run.size() == IOV_MAX) write_run();
    if (run.empty()) first = number;
    run.push_back({const_cast<std::byte*>(block->data()), block->size()});
  }
  write_run();
  CAIRN_ASSERT(::ftruncate(file.get(), static_cast<off_t>(size)) == 0);
}

CrashImage load_image(const std::string& directory) {
  CrashImage image;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    image[entry.path().filename().string()] = CrashFile::load(entry.path().string());
  return image;
}

void save_image(const CrashImage& image, const std::string& directory, const std::string& others) {
  for (const auto& [name, file] : image) {
    const std::string path = directory + "/" + name;
    file.save(path);
    if (file.shared && !others.empty()) std::filesystem::create_hard_link(path, others + "/" + name);
  }
}

// ---- The disk -------------------------------------------------------------------------------------------------------

CrashDisk::CrashDisk(const CrashImage& files) {
  for (const auto& [name, file] : files) {  // by name, as the journal numbers them
    durable_names_[name] = static_cast<uint32_t>(files_.size());
    files_.push_back({file, {}});
  }
}

void CrashDisk::follow(const JournalEntry& entry) {
  last_ = &entry;
  switch (entry.step) {
    case Step::create:
      CAIRN_ASSERT(entry.file == files_.size());
      files_.emplace_back();
      pending_names_.push_back(&entry);
      done_.insert(entry.number);
      return;
    case Step::link:
      CAIRN_ASSERT(entry.file == files_.size());
      files_.push_back({CrashFile::load(entry.new_name), {}});
      pending_names_.push_back(&entry);
      done_.insert(entry.number);
      return;
    case Step::rename:
    case Step::unlink:
      pending_names_.push_back(&entry);
      done_.insert(entry.number);
      return;
    case Step::truncate:
      files_[entry.file].pending.push_back(&entry);
      done_.insert(entry.number);
      return;
    case Step::write:
    case Step::punch:
      files_[entry.file].pending.push_back(&entry);
      in_flight_[entry.number] = &entry;
      return;
    case Step::sync:
    case Step::directory_sync: {
      in_flight_[entry.number] = &entry;
      std::set<uint64_t>& covered = covered_by_[entry.number];
      for (const JournalEntry* change : entry.step == Step::sync ? files_[entry.file].pending : pending_names_)
        if (done_.contains(change->number)) covered.insert(change->number);
      return;
    }
    case Step::done:
      return finish(entry.number);
    default:
      return;
  }
}

void CrashDisk::finish(uint64_t number) {
  const JournalEntry& entry = *in_flight_.at(number);
  in_flight_.erase(number);
  if (entry.step == Step::sync) settle_file(entry.file, covered_by_[number]);
  if (entry.step == Step::directory_sync) {
    const std::set<uint64_t>& covered = covered_by_[number];
    for (const JournalEntry* change : pending_names_)
      if (covered.contains(change->number)) rename(durable_names_, *change);
    std::erase_if(pending_names_, [&](const JournalEntry* change) { return covered.contains(change->number); });
  }
  if (entry.step == Step::write || entry.step == Step::punch) done_.insert(number);
  if (entry.durable) sure_.insert(number);
}

void CrashDisk::settle_file(uint32_t file, const std::set<uint64_t>& numbers) {
  std::vector<const JournalEntry*>& pending = files_[file].pending;
  for (const JournalEntry* change : pending)
    if (numbers.contains(change->number)) files_[file].durable.apply(*change);
  std::erase_if(pending, [&](const JournalEntry* change) { return numbers.contains(change->number); });
}

void CrashDisk::rename(Names& names, const JournalEntry& change) {
  if (change.step == Step::create || change.step == Step::link) names[change.name] = change.file;
  if (change.step == Step::unlink) names.erase(change.name);
  if (change.step != Step::rename || !names.contains(change.name)) return;
  names[change.new_name] = names[change.name];
  names.erase(change.name);
}

void CrashDisk::tear(CrashFile& content, const JournalEntry& write, std::mt19937_64& random) {
  for (size_t at = 0; at < write.data.size(); at += sector_size)
    if (chance(random, 2))
      content.write(write.offset + at,
                    std::span(write.data).subspan(at, std::min(sector_size, write.data.size() - at)));
}

CrashDisk::Names CrashDisk::names_after(Loss loss, std::mt19937_64& random) const {
  Names names = durable_names_;
  // Journalling file systems keep the order of names; a subset is what the standard allows.
  const bool in_order = chance(random, 2);
  for (const JournalEntry* change : pending_names_) {
    const bool under_way = change == last_;
    if (loss == Loss::process ? !under_way || chance(random, 2) : chance(random, 2))
      rename(names, *change);
    else if (in_order)
      break;
  }
  return names;
}

CrashFile CrashDisk::file_after(const File& file, Loss loss, std::mt19937_64& random) const {
  CrashFile content = file.durable;
  const auto kept_of_three = static_cast<unsigned>(random() % 4);
  for (const JournalEntry* change : file.pending) {
    const bool sure = loss == Loss::power ? sure_.contains(change->number) : done_.contains(change->number);
    if (!sure && random() % 3 >= kept_of_three) continue;
    if (!sure && change->step == Step::write && chance(random, 2))
      tear(content, *change, random);
    else
      content.apply(*change);
  }
  return content;
}

CrashImage CrashDisk::image(Loss loss, std::mt19937_64& random) const {
  CrashImage image;
  for (const auto& [name, number] : names_after(loss, random)) image[name] = file_after(files_[number], loss, random);
  return image;
}

// ---- The model ------------------------------------------------------------------------------------------------------

void CrashModel::raise(const Tags& flushed) {
  for (uint32_t sector = 0; sector < watched_sectors; ++sector)
    windows_[sector].from = std::max(windows_[sector].from, flushed[sector]);
}

void CrashModel::follow(const JournalEntry& entry) {
  switch (entry.step) {
    case Step::issued:
      for (uint32_t sector = entry.range.first; sector < entry.range.first + entry.range.count; ++sector) {
        windows_[sector].to = entry.tag;
        if (entry.zero) windows_[sector].zero = entry.tag;
      }
      return;
    case Step::acknowledged:
      for (uint32_t sector = entry.range.first; sector < entry.range.first + entry.range.count; ++sector) {
        acknowledged_[sector] = entry.tag;
        if (entry.durable) windows_[sector].from = entry.tag;
      }
      return;
    case Step::flush_started:
      flushes_[entry.number] = acknowledged_;
      return;
    case Step::flush_done:
      raise(flushes_.at(entry.number));
      flushes_.erase(entry.number);
      return;
    case Step::revert_started:
      reverting_to_ = entry.name;
      return;
    case Step::revert_done:
      reverting_to_.clear();
      windows_ = entry.windows;
      for (uint32_t sector = 0; sector < watched_sectors; ++sector) acknowledged_[sector] = windows_[sector].from;
      return;
    case Step::resize_started:
      size_max_ = entry.length;
      return;
    case Step::resize_done:
      size_min_ = entry.length;
      return;
    default:
      return follow_snapshot(entry);
  }
}

void CrashModel::follow_snapshot(const JournalEntry& entry) {
  if (entry.name.empty()) return;
  switch (entry.step) {
    case Step::snapshot_started: {
      Snapshot& snapshot = snapshots_[entry.name];
      snapshot.windows = windows_;
      for (uint32_t sector = 0; sector < watched_sectors; ++sector)
        snapshot.windows[sector].from = std::max(windows_[sector].from, acknowledged_[sector]);
      snapshot_flushes_[entry.name] = acknowledged_;
      return;
    }
    case Step::snapshot_done: {
      Snapshot& snapshot = snapshots_.at(entry.name);
      snapshot.state = State::created;
      for (uint32_t sector = 0; sector < watched_sectors; ++sector) {
        snapshot.windows[sector].to = windows_[sector].to;
        snapshot.windows[sector].zero = windows_[sector].zero;
      }
      return raise(snapshot_flushes_.at(entry.name));
    }
    case Step::removal_started:
      snapshots_.at(entry.name).state = State::removing;
      return;
    case Step::removal_done:
      snapshots_.at(entry.name).state = State::removed;
      return;
    default:
      return;
  }
}

/// What was acknowledged is there when only the process is lost; after a power loss, what was flushed.
Windows CrashModel::windows(Loss loss) const {
  Windows windows = windows_;
  if (loss == Loss::process)
    for (uint32_t sector = 0; sector < watched_sectors; ++sector)
      windows[sector].from = std::max(windows[sector].from, acknowledged_[sector]);
  return windows;
}

std::string CrashModel::check_head(std::span<const std::byte> content, Loss loss) const {
  if (content.empty()) return "the head cannot be read";
  const std::string wrong = mismatch(content, windows(loss));
  if (wrong.empty() || reverting_to_.empty()) return wrong;
  const std::string wrong_after = mismatch(content, snapshots_.at(reverting_to_).windows);
  return wrong_after.empty() ? "" : wrong + "; after the revert: " + wrong_after;
}

std::string CrashModel::check(OpenedStore& store, Loss loss, std::mt19937_64& random) const {
  if (!store.error().empty()) return store.error();
  const uint64_t size = store->geometry().size;
  if (size != size_min_ && size != size_max_)
    return "the volume's size is " + std::to_string(size) + ", may be " + std::to_string(size_min_) + " or " +
           std::to_string(size_max_);
  const std::string wrong = check_head(store.read_watched(), loss);
  if (!wrong.empty()) return wrong;
  for (const auto& [id, snapshot] : snapshots_) {
    const store::LayerMetadata* layer = store->metadata().snapshot(id);
    const bool there = layer != nullptr && !layer->removed;
    if (snapshot.state == State::created && !there) return "snapshot " + id + " is lost";
    if (snapshot.state == State::removed && there) return "snapshot " + id + " is back";
    if (!there || !chance(random, 2)) continue;
    std::string wrong_snapshot = check_snapshot(store, id, snapshot);
    if (!wrong_snapshot.empty()) return wrong_snapshot;
  }
  return "";
}

std::string CrashModel::check_snapshot(OpenedStore& store, const std::string& id, const Snapshot& snapshot) const {
  const Result<Unit> reverted = store.wait(store->revert(id));
  if (!reverted.ok()) return "revert: " + reverted.error().message;
  Windows windows = snapshot.windows;
  if (snapshot.state == State::creating) {
    for (uint32_t sector = 0; sector < watched_sectors; ++sector) {
      windows[sector].to = windows_[sector].to;
      windows[sector].zero = windows_[sector].zero;
    }
  }
  const std::vector<std::byte> content = store.read_watched();
  if (content.empty()) return "snapshot " + id + " cannot be read";
  const std::string wrong = mismatch(content, windows);
  return wrong.empty() ? "" : "snapshot " + id + ": " + wrong;
}

}  // namespace cairn::test
