#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "frontend/limits.h"

namespace cairn {

/// Large receive buffers that the busy connections of one reactor share, so that idle ones cost little and busy ones
/// allocate nothing.
class ReceiveBufferShelf {
 public:
  std::unique_ptr<std::byte[]> take();
  void put_back(std::unique_ptr<std::byte[]> buffer);

 private:
  std::vector<std::unique_ptr<std::byte[]>> kept_;
};

/// The bytes that one connection has received and not consumed yet.
class ReceiveBuffer {
 public:
  explicit ReceiveBuffer(ReceiveBufferShelf& shelf) : shelf_(shelf) {}
  ~ReceiveBuffer();
  ReceiveBuffer(const ReceiveBuffer&) = delete;
  ReceiveBuffer& operator=(const ReceiveBuffer&) = delete;

  std::span<const std::byte> unread() const { return {memory() + begin_, end_ - begin_}; }
  void consume(size_t length) { begin_ += length; }
  size_t capacity() const { return large_ != nullptr ? receive_large_size : small_.size(); }

  /// Room for the next receive, behind the unread bytes. `idle`: nothing is in flight, so that a large buffer can go
  /// back. Invalidates what unread() returned.
  std::span<std::byte> prepare(bool idle);
  void received(size_t length);
  /// What was received before this buffer existed.
  void append(std::span<const std::byte> bytes);

 private:
  std::byte* memory() { return large_ != nullptr ? large_.get() : small_.data(); }
  const std::byte* memory() const { return large_ != nullptr ? large_.get() : small_.data(); }
  void grow();
  void shrink();

  ReceiveBufferShelf& shelf_;
  std::unique_ptr<std::byte[]> large_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool filled_ = false;  // the last receive left no room: there was probably more
  std::array<std::byte, receive_small_size> small_;
};

}  // namespace cairn
