#include "store/read_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "base/assert.h"

namespace cairn::store {
namespace {

// The two low bits of an entry say what it is: pages are aligned to more.
constexpr uint64_t kind_uniform = 0;
constexpr uint64_t kind_sparse = 1;
constexpr uint64_t kind_full = 2;
constexpr uint64_t kind_mask = 3;

constexpr uint32_t sparse_capacity_min = 2;
/// A sparse page with more exceptions than this is larger than it is worth: 128 * 4 bytes against 1 KiB.
constexpr uint32_t sparse_capacity_max = 128;

constexpr uint64_t uniform_entry(Source source) { return uint64_t{source.bits()} << 2 | kind_uniform; }
constexpr Source uniform_source(uint64_t entry) { return Source::from_bits(static_cast<uint16_t>(entry >> 2)); }

}  // namespace

struct ReadIndex::SparsePage {
  struct Exception {
    uint16_t index;
    uint16_t source;
  };
  uint16_t count;
  uint16_t capacity;
  uint16_t base;
  uint16_t reserved;

  Exception* exceptions() { return reinterpret_cast<Exception*>(this + 1); }
  Exception* end() { return exceptions() + count; }
  Exception* lower_bound(uint32_t index) {
    return std::lower_bound(exceptions(), end(), index, [](const Exception& e, uint32_t i) { return e.index < i; });
  }
  static size_t bytes(uint32_t capacity) { return sizeof(SparsePage) + capacity * sizeof(Exception); }
};

struct ReadIndex::FullPage {
  std::array<uint16_t, index_chunk_blocks> sources;
};

ReadIndex::ReadIndex(uint64_t block_count)
    : block_count_(block_count), chunk_count_((block_count + index_chunk_blocks - 1) / index_chunk_blocks) {
  void* table = ::mmap(nullptr, chunk_count_ * sizeof(Entry), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) throw std::bad_alloc();
  entries_ = static_cast<Entry*>(table);
}

ReadIndex::~ReadIndex() {
  // Pages are only where something was assigned; reading the table of an empty volume maps the shared zero page.
  if (page_bytes_ > 0)
    for (uint64_t chunk = 0; chunk < chunk_count_; ++chunk) free_page(entries_[chunk]);
  ::munmap(entries_, chunk_count_ * sizeof(Entry));
}

ReadIndex::SparsePage* ReadIndex::new_sparse(uint32_t capacity, Source base) {
  void* memory = std::malloc(SparsePage::bytes(capacity));
  if (memory == nullptr) throw std::bad_alloc();
  page_bytes_ += SparsePage::bytes(capacity);
  return new (memory) SparsePage{0, static_cast<uint16_t>(capacity), base.bits(), 0};
}

void ReadIndex::free_page(Entry entry) {
  void* page = reinterpret_cast<void*>(entry & ~kind_mask);
  if ((entry & kind_mask) == kind_sparse)
    page_bytes_ -= SparsePage::bytes(static_cast<SparsePage*>(page)->capacity);
  else if ((entry & kind_mask) == kind_full)
    page_bytes_ -= sizeof(FullPage);
  else
    return;
  std::free(page);
}

Source ReadIndex::chunk_at(Entry entry, uint32_t index) const {
  switch (entry & kind_mask) {
    case kind_uniform:
      return uniform_source(entry);
    case kind_sparse: {
      auto* page = reinterpret_cast<SparsePage*>(entry & ~kind_mask);
      const SparsePage::Exception* found = page->lower_bound(index);
      const bool exception = found != page->end() && found->index == index;
      return Source::from_bits(exception ? found->source : page->base);
    }
    default:
      return Source::from_bits(reinterpret_cast<FullPage*>(entry & ~kind_mask)->sources[index]);
  }
}

Source ReadIndex::at(uint64_t block) const {
  CAIRN_ASSERT(block < block_count_);
  return chunk_at(entries_[block / index_chunk_blocks], static_cast<uint32_t>(block % index_chunk_blocks));
}

void ReadIndex::copy_sources(uint64_t first, std::span<Source> into) const {
  CAIRN_ASSERT(first + into.size() <= block_count_);
  while (!into.empty()) {
    const auto index = static_cast<uint32_t>(first % index_chunk_blocks);
    const size_t part = std::min<size_t>(into.size(), index_chunk_blocks - index);
    copy_chunk(entries_[first / index_chunk_blocks], index, into.first(part));
    into = into.subspan(part);
    first += part;
  }
}

void ReadIndex::copy_chunk(Entry entry, uint32_t first, std::span<Source> into) const {
  if ((entry & kind_mask) == kind_full) {
    const auto* page = reinterpret_cast<FullPage*>(entry & ~kind_mask);
    for (size_t i = 0; i < into.size(); ++i) into[i] = Source::from_bits(page->sources[first + i]);
  } else if ((entry & kind_mask) == kind_sparse) {
    auto* page = reinterpret_cast<SparsePage*>(entry & ~kind_mask);
    std::fill(into.begin(), into.end(), Source::from_bits(page->base));
    for (auto* e = page->lower_bound(first); e != page->end() && e->index < first + into.size(); ++e)
      into[e->index - first] = Source::from_bits(e->source);
  } else {
    std::fill(into.begin(), into.end(), uniform_source(entry));
  }
}

/// The first block from `index` on, below `limit`, whose source is another one.
uint32_t ReadIndex::chunk_run_end(Entry entry, uint32_t index, uint32_t limit) const {
  if ((entry & kind_mask) == kind_uniform) return limit;
  const Source source = chunk_at(entry, index);
  uint32_t end = index + 1;
  if ((entry & kind_mask) == kind_full) {
    const auto* page = reinterpret_cast<FullPage*>(entry & ~kind_mask);
    while (end < limit && page->sources[end] == source.bits()) ++end;
    return end;
  }
  auto* page = reinterpret_cast<SparsePage*>(entry & ~kind_mask);
  const SparsePage::Exception* next = page->lower_bound(end);
  while (end < limit) {
    const bool exception = next != page->end() && next->index == end;
    if ((exception ? next->source : page->base) != source.bits()) return end;
    if (exception)
      ++next, ++end;
    else
      end = next == page->end() ? limit : std::min<uint32_t>(limit, next->index);
  }
  return end;
}

SourceRun ReadIndex::run_at(uint64_t block, uint64_t end) const {
  CAIRN_ASSERT(block < end && end <= block_count_);
  const Source source = at(block);
  uint64_t next = block;
  while (next < end && at(next) == source) {
    const uint64_t chunk = next / index_chunk_blocks;
    const uint64_t chunk_start = chunk * index_chunk_blocks;
    const auto limit = static_cast<uint32_t>(std::min<uint64_t>(end - chunk_start, index_chunk_blocks));
    const uint32_t run_end = chunk_run_end(entries_[chunk], static_cast<uint32_t>(next - chunk_start), limit);
    next = chunk_start + run_end;
    if (run_end < limit) break;
  }
  return {block, next - block, source};
}

void ReadIndex::assign(uint64_t first, uint64_t count, Source source) {
  CAIRN_ASSERT(first + count <= block_count_);
  const uint64_t end = first + count;
  while (first < end) {
    const uint64_t chunk = first / index_chunk_blocks;
    const auto index = static_cast<uint32_t>(first % index_chunk_blocks);
    const auto part = static_cast<uint32_t>(std::min<uint64_t>(end - first, index_chunk_blocks - index));
    const Entry before = entries_[chunk];
    const Entry after = assign_in_chunk(before, index, part, source);
    if (after != before) entries_[chunk] = after;  // an unchanged entry is not written: it may be an untouched page
    first += part;
  }
}

ReadIndex::Entry ReadIndex::assign_in_chunk(Entry entry, uint32_t first, uint32_t count, Source source) {
  if (count == index_chunk_blocks) {
    free_page(entry);
    return uniform_entry(source);
  }
  switch (entry & kind_mask) {
    case kind_sparse:
      return assign_sparse(reinterpret_cast<SparsePage*>(entry & ~kind_mask), first, count, source);
    case kind_full:
      return assign_full(reinterpret_cast<FullPage*>(entry & ~kind_mask), first, count, source);
    default: {
      if (uniform_source(entry) == source) return entry;
      if (count > sparse_capacity_max) return assign_full(to_full(entry), first, count, source);
      SparsePage* page = new_sparse(std::bit_ceil(std::max(count, sparse_capacity_min)), uniform_source(entry));
      return assign_sparse(page, first, count, source);
    }
  }
}

ReadIndex::Entry ReadIndex::assign_sparse(SparsePage* page, uint32_t first, uint32_t count, Source source) {
  const auto entry = reinterpret_cast<uint64_t>(page) | kind_sparse;
  SparsePage::Exception* from = page->lower_bound(first);
  SparsePage::Exception* to = page->lower_bound(first + count);
  const uint32_t added = source.bits() == page->base ? 0 : count;
  const auto total = page->count - static_cast<uint32_t>(to - from) + added;
  if (total > sparse_capacity_max) return assign_full(to_full(entry), first, count, source);
  if (total > page->capacity) {
    SparsePage* larger = new_sparse(std::bit_ceil(total), Source::from_bits(page->base));
    std::copy(page->exceptions(), page->end(), larger->exceptions());
    larger->count = page->count;
    free_page(entry);
    return assign_sparse(larger, first, count, source);
  }
  // Make room for exactly `added` exceptions in place of those in the range.
  std::memmove(from + added, to, static_cast<size_t>(page->end() - to) * sizeof *to);
  for (uint32_t i = 0; i < added; ++i) from[i] = {static_cast<uint16_t>(first + i), source.bits()};
  page->count = static_cast<uint16_t>(total);
  if (total > 0) return entry;
  const Source base = Source::from_bits(page->base);
  free_page(entry);
  return uniform_entry(base);
}

ReadIndex::Entry ReadIndex::assign_full(FullPage* page, uint32_t first, uint32_t count, Source source) {
  std::fill_n(page->sources.begin() + first, count, source.bits());
  const auto entry = reinterpret_cast<uint64_t>(page) | kind_full;
  // Sequential writes end by making the whole chunk one source again; the ends tell cheaply when that can be.
  if (page->sources.front() != source.bits() || page->sources.back() != source.bits()) return entry;
  const bool uniform = std::all_of(page->sources.begin(), page->sources.end(),
                                   [source](uint16_t bits) { return bits == source.bits(); });
  if (!uniform) return entry;
  free_page(entry);
  return uniform_entry(source);
}

/// A full page with the entry's content; frees the entry's own page.
ReadIndex::FullPage* ReadIndex::to_full(Entry entry) {
  auto* full = static_cast<FullPage*>(std::malloc(sizeof(FullPage)));
  if (full == nullptr) throw std::bad_alloc();
  page_bytes_ += sizeof(FullPage);
  for (uint32_t i = 0; i < index_chunk_blocks; ++i) full->sources[i] = chunk_at(entry, i).bits();
  free_page(entry);
  return full;
}

bool ReadIndex::grow(uint64_t block_count) {
  CAIRN_ASSERT(block_count >= block_count_);
  const uint64_t chunks = (block_count + index_chunk_blocks - 1) / index_chunk_blocks;
  void* table = ::mremap(entries_, chunk_count_ * sizeof(Entry), chunks * sizeof(Entry), MREMAP_MAYMOVE);
  if (table == MAP_FAILED) return false;
  entries_ = static_cast<Entry*>(table);
  chunk_count_ = chunks;
  // A last chunk that was cut off may be uniform: what is behind the end must not seem to be written.
  const uint64_t old_end = std::exchange(block_count_, block_count);
  const uint64_t chunk_end =
      std::min((old_end + index_chunk_blocks - 1) / index_chunk_blocks * index_chunk_blocks, block_count);
  assign(old_end, chunk_end - old_end, Source());
  return true;
}

bool ReadIndex::mentions(uint16_t slot) const {
  for (uint64_t chunk = 0; chunk < chunk_count_; ++chunk) {
    if (entries_[chunk] == 0) continue;
    for (uint32_t index = 0; index < index_chunk_blocks;
         index = chunk_run_end(entries_[chunk], index, index_chunk_blocks))
      if (chunk_at(entries_[chunk], index).slot() == slot) return true;
  }
  return false;
}

}  // namespace cairn::store
