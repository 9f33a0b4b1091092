#include "aio/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace cairn {
namespace {

size_t order_of(size_t length) { return static_cast<size_t>(std::bit_width((length - 1) / io_buffer_min)); }
size_t size_of(size_t order) { return io_buffer_min << order; }

}  // namespace

IoBuffer::IoBuffer(IoBuffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), data_(other.data_), size_(other.size_) {}

IoBuffer& IoBuffer::operator=(IoBuffer&& other) noexcept {
  if (this != &other) {
    reset();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = other.data_;
    size_ = other.size_;
  }
  return *this;
}

void IoBuffer::reset() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->give_back(data_, size_);
}

BufferPool::BufferPool(ReadyQueue& ready, size_t bytes) : ready_(ready) {
  piece_max_ = std::min(std::bit_ceil(std::max(bytes, io_buffer_min)), size_t{io_buffer_max});
  bytes_ = (std::max(bytes, io_buffer_min) + piece_max_ - 1) / piece_max_ * piece_max_;
  void* region = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<std::byte*>(region);
  free_order_.resize(bytes_ / io_buffer_min);
  for (size_t at = 0; at < bytes_; at += piece_max_) merge_free(base_ + at, order_of(piece_max_));
  free_bytes_ = bytes_;
}

BufferPool::~BufferPool() {
  CAIRN_ASSERT(free_bytes_ == bytes_);
  for (auto& list : free_)
    while (FreePiece* piece = list.pop_front()) piece->~FreePiece();
  ::munmap(base_, bytes_);
}

std::byte* BufferPool::take(size_t order) {
  size_t from = order;
  while (from < order_count && free_[from].empty()) ++from;
  if (from == order_count) return nullptr;
  FreePiece* piece = free_[from].pop_front();
  piece->~FreePiece();
  auto* data = reinterpret_cast<std::byte*>(piece);
  free_order_[granule(data)] = 0;
  while (from > order) {  // split: the upper half stays free
    --from;
    std::byte* upper = data + size_of(from);
    free_[from].push_back(new (upper) FreePiece);
    free_order_[granule(upper)] = static_cast<uint8_t>(from + 1);
  }
  return data;
}

IoBuffer BufferPool::try_acquire(size_t length) {
  CAIRN_ASSERT(length > 0 && length <= piece_max_);
  const size_t order = order_of(length);
  std::byte* data = take(order);
  if (data == nullptr) return {};
  free_bytes_ -= size_of(order);
  return IoBuffer(this, data, size_of(order));
}

void BufferPool::merge_free(std::byte* data, size_t order) {
  while (size_of(order) < piece_max_) {
    const size_t offset = static_cast<size_t>(data - base_);
    std::byte* buddy = base_ + (offset ^ size_of(order));
    if (free_order_[granule(buddy)] != order + 1) break;
    auto* piece = reinterpret_cast<FreePiece*>(buddy);
    piece->unlink();
    piece->~FreePiece();
    free_order_[granule(buddy)] = 0;
    data = std::min(data, buddy);
    ++order;
  }
  free_[order].push_back(new (data) FreePiece);
  free_order_[granule(data)] = static_cast<uint8_t>(order + 1);
}

void BufferPool::give_back(std::byte* data, size_t size) {
  free_bytes_ += size;
  merge_free(data, order_of(size));
  serve_waiters();
}

void BufferPool::serve_waiters() {
  while (BufferWaiter* waiter = waiters_.front()) {
    IoBuffer buffer = try_acquire(waiter->length);
    if (!buffer.valid()) return;
    waiters_.pop_front();
    waiter->buffer = std::move(buffer);
    ready_.push(waiter);
  }
}

}  // namespace cairn
