#include "test/native/nbd/support/running_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

namespace cairn::test {

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

RunningServer::RunningServer(size_t reactor_count, ReactorOptions options, const nbd::TimeLimits& times)
    : RunningServer(reactor_count, options, nbd::Limits{.times = times}) {}

RunningServer::RunningServer(size_t reactor_count, ReactorOptions options, const nbd::Limits& limits) {
  std::vector<Reactor*> reactors;
  for (size_t i = 0; i < reactor_count; ++i) {
    auto thread = ReactorThread::start(options);
    EXPECT_TRUE(thread.ok()) << thread.error().message;
    threads_.push_back(std::move(thread.value()));
    reactors.push_back(&threads_.back()->reactor());
  }
  server_ = std::make_unique<nbd::Server>(reactors, limits);
  const Result<Unit> listening = server_->listen_unix(socket_path());
  EXPECT_TRUE(listening.ok()) << listening.error().message;
}

RunningServer::~RunningServer() { server_.reset(); }

MemoryDevice& RunningServer::add_memory(const std::string& name, const Memory& memory) {
  memories_.push_back(std::make_unique<MemoryDevice>(memory.size, memory.block_size));
  checked_.push_back(std::make_unique<CheckedDevice>(*memories_.back()));
  const Result<Unit> added =
      server_->add_export({.name = name,
                           .description = memory.description,
                           .read_only = memory.read_only,
                           .target = nbd::LocalTarget{&reactor(memory.reactor), checked_.back().get()},
                           .snapshots = memory.snapshots});
  EXPECT_TRUE(added.ok()) << added.error().message;
  return *memories_.back();
}

Result<Unit> RunningServer::add(const std::string& name, BlockDevice& device, size_t index, bool read_only) {
  return server_->add_export(
      {.name = name, .description = "", .read_only = read_only, .target = nbd::LocalTarget{&reactor(index), &device}});
}

Result<Unit> RunningServer::remove(const std::string& name, bool force) {
  std::promise<Result<Unit>> removed;
  server_->remove_export(name, force, [&removed](Result<Unit> result) { removed.set_value(std::move(result)); });
  return removed.get_future().get();
}

void RunningServer::on_reactor(const std::function<void()>& look, size_t index) {
  std::promise<void> looked;
  reactor(index).post([&look, &looked] {
    look();
    looked.set_value();
  });
  looked.get_future().wait();
}

Result<Unit> RunningServer::close() {
  std::promise<Result<Unit>> closed;
  server_->close([&closed](Result<Unit> result) { closed.set_value(std::move(result)); });
  return closed.get_future().get();
}

}  // namespace cairn::test
