// Aligned I/O memory of one reactor, registered with its ring.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "aio/ready_queue.h"
#include "base/limits.h"

namespace cairn {

class BufferPool;

/// A piece of a pool, given back when destroyed. Size is a power of two of at least 4 KiB, alignment at least 4 KiB.
class IoBuffer {
 public:
  IoBuffer() = default;
  IoBuffer(IoBuffer&& other) noexcept;
  IoBuffer& operator=(IoBuffer&& other) noexcept;
  ~IoBuffer() { reset(); }

  bool valid() const { return pool_ != nullptr; }
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> first(size_t length) const {
    CAIRN_ASSERT(length <= size_);
    return {data_, length};
  }
  void reset();

 private:
  friend class BufferPool;
  IoBuffer(BufferPool* pool, std::byte* data, size_t size) : pool_(pool), data_(data), size_(size) {}

  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// A buddy allocator over one region. Not for several threads. A request holds at most one buffer while it waits for
/// nothing else of the pool, so waiting in order cannot deadlock.
class BufferPool {
 public:
  /// Rounds up to a whole number of the largest piece that it will hand out.
  BufferPool(ReadyQueue& ready, size_t bytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  std::span<std::byte> region() const { return {base_, bytes_}; }
  size_t piece_max() const { return piece_max_; }
  size_t free_bytes() const { return free_bytes_; }

  /// An invalid buffer when the pool has no piece of that size now. `length` is 1 to piece_max().
  IoBuffer try_acquire(size_t length);

  class Acquire;
  /// Awaitable: a buffer of at least `length` bytes; waits its turn when the pool is exhausted.
  Acquire acquire(size_t length);

 private:
  friend class IoBuffer;
  struct FreePiece : ListLink {};
  static constexpr size_t order_count = 14;  // 4 KiB .. 32 MiB

  struct BufferWaiter : Waiter {
    size_t length = 0;
    IoBuffer buffer;
  };

  std::byte* take(size_t order);
  void give_back(std::byte* data, size_t size);
  void merge_free(std::byte* data, size_t order);
  void serve_waiters();
  size_t granule(const std::byte* data) const { return static_cast<size_t>(data - base_) / io_buffer_min; }

  ReadyQueue& ready_;
  std::byte* base_ = nullptr;
  size_t bytes_ = 0;
  size_t piece_max_ = 0;
  size_t free_bytes_ = 0;
  std::array<IntrusiveList<FreePiece>, order_count> free_;
  std::vector<uint8_t> free_order_;  // per granule: order + 1 where a free piece starts, else 0
  IntrusiveList<BufferWaiter> waiters_;
};

class BufferPool::Acquire : public BufferWaiter {
 public:
  Acquire(BufferPool& pool, size_t wanted) : pool_(pool) { length = wanted; }
  bool await_ready() {
    if (!pool_.waiters_.empty()) return false;
    buffer = pool_.try_acquire(length);
    return buffer.valid();
  }
  void await_suspend(std::coroutine_handle<> waiting) {
    handle = waiting;
    pool_.waiters_.push_back(this);
  }
  IoBuffer await_resume() { return std::move(buffer); }

 private:
  BufferPool& pool_;
};

inline BufferPool::Acquire BufferPool::acquire(size_t length) { return Acquire(*this, length); }

}  // namespace cairn
