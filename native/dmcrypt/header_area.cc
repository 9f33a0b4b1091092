#include "dmcrypt/header_area.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/aligned_memory.h"
#include "dmcrypt/luks_metadata.h"

namespace cairn::dmcrypt {
namespace {

constexpr size_t copied_at_once = 1 * mebibyte;
constexpr size_t compared_at_once = store_block_size;

// LUKS2 On-Disk Format 1.1, section 2.1: the binary header, big-endian, and the JSON area behind it.
constexpr size_t binary_header_size = 4096;
constexpr size_t hdr_size_offset = 8;
constexpr std::string_view primary_magic("LUKS\xba\xbe", 6);
constexpr uint64_t json_area_max = 4 * mebibyte;

uint64_t big_endian(const std::byte* at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint64_t>(at[i]);
  return value;
}

/// Of the primary header with its JSON area; 0 when it does not say so credibly.
uint64_t header_size(std::span<const std::byte> beginning) {
  if (std::memcmp(beginning.data(), primary_magic.data(), primary_magic.size()) != 0) return 0;
  const uint64_t size = big_endian(beginning.data() + hdr_size_offset);
  const bool credible = size > binary_header_size && size <= json_area_max && size % binary_header_size == 0;
  return credible ? size : 0;
}

/// What the JSON area behind the binary header says; null when it is none.
nlohmann::json metadata_of(std::span<const std::byte> header) {
  const std::span<const std::byte> area = header.subspan(binary_header_size);
  const auto* text = reinterpret_cast<const char*>(area.data());
  nlohmann::json json = nlohmann::json::parse(text, text + ::strnlen(text, area.size()), nullptr, false);
  return json.is_object() ? json : nlohmann::json(nullptr);
}

/// Where the keyslots end, as the JSON area says; 0 when it does not say so credibly.
uint64_t area_end(std::span<const std::byte> header) {
  const nlohmann::json json = metadata_of(header);
  if (json.is_null()) return 0;
  const auto config = json.find("config");
  if (config == json.end() || !config->is_object()) return 0;
  const auto keyslots = config->find("keyslots_size");
  if (keyslots == config->end() || !keyslots->is_string()) return 0;
  const uint64_t size = std::strtoull(keyslots->get_ref<const std::string&>().c_str(), nullptr, 10);
  return size <= header_area_max ? 2 * header.size() + size : 0;
}

Error read_failed(Status status) {
  return {errno_code(status.error()), "the header of the encrypted volume cannot be read: " + status.message()};
}

/// Of a path that somebody has typed.
Error file_error(const char* what, const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR || error == EISDIR || error == ELOOP || error == ENAMETOOLONG)
    return {"INVALID_ARGUMENT", path + " cannot be used: " + std::strerror(error)};
  return system_error(what, path, error);
}

Error no_memory() { return {"ENOMEM", "no memory for the header of an encrypted volume"}; }

/// The primary header with its JSON area; of no length when there is none, or it cannot be read.
Task<Result<AlignedMemory>> read_first_copy(BlockDevice& device) {
  const uint64_t size = device.geometry().size;
  if (size < binary_header_size) co_return AlignedMemory(0);
  AlignedMemory first(binary_header_size);
  if (!first.valid()) co_return no_memory();
  Status status = co_await device.read(0, first.span());
  if (!status.ok()) co_return AlignedMemory(0);
  const uint64_t length = header_size(first.span());
  if (length == 0 || 2 * length > size) co_return AlignedMemory(0);
  AlignedMemory whole(length);
  if (!whole.valid()) co_return no_memory();
  status = co_await device.read(0, whole.span());
  if (!status.ok()) co_return AlignedMemory(0);
  co_return whole;
}

/// How much of the device to copy.
Task<Result<uint64_t>> find_area_size(BlockDevice& device) {
  const uint64_t size = device.geometry().size;
  const uint64_t usual = std::min(size, data_offset_default);
  const Result<AlignedMemory> header = co_await read_first_copy(device);
  if (!header.ok()) co_return header.error();
  if (header.value().span().empty()) co_return usual;
  co_return std::min({size, header_area_max, std::max(usual, area_end(header.value().span()))});
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

/// What is all zeros stays a hole.
bool put_into(const HeaderFile& file, uint64_t offset, std::span<const std::byte> bytes) {
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), compared_at_once))) {
    const std::span<const std::byte> block = bytes.first(std::min(bytes.size(), compared_at_once));
    if (!all_zero(block) && ::pwrite(file.fd(), block.data(), block.size(), static_cast<off_t>(offset)) !=
                                static_cast<ssize_t>(block.size()))
      return false;
    offset += block.size();
  }
  return true;
}

/// The primary header with its JSON area; empty when there is none.
std::vector<std::byte> read_primary(const HeaderFile& file) {
  std::vector<std::byte> bytes(binary_header_size);
  if (::pread(file.fd(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  bytes.resize(header_size(bytes));
  if (::pread(file.fd(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  return bytes;
}

/// Block by block, where the whole cannot be read: zeros for those that cannot either. A device of which nothing can be
/// read has failed.
Task<Result<Unit>> read_blocks(BlockDevice& device, uint64_t offset, std::span<std::byte> into) {
  bool any = false;
  Status failed;
  while (!into.empty()) {
    const std::span<std::byte> block = into.first(std::min(into.size(), compared_at_once));
    const Status status = co_await device.read(offset, block);
    any = any || status.ok();
    if (!status.ok()) {
      failed = status;
      std::ranges::fill(block, std::byte{0});
    }
    offset += block.size();
    into = into.subspan(block.size());
  }
  if (!any) co_return read_failed(failed);
  co_return Unit{};
}

/// Writes what differs in a range of the device.
class Writer {
 public:
  Writer(BlockDevice& device, const HeaderFile& file)
      : device_(device), file_(file), wanted_(copied_at_once), present_(copied_at_once) {}

  bool valid() const { return wanted_.valid() && present_.valid(); }
  bool changed() const { return changed_; }

  /// Of a copy of the header, which the file has whole whatever could be read: a disk takes a bad block that is
  /// written.
  Task<Status> write_copy(uint64_t from, uint64_t end) {
    over_unreadable_ = true;
    return write(from, end);
  }
  /// All of it is durable when it is done.
  Task<Status> write(uint64_t from, uint64_t end) {
    const bool before = std::exchange(changed_, false);
    Status status;
    for (uint64_t at = from; at < end && status.ok(); at += copied_at_once)
      status = co_await write_piece(at, std::min<uint64_t>(copied_at_once, end - at));
    if (status.ok() && changed_) status = co_await device_.flush();
    changed_ = changed_ || before;
    co_return status;
  }

 private:
  Task<Status> write_piece(uint64_t at, size_t length) {
    if (::pread(file_.fd(), wanted_.span().data(), length, static_cast<off_t>(at)) != static_cast<ssize_t>(length))
      co_return Status::from_errno(EIO);
    const Status read = co_await device_.read(at, present_.span().first(length));
    if (!read.ok() && !over_unreadable_) co_return read;
    if (!read.ok()) co_await read_unlike(at, length);
    for (size_t begin = 0; begin < length;) {
      size_t end = begin;
      while (end < length && differs(end, length)) end = std::min(end + compared_at_once, length);
      if (end > begin) {
        changed_ = true;
        const std::span<const std::byte> run = wanted_.span().subspan(begin, end - begin);
        const Status written = co_await device_.write(at + begin, run, Durability::buffered);
        if (!written.ok()) co_return written;
      }
      begin = end + compared_at_once;  // what ended the run is alike
    }
    co_return Status();
  }

  /// What cannot be read differs.
  Task<> read_unlike(uint64_t at, size_t length) {
    for (size_t block = 0; block < length; block += compared_at_once) {
      const size_t size = std::min(compared_at_once, length - block);
      const std::span<std::byte> present = present_.span().subspan(block, size);
      const Status read = co_await device_.read(at + block, present);
      if (!read.ok()) present.front() = ~wanted_.span()[block];
    }
  }

  bool differs(size_t block, size_t length) const {
    const size_t size = std::min(compared_at_once, length - block);
    return !std::ranges::equal(wanted_.span().subspan(block, size), present_.span().subspan(block, size));
  }

  BlockDevice& device_;
  const HeaderFile& file_;
  AlignedMemory wanted_;
  AlignedMemory present_;
  bool changed_ = false;
  bool over_unreadable_ = false;
};

Task<Result<bool>> write_area(BlockDevice& device, const HeaderFile& file, bool with_keyslots) {
  Writer writer(device, file);
  const std::vector<std::byte> primary = read_primary(file);
  const uint64_t header = primary.size();
  const uint64_t end = header == 0 ? 0 : std::min(area_end(primary), file.area());
  // Nothing behind the keyslots is written: clients' data may be there, and have changed since it was copied.
  if (!writer.valid() || end < 2 * header || end > device.geometry().size)
    co_return Error{"EIO", "there is no LUKS2 header to write"};
  Status status;
  if (with_keyslots) status = co_await writer.write(2 * header, end);
  if (status.ok()) status = co_await writer.write_copy(0, header);
  if (status.ok()) status = co_await writer.write_copy(header, 2 * header);
  if (!status.ok())
    co_return Error{errno_code(status.error()),
                    "the header of the encrypted volume could not be written: " + status.message()};
  co_return writer.changed();
}

}  // namespace

Task<Result<HeaderFile>> read_header_area(BlockDevice& device) {
  const Result<uint64_t> size = co_await find_area_size(device);
  if (!size.ok()) co_return size.error();
  Result<HeaderFile> file = HeaderFile::create(device.geometry().size, size.value());
  if (!file.ok()) co_return file;
  const AlignedMemory memory(copied_at_once);
  if (!memory.valid()) co_return no_memory();
  for (uint64_t at = 0; at < size.value(); at += copied_at_once) {
    const std::span<std::byte> piece = memory.span().first(std::min<uint64_t>(copied_at_once, size.value() - at));
    const Status status = co_await device.read(at, piece);
    if (!status.ok()) {
      const Result<Unit> some = co_await read_blocks(device, at, piece);
      if (!some.ok()) co_return some.error();
    }
    if (!put_into(file.value(), at, piece)) co_return no_memory();
  }
  co_return file;
}

Result<Unit> save_header(const HeaderFile& file, const std::string& path) {
  const std::vector<std::byte> primary = read_primary(file);
  const uint64_t end = primary.empty() ? 0 : std::min(area_end(primary), file.area());
  if (end == 0) return Error{"HEADER_DAMAGED", "there is no whole LUKS2 header"};
  std::vector<std::byte> bytes(end);
  if (::pread(file.fd(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(end))
    return system_error("read", "the header's copy in memory", EIO);
  const UniqueFd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!made.valid()) return file_error("make", path, errno);
  const auto failed = [&](int error) {
    ::unlink(path.c_str());
    return system_error("write", path, error);
  };
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(made.get(), bytes.data() + done, bytes.size() - done);
    if (written <= 0) return failed(written == 0 ? EIO : errno);
    done += static_cast<size_t>(written);
  }
  const UniqueFd directory(
      ::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (::fsync(made.get()) != 0 || !directory.valid() || ::fsync(directory.get()) != 0) return failed(errno);
  return Unit{};
}

Result<HeaderFile> load_header(const std::string& path, uint64_t device_size) {
  const UniqueFd opened(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat found {};
  if (!opened.valid() || ::fstat(opened.get(), &found) != 0) return file_error("read", path, errno);
  const auto length = static_cast<uint64_t>(found.st_size);
  if (!S_ISREG(found.st_mode) || length < 2 * binary_header_size || length > header_area_max || length > device_size)
    return Error{"INVALID_ARGUMENT", path + " is no backup of the LUKS2 header of this volume"};
  std::vector<std::byte> bytes(length);
  if (::pread(opened.get(), bytes.data(), length, 0) != static_cast<ssize_t>(length))
    return system_error("read", path, EIO);
  Result<HeaderFile> file = HeaderFile::create(device_size, length);
  if (!file.ok()) return file;
  if (!put_into(file.value(), 0, bytes)) return no_memory();
  return file;
}

Task<Result<std::string>> read_key_id(BlockDevice& device) {
  const Result<AlignedMemory> header = co_await read_first_copy(device);
  if (!header.ok()) co_return header.error();
  const std::string id = header.value().span().empty() ? std::string() : key_id_of(metadata_of(header.value().span()));
  if (id.empty()) co_return Error{"HEADER_DAMAGED", "the LUKS2 header does not say which volume key there is"};
  co_return id;
}

Task<Result<bool>> write_header_area(BlockDevice& device, const HeaderFile& file) {
  return write_area(device, file, true);
}

Task<Result<bool>> mend_header(BlockDevice& device, const HeaderFile& file) { return write_area(device, file, false); }

}  // namespace cairn::dmcrypt
