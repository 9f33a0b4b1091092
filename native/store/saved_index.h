// read-index: what the maps of all layers say, as a clean close found it. Opening reads it in place of maps that may be
// scattered over gigabytes of sparse files. Never more than a copy: one that is missing, damaged, or not of the session
// that was closed is passed over, and the maps are read. Everything here blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/format.h"
#include "store/read_index.h"

namespace cairn::store {

/// An index with less memory in pages than this is read from the maps about as fast.
inline constexpr size_t saved_index_page_bytes_min = 64 * kibibyte;

/// Whose content an index names.
struct IndexedChain {
  uint64_t session = 0;          // of the ring: another one with every activation
  std::vector<uint32_t> layers;  // the open chain, base first
};

struct SavedIndexHeader {
  std::array<char, 8> magic{};
  uint16_t version_major = format_major;
  uint16_t version_minor = format_minor;
  uint32_t layer_count = 0;
  uint64_t session = 0;
  uint64_t block_count = 0;
  uint64_t run_count = 0;
  uint64_t body_bytes = 0;
  uint32_t reserved = 0;
  uint32_t body_checksum = 0;
  uint32_t reserved2 = 0;
  uint32_t checksum = 0;  // CRC32C of the bytes before
};
static_assert(sizeof(SavedIndexHeader) == 64);
inline constexpr std::array<char, 8> saved_index_magic = {'C', 'A', 'I', 'R', 'N', 'R', 'I', '\0'};

std::string saved_index_path(const std::string& directory);

/// `places[slot]` is the position in the chain of the layer in that slot of the index.
Result<Unit> save_index(const std::string& directory, const ReadIndex& index, const IndexedChain& chain,
                        const std::vector<uint16_t>& places);
/// The slot of the layer at position i is i + 1. Nothing when there is none that can be used.
std::unique_ptr<ReadIndex> load_index(const std::string& directory, const IndexedChain& chain, uint64_t block_count);

}  // namespace cairn::store
