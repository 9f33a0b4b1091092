// Which layer has the newest content of each block: reading through a thousand snapshots costs what reading through one
// costs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/limits.h"
#include "store/format.h"

namespace cairn::store {

/// Where a block's content is: a slot of the open chain (from 1), and how it is read. Zero: nobody wrote it.
class Source {
 public:
  enum class Access : uint8_t { plain = 0, zeros = 1, page_cache = 2 };

  constexpr Source() = default;
  constexpr Source(uint16_t slot, Access access)
      : bits_(static_cast<uint16_t>(slot << 2 | static_cast<uint16_t>(access))) {}
  constexpr Source(uint16_t slot, bool zero) : Source(slot, zero ? Access::zeros : Access::plain) {}
  static constexpr Source from_bits(uint16_t bits) {
    Source source;
    source.bits_ = bits;
    return source;
  }

  constexpr uint16_t slot() const { return static_cast<uint16_t>(bits_ >> 2); }
  constexpr bool reads_zero() const { return bits_ == 0 || access() == Access::zeros; }
  /// Of a file that is otherwise read directly.
  constexpr bool in_page_cache() const { return access() == Access::page_cache; }
  constexpr uint16_t bits() const { return bits_; }
  friend constexpr bool operator==(Source, Source) = default;

 private:
  constexpr Access access() const { return static_cast<Access>(bits_ & 3); }
  uint16_t bits_ = 0;
};

struct SourceRun {
  uint64_t first;
  uint64_t count;
  Source source;
};

/// Two levels. A chunk of 512 blocks (2 MiB) is one 64-bit entry: the source of all of it, or a pointer to a page. A
/// page is sparse (a base and a sorted list of exceptions) while few blocks differ, else full. Entries nobody wrote
/// take no memory: the table is an anonymous mapping.
class ReadIndex {
 public:
  explicit ReadIndex(uint64_t block_count);
  ~ReadIndex();
  ReadIndex(const ReadIndex&) = delete;
  ReadIndex& operator=(const ReadIndex&) = delete;

  uint64_t block_count() const { return block_count_; }
  Source at(uint64_t block) const;
  /// Of the blocks from `first` on; much faster than run by run where runs are short.
  void copy_sources(uint64_t first, std::span<Source> into) const;
  /// The run of one source that starts at `block`, cut at `end`; it may go on behind a chunk's end.
  SourceRun run_at(uint64_t block, uint64_t end) const;
  void assign(uint64_t first, uint64_t count, Source source);
  /// More blocks, which nobody wrote. False: no memory, and nothing has changed.
  bool grow(uint64_t block_count);
  /// Whether any block's source is this slot; reads the whole table.
  bool mentions(uint16_t slot) const;
  /// Bytes of pages; the table adds 8 bytes for each 2 MiB whose 512 neighbours (1 GiB) hold anything.
  size_t page_bytes() const { return page_bytes_; }

 private:
  struct SparsePage;
  struct FullPage;
  using Entry = uint64_t;

  Source chunk_at(Entry entry, uint32_t index) const;
  void copy_chunk(Entry entry, uint32_t first, std::span<Source> into) const;
  uint32_t chunk_run_end(Entry entry, uint32_t index, uint32_t limit) const;
  Entry assign_in_chunk(Entry entry, uint32_t first, uint32_t count, Source source);
  Entry assign_sparse(SparsePage* page, uint32_t first, uint32_t count, Source source);
  Entry assign_full(FullPage* page, uint32_t first, uint32_t count, Source source);
  FullPage* to_full(Entry entry);
  SparsePage* new_sparse(uint32_t capacity, Source base);
  void free_page(Entry entry);

  uint64_t block_count_;
  uint64_t chunk_count_;
  Entry* entries_;
  size_t page_bytes_ = 0;
};

}  // namespace cairn::store
