#include "frontend/receive_buffer.h"

#include <cstring>

#include "base/assert.h"

namespace cairn {

std::unique_ptr<std::byte[]> ReceiveBufferShelf::take() {
  if (kept_.empty()) return std::make_unique_for_overwrite<std::byte[]>(receive_large_size);
  std::unique_ptr<std::byte[]> buffer = std::move(kept_.back());
  kept_.pop_back();
  return buffer;
}

void ReceiveBufferShelf::put_back(std::unique_ptr<std::byte[]> buffer) {
  if (kept_.size() < receive_large_kept_max) kept_.push_back(std::move(buffer));
}

ReceiveBuffer::~ReceiveBuffer() {
  if (large_ != nullptr) shelf_.put_back(std::move(large_));
}

std::span<std::byte> ReceiveBuffer::prepare(bool idle) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (filled_ && large_ == nullptr) {
    grow();
  } else if (idle && end_ == 0 && !filled_ && large_ != nullptr) {
    shrink();
  }
  if (begin_ > 0) {
    std::memmove(memory(), memory() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  CAIRN_ASSERT(end_ < capacity());
  return {memory() + end_, capacity() - end_};
}

void ReceiveBuffer::received(size_t length) {
  end_ += length;
  CAIRN_ASSERT(end_ <= capacity());
  filled_ = end_ == capacity();
}

void ReceiveBuffer::append(std::span<const std::byte> bytes) {
  CAIRN_ASSERT(end_ == 0 && bytes.size() <= receive_large_size);
  if (bytes.empty()) return;  // there may be no memory yet, and memcpy takes no null
  if (bytes.size() > capacity()) grow();
  std::memcpy(memory(), bytes.data(), bytes.size());
  end_ = bytes.size();
}

void ReceiveBuffer::grow() {
  std::unique_ptr<std::byte[]> larger = shelf_.take();
  if (end_ > begin_) std::memcpy(larger.get(), memory() + begin_, end_ - begin_);
  large_ = std::move(larger);
  end_ -= begin_;
  begin_ = 0;
}

void ReceiveBuffer::shrink() { shelf_.put_back(std::move(large_)); }

}  // namespace cairn
