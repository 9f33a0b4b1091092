#pragma once

#include <atomic>
#include <functional>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "block/block_device.h"

namespace cairn::test {

/// Holds every operation back while its gate is closed, so that a test decides what is in flight. The operations wait
/// before they reach the device below.
class GateDevice final : public BlockDevice {
 public:
  GateDevice(BlockDevice& below, Reactor& reactor) : below_(below), reactor_(reactor), gate_(reactor.ready()) {}

  // From the test's thread.
  void close_gate() { closed_ = true; }
  void open_gate() {
    closed_ = false;
    reactor_.post([this] { gate_.wake_all(); });
  }
  size_t waiting() const { return waiting_; }
  size_t finished() const { return finished_; }

  Geometry geometry() const override { return below_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override { return pass(below_.read(offset, into)); }
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override {
    return pass(below_.write(offset, from, durability));
  }
  Task<Status> flush() override { return pass(below_.flush()); }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override {
    return pass(below_.trim(offset, length, durability));
  }
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override {
    return pass(below_.write_zeroes(offset, length, mode, durability));
  }
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override {
    return pass(below_.block_status(offset, length, query, extents_max, extents));
  }

 private:
  Task<Status> pass(Task<Status> operation) {
    ++waiting_;
    while (closed_) co_await gate_.wait();
    --waiting_;
    const Status status = co_await std::move(operation);
    ++finished_;
    co_return status;
  }

  BlockDevice& below_;
  Reactor& reactor_;
  WaitQueue gate_;
  std::atomic<bool> closed_ = false;
  std::atomic<size_t> waiting_ = 0;
  std::atomic<size_t> finished_ = 0;
};

}  // namespace cairn::test
