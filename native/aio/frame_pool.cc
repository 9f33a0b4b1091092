#include "aio/frame_pool.h"

#include <array>
#include <cstdlib>
#include <new>

namespace cairn {
namespace {

constexpr size_t size_step = 64;
constexpr size_t size_max = 4096;

struct FreeFrame {
  FreeFrame* next;
};

struct FramePool {
  std::array<FreeFrame*, size_max / size_step + 1> free{};

  ~FramePool() {
    for (FreeFrame*& list : free) {
      while (list != nullptr) {
        FreeFrame* next = list->next;
        std::free(list);
        list = next;
      }
    }
  }
};

thread_local FramePool frame_pool;

size_t size_class(size_t size) { return (size + size_step - 1) / size_step; }

}  // namespace

void* allocate_frame(size_t size) {
  const size_t index = size_class(size);
  if (size <= size_max && frame_pool.free[index] != nullptr) {
    FreeFrame* frame = frame_pool.free[index];
    frame_pool.free[index] = frame->next;
    return frame;
  }
  void* memory = std::malloc(size <= size_max ? index * size_step : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void free_frame(void* frame, size_t size) {
  if (size > size_max) {
    std::free(frame);
    return;
  }
  auto* node = static_cast<FreeFrame*>(frame);
  const size_t index = size_class(size);
  node->next = frame_pool.free[index];
  frame_pool.free[index] = node;
}

}  // namespace cairn
