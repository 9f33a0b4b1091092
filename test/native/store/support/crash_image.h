// What a disk may hold after a power loss, and what a replica on it must hold.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "test/native/store/support/disk_journal.h"

namespace cairn::test {

/// What is lost: all that no sync covers, in any part; or only the process, whose writes the page cache keeps.
enum class Loss : uint8_t { power, process };

/// One file. What is in no block is zeros. Copies share their blocks.
struct CrashFile {
  using Block = std::array<std::byte, store_block_size>;
  uint64_t size = 0;
  bool shared = false;  // it has names elsewhere
  std::map<uint64_t, std::shared_ptr<const Block>> blocks;

  void write(uint64_t offset, std::span<const std::byte> data);
  void punch(uint64_t offset, uint64_t length);
  void truncate(uint64_t length);
  void apply(const JournalEntry& change);
  static CrashFile load(const std::string& path);
  void save(const std::string& path) const;
};

/// A directory as it may be found, by name.
using CrashImage = std::map<std::string, CrashFile>;
CrashImage load_image(const std::string& directory);
/// `others`: a directory where shared files have their other names; empty: whoever shared them is gone.
void save_image(const CrashImage& image, const std::string& directory, const std::string& others = "");

/// Follows a journal; knows at every point what is durable for sure and what may be.
class CrashDisk {
 public:
  /// The files before the journal's first entry, which are the journal's first files.
  explicit CrashDisk(const CrashImage& files);
  void follow(const JournalEntry& entry);
  /// What may be found when power is lost now: all that is durable, and of the rest a random subset; writes torn
  /// between sectors. When only the process is lost: all that is done, and of what is under way a random part.
  CrashImage image(Loss loss, std::mt19937_64& random) const;

 private:
  struct File {
    CrashFile durable;
    std::vector<const JournalEntry*> pending;  // in the order in which they were begun
  };
  using Names = std::map<std::string, uint32_t>;

  static void tear(CrashFile& content, const JournalEntry& write, std::mt19937_64& random);
  static void rename(Names& names, const JournalEntry& change);
  Names names_after(Loss loss, std::mt19937_64& random) const;
  CrashFile file_after(const File& file, Loss loss, std::mt19937_64& random) const;
  void finish(uint64_t number);
  void settle_file(uint32_t file, const std::set<uint64_t>& numbers);

  std::vector<File> files_;
  Names durable_names_;
  std::vector<const JournalEntry*> pending_names_;
  const JournalEntry* last_ = nullptr;
  std::map<uint64_t, const JournalEntry*> in_flight_;
  std::set<uint64_t> done_;
  // Durable writes; they stay among the pending ones, in whose order later changes of the same block come behind them.
  std::set<uint64_t> sure_;
  std::map<uint64_t, std::set<uint64_t>> covered_by_;  // a sync under way -> what it makes durable
};

/// Follows a journal; knows what each sector of the head and of each snapshot may hold after a power loss.
class CrashModel {
 public:
  CrashModel() : windows_(watched_sectors), acknowledged_(watched_sectors) {}
  void follow(const JournalEntry& entry);
  /// What is wrong with the store of an image, or empty.
  std::string check(OpenedStore& store, Loss loss, std::mt19937_64& random) const;

 private:
  enum class State : uint8_t { creating, created, removing, removed };
  struct Snapshot {
    State state = State::creating;
    Windows windows;
  };
  using Tags = std::vector<uint64_t>;

  void raise(const Tags& flushed);
  void follow_snapshot(const JournalEntry& entry);
  Windows windows(Loss loss) const;
  std::string check_head(std::span<const std::byte> content, Loss loss) const;
  std::string check_snapshot(OpenedStore& store, const std::string& id, const Snapshot& snapshot) const;

  Windows windows_;  // `from`: the newest that is durable
  Tags acknowledged_;
  std::map<uint64_t, Tags> flushes_;  // under way -> what had been acknowledged when it began
  std::map<std::string, Snapshot> snapshots_;
  std::map<std::string, Tags> snapshot_flushes_;
  std::string reverting_to_;
  uint64_t size_min_ = watched_volume_size;
  uint64_t size_max_ = watched_volume_size;
};

}  // namespace cairn::test
