// A replica's files in memory, and changes of their bytes.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/unique_fd.h"
#include "store/format.h"

namespace cairn::fuzz {

/// Content, and which of its pages are not all zeros: files are sparse.
class FileBytes {
 public:
  explicit FileBytes(std::string bytes) : bytes_(std::move(bytes)) {
    static const std::string zeros(page, '\0');
    for (size_t at = 0; at < bytes_.size(); at += page)
      if (std::memcmp(bytes_.data() + at, zeros.data(), std::min(page, bytes_.size() - at)) != 0) pages_.push_back(at);
  }
  const std::string& bytes() const { return bytes_; }

  void save(const std::string& path) const {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    CAIRN_ASSERT(file.valid() && ::ftruncate(file.get(), static_cast<off_t>(bytes_.size())) == 0);
    for (const size_t at : pages_) {
      const size_t length = std::min(page, bytes_.size() - at);
      CAIRN_ASSERT(::pwrite(file.get(), bytes_.data() + at, length, static_cast<off_t>(at)) ==
                   static_cast<ssize_t>(length));
    }
  }

 private:
  static constexpr size_t page = 4096;
  std::string bytes_;
  std::vector<size_t> pages_;
};

using Files = std::map<std::string, std::shared_ptr<const FileBytes>>;

inline Files load(const std::string& directory) {
  Files files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const UniqueFd file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    std::string content(std::filesystem::file_size(entry.path()), '\0');
    CAIRN_ASSERT(::pread(file.get(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    files[entry.path().filename().string()] = std::make_shared<FileBytes>(std::move(content));
  }
  return files;
}

inline void save(const Files& files, const std::string& directory) {
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  for (const auto& [name, file] : files) file->save(directory + "/" + name);
}

struct Edits {
  Files files;
  std::set<std::string> changed;
  bool repaired = false;  // checksums have been made to match what is wrong
  bool blanked = false;   // a sector has become all zeros, which says that nothing was ever written there
};

namespace edit {

/// The checksum of the 4 bytes at `checksum` over [from, end) of the part, with these 4 bytes zero.
inline void repair(std::string& file, size_t part, size_t checksum, size_t from, size_t end) {
  if (part + end > file.size()) return;
  std::memset(file.data() + part + checksum, 0, 4);
  const size_t first = part + from;
  const uint32_t sum = crc32c(file.data() + first, part + end - first);
  std::memcpy(file.data() + part + checksum, &sum, 4);
}

/// Of the structure that holds the changed byte. volume.json is text, and has a fuzz target of its own.
inline void repair_around(const std::string& name, std::string& file, size_t at) {
  constexpr size_t sector = store::map_sector_size;
  constexpr size_t record = sizeof(store::RingRecord);
  constexpr size_t records = store::ring_header_bytes;
  if (name == "superblock")
    repair(file, at / store::superblock_size * store::superblock_size, offsetof(store::Superblock, checksum), 0,
           store::superblock_size);
  else if (name == "activity")
    repair(file, at / store::activity_slot_size * store::activity_slot_size, offsetof(store::ActivitySlot, checksum), 0,
           store::activity_slot_size);
  else if (name.ends_with(".map") || name.ends_with(".stamps"))
    repair(file, at / sector * sector, sector - 4, 0, sector - 4);
  else if (name == "write-ring" && at < records)
    repair(file, 0, offsetof(store::RingHeader, checksum), 0, offsetof(store::RingHeader, maps_through));
  else if (name == "write-ring")
    repair(file, records + (at - records) / record * record, 0, store::ring_record_checked, record);
}

inline bool blank(const std::string& file, size_t at) {
  const size_t first = at / store::map_sector_size * store::map_sector_size;
  return file.find_first_not_of('\0', first) >= first + store::map_sector_size;
}

}  // namespace edit

inline Edits apply_edits(const Files& files, std::span<const uint8_t> input) {
  Edits edits{files, {}, false, false};
  std::vector<std::string> names;
  for (const auto& [name, file] : files)
    if (!name.ends_with(".data")) names.push_back(name);
  while (input.size() >= 5) {
    const std::string& name = names[input[0] % names.size()];
    std::string file = edits.files[name]->bytes();
    const size_t length = std::min<size_t>(1 + input[3] % 16, input.size() - 4);
    const bool with_checksum = input[3] >= 128;
    const size_t at = file.empty() ? 0 : (input[1] + input[2] * size_t{256}) % file.size();
    for (size_t i = 0; i < length && at + i < file.size(); ++i) file[at + i] = static_cast<char>(input[4 + i]);
    if (with_checksum) edit::repair_around(name, file, at);
    edits.repaired |= with_checksum;
    if (file != edits.files[name]->bytes()) {
      edits.blanked |= edit::blank(file, at) || edit::blank(file, std::min(at + length, file.size()) - 1);
      edits.changed.insert(name);
      edits.files[name] = std::make_shared<FileBytes>(std::move(file));
    }
    input = input.subspan(4 + length);
  }
  return edits;
}

}  // namespace cairn::fuzz
