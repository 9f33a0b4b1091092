// A server with its reactors and devices in memory, reachable through a unix socket.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "block/checked_device.h"
#include "block/memory_device.h"
#include "nbd/server.h"
#include "test/native/nbd/support/nbd_client.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {

/// Polls until `condition` holds; false when it does not within some seconds.
bool eventually(const std::function<bool()>& condition);

class RunningServer {
 public:
  explicit RunningServer(size_t reactor_count = 1, ReactorOptions options = {.buffer_bytes = 64 * mebibyte},
                         const nbd::TimeLimits& times = {});
  RunningServer(size_t reactor_count, ReactorOptions options, const nbd::Limits& limits);
  /// Closes it. Devices live longer than the server.
  ~RunningServer();

  nbd::Server& server() { return *server_; }
  Reactor& reactor(size_t index = 0) { return threads_.at(index)->reactor(); }
  const std::string& directory() const { return directory_.path(); }
  std::string socket_path() const { return directory_.path() + "/nbd"; }

  struct Memory {
    uint64_t size = 4 * mebibyte;
    uint32_t block_size = 512;
    size_t reactor = 0;
    bool read_only = false;
    std::string description;
    SnapshotSet* snapshots = nullptr;  // lives longer than this server
  };
  MemoryDevice& add_memory(const std::string& name, const Memory& memory);
  MemoryDevice& add_memory(const std::string& name) { return add_memory(name, Memory{}); }
  /// Exports a device of the test's, which outlives this server.
  Result<Unit> add(const std::string& name, BlockDevice& device, size_t reactor = 0, bool read_only = false);
  Result<Unit> remove(const std::string& name, bool force);
  /// Waits until it has closed.
  Result<Unit> close();
  /// Runs `look` on the reactor's thread and waits for it.
  void on_reactor(const std::function<void()>& look, size_t index = 0);
  NbdClient connect() { return NbdClient::connect_unix(socket_path()); }

 private:
  TemporaryDirectory directory_;
  std::vector<std::unique_ptr<ReactorThread>> threads_;
  std::vector<std::unique_ptr<MemoryDevice>> memories_;
  std::vector<std::unique_ptr<CheckedDevice>> checked_;
  std::unique_ptr<nbd::Server> server_;
};

}  // namespace cairn::test
