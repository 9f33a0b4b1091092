// Reading a range through an index: its runs in parallel, each from the file of its layer.
#pragma once

#include <algorithm>
#include <span>
#include <utility>

#include "aio/task.h"
#include "base/aligned_memory.h"
#include "base/status.h"
#include "store/read_index.h"

namespace cairn::store {

/// Calls `visit(source, from, to)` for each run of [offset, offset + length), cut to it, in order, while it returns
/// true.
template <typename Visit>
void for_each_piece(const ReadIndex& index, uint64_t offset, uint64_t length, Visit visit) {
  const uint64_t end_byte = offset + length;
  const uint64_t end = (end_byte + store_block_size - 1) / store_block_size;
  for (uint64_t block = offset / store_block_size; block < end;) {
    const SourceRun run = index.run_at(block, end);
    block += run.count;
    const uint64_t from = std::max(offset, run.first * store_block_size);
    if (!visit(run.source, from, std::min(end_byte, block * store_block_size))) return;
  }
}

/// Counts the pieces of one read or write; the last one resumes it. A piece that ran out of space is named only if
/// nothing worse has happened.
class PieceJoin {
 public:
  void add() { ++outstanding_; }
  void done(Status piece) {
    if (!piece.ok() && (status_.ok() || status_.error() == ENOSPC)) status_ = piece;
    if (--outstanding_ == 0 && reader_) reader_.resume();
  }
  bool await_ready() { return --outstanding_ == 0; }
  void await_suspend(std::coroutine_handle<> waiting) { reader_ = waiting; }
  Status await_resume() const { return status_; }

 private:
  size_t outstanding_ = 1;  // the reader itself, until it waits
  Status status_;
  std::coroutine_handle<> reader_;
};

/// `begin(source, piece, from, join)` starts the read of a piece of a layer's file; it calls join.done() at its end.
template <typename Begin>
Task<Status> read_pieces(const ReadIndex& index, uint64_t offset, std::span<std::byte> into, Begin begin) {
  PieceJoin join;
  for_each_piece(index, offset, into.size(), [&](Source source, uint64_t from, uint64_t to) {
    const std::span<std::byte> piece = into.subspan(from - offset, to - from);
    if (source.reads_zero()) {
      std::fill(piece.begin(), piece.end(), std::byte{0});
    } else {
      join.add();
      begin(source, piece, from, join);
    }
    return true;
  });
  co_return co_await join;
}

/// What direct I/O cannot read as it is: `read(offset, into)` of the blocks around it, then the part asked for.
template <typename Read>
Task<Status> read_around(uint64_t offset, std::span<std::byte> into, Read read) {
  const uint64_t start = offset / store_block_size * store_block_size;
  const uint64_t end = (offset + into.size() + store_block_size - 1) / store_block_size * store_block_size;
  const AlignedMemory memory(end - start);
  if (!memory.valid()) co_return Status::from_errno(ENOMEM);
  const Status status = co_await read(start, memory.span());
  if (status.ok())
    std::copy_n(memory.span().begin() + static_cast<ptrdiff_t>(offset - start), into.size(), into.begin());
  co_return status;
}

}  // namespace cairn::store
