#include "store/saved_index.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <span>

#include "store/replica_files.h"
#include "store/run_codec.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

// The body: the layers' numbers, four bytes each, then the runs in order, each as three numbers (run_codec.h): absent
// blocks before it, twice its length plus one if it reads as zeros, its layer's position.

bool fits(const SavedIndexHeader& header, const IndexedChain& chain, uint64_t block_count, uint64_t body_bytes) {
  return header.magic == saved_index_magic && header.checksum == checksum_of(header) &&
         header.version_major == format_major && header.session == chain.session &&
         header.layer_count == chain.layers.size() && header.block_count == block_count &&
         header.body_bytes == body_bytes && header.body_bytes >= header.layer_count * sizeof(uint32_t);
}

/// False when they are not runs of this chain, one behind the other.
bool assign_runs(std::span<const std::byte> runs, uint64_t run_count, uint64_t layer_count, ReadIndex& index) {
  NumberReader reader(runs);
  uint64_t at = 0;
  for (uint64_t run = 0; run < run_count; ++run) {
    const auto gap = reader.take();
    const auto length = reader.take();
    const auto place = reader.take();
    if (!gap || !length || !place || *place >= layer_count) return false;
    const uint64_t count = *length / 2;
    if (count == 0 || *gap > index.block_count() - at || count > index.block_count() - at - *gap) return false;
    index.assign(at + *gap, count, Source(static_cast<uint16_t>(*place + 1), *length % 2 == 1));
    at += *gap + count;
  }
  return reader.at_end();
}

}  // namespace

std::string saved_index_path(const std::string& directory) { return directory + "/read-index"; }

Result<Unit> save_index(const std::string& directory, const ReadIndex& index, const IndexedChain& chain,
                        const std::vector<uint16_t>& places) {
  SavedIndexHeader header;
  header.magic = saved_index_magic;
  header.layer_count = static_cast<uint32_t>(chain.layers.size());
  header.session = chain.session;
  header.block_count = index.block_count();
  const std::span<const std::byte> numbers = std::as_bytes(std::span(chain.layers));
  std::vector<std::byte> body(numbers.begin(), numbers.end());
  uint64_t end = 0;
  for (uint64_t block = 0; block < index.block_count();) {
    const SourceRun run = index.run_at(block, index.block_count());
    block += run.count;
    if (run.source.slot() == 0) continue;
    put_number(body, run.first - end);
    put_number(body, run.count * 2 + (run.source.reads_zero() ? 1 : 0));
    put_number(body, places[run.source.slot()]);
    end = block;
    ++header.run_count;
  }
  header.body_bytes = body.size();
  header.body_checksum = crc32c(body.data(), body.size());
  header.checksum = checksum_of(header);
  const std::string path = saved_index_path(directory);
  Result<UniqueFd> file = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
  if (!file.ok()) return file.error();
  Result<Unit> written = write_all(file.value().get(), path, body, sizeof header);
  if (written.ok()) written = write_all(file.value().get(), path, bytes_of(header), 0);
  return written.ok() ? sync_file(file.value().get(), path) : written;
}

std::unique_ptr<ReadIndex> load_index(const std::string& directory, const IndexedChain& chain, uint64_t block_count) {
  const std::string path = saved_index_path(directory);
  const Result<UniqueFd> file = open_file(path, O_RDONLY);
  if (!file.ok()) return nullptr;
  SavedIndexHeader header;
  struct stat status {};
  if (!read_all(file.value().get(), path, bytes_of(header), 0).ok() || ::fstat(file.value().get(), &status) != 0)
    return nullptr;
  if (!fits(header, chain, block_count, static_cast<uint64_t>(status.st_size) - sizeof header)) return nullptr;
  std::vector<std::byte> body(header.body_bytes);
  if (!read_all(file.value().get(), path, body, sizeof header).ok()) return nullptr;
  if (crc32c(body.data(), body.size()) != header.body_checksum) return nullptr;
  const size_t numbers = chain.layers.size() * sizeof(uint32_t);
  if (std::memcmp(body.data(), chain.layers.data(), numbers) != 0) return nullptr;
  auto index = std::make_unique<ReadIndex>(block_count);
  const std::span<const std::byte> runs = std::span<const std::byte>(body).subspan(numbers);
  return assign_runs(runs, header.run_count, chain.layers.size(), *index) ? std::move(index) : nullptr;
}

}  // namespace cairn::store
