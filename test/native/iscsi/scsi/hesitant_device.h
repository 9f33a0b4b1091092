// A device whose operations go on, block by block, when they are told to: every order that several of them can take.
#pragma once

#include <coroutine>
#include <random>
#include <vector>

#include "block/block_device.h"

namespace cairn::test {

class HesitantDevice final : public BlockDevice {
 public:
  HesitantDevice(BlockDevice& below, std::mt19937_64& random) : below_(below), random_(random) {}

  /// One of those that wait goes on. False when none does.
  bool step() {
    if (waiting_.empty()) return false;
    std::swap(waiting_[random_() % waiting_.size()], waiting_.back());
    const std::coroutine_handle<> next = waiting_.back();
    waiting_.pop_back();
    next.resume();
    return true;
  }

  Geometry geometry() const override { return below_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override {
    const size_t block = geometry().logical_block_size;
    for (size_t done = 0; done < into.size(); done += block) {
      co_await Pause{*this};
      const Status status = co_await below_.read(offset + done, into.subspan(done, block));
      if (!status.ok()) co_return status;
    }
    co_return Status();
  }
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override {
    const size_t block = geometry().logical_block_size;
    for (size_t done = 0; done < from.size(); done += block) {
      co_await Pause{*this};
      const Status status = co_await below_.write(offset + done, from.subspan(done, block), durability);
      if (!status.ok()) co_return status;
    }
    co_await Pause{*this};
    co_return Status();
  }
  Task<Status> flush() override {
    co_await Pause{*this};
    co_return co_await below_.flush();
  }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override {
    co_await Pause{*this};
    co_return co_await below_.trim(offset, length, durability);
  }
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override {
    co_await Pause{*this};
    co_return co_await below_.write_zeroes(offset, length, mode, durability);
  }
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override {
    co_await Pause{*this};
    co_return co_await below_.block_status(offset, length, query, extents_max, extents);
  }

 private:
  struct Pause {
    HesitantDevice& device;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { device.waiting_.push_back(handle); }
    void await_resume() const noexcept {}
  };

  BlockDevice& below_;
  std::mt19937_64& random_;
  std::vector<std::coroutine_handle<>> waiting_;
};

}  // namespace cairn::test
