// Serves a device in memory over NBD until it is interrupted: something for real clients to talk to.
//   nbd_memory_server [--size BYTES] [--block-size 512|4096] [--read-only] [--unix PATH | --port PORT] [--reactors N]
// Prints "listening on ADDRESS" when clients can connect. The export is called "memory".
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "block/checked_device.h"
#include "block/memory_device.h"
#include "nbd/server.h"

namespace {

using namespace cairn;

struct Arguments {
  uint64_t size = 64 * mebibyte;
  uint32_t block_size = 512;
  bool read_only = false;
  std::string unix_path;
  uint16_t port = 0;
  size_t reactors = 1;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--read-only") {
      arguments.read_only = true;
      continue;
    }
    if (name == "--size") arguments.size = std::strtoull(value, nullptr, 0);
    if (name == "--block-size") arguments.block_size = static_cast<uint32_t>(std::strtoul(value, nullptr, 0));
    if (name == "--unix") arguments.unix_path = value;
    if (name == "--port") arguments.port = static_cast<uint16_t>(std::strtoul(value, nullptr, 0));
    if (name == "--reactors") arguments.reactors = std::strtoul(value, nullptr, 0);
    ++i;
  }
  return arguments;
}

template <typename T>
T value_or_exit(Result<T> result) {
  if (result.ok()) return std::move(result.value());
  std::fprintf(stderr, "nbd_memory_server: %s\n", result.error().message.c_str());
  std::exit(1);
}

void listen(nbd::Server& server, const Arguments& arguments) {
  if (!arguments.unix_path.empty()) {
    value_or_exit(server.listen_unix(arguments.unix_path));
    std::printf("listening on %s\n", arguments.unix_path.c_str());
  } else {
    const TcpAddress address = value_or_exit(server.listen_tcp("127.0.0.1", arguments.port));
    std::printf("listening on %s:%u\n", address.host.c_str(), address.port);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::vector<std::unique_ptr<ReactorThread>> threads;
  std::vector<Reactor*> reactors;
  for (size_t i = 0; i < arguments.reactors; ++i) {
    threads.push_back(value_or_exit(ReactorThread::start({})));
    reactors.push_back(&threads.back()->reactor());
  }
  MemoryDevice memory(arguments.size, arguments.block_size);
  CheckedDevice device(memory);
  nbd::Server server(reactors);
  value_or_exit(server.add_export({.name = "memory",
                                   .description = "a device in memory",
                                   .read_only = arguments.read_only,
                                   .target = nbd::LocalTarget{reactors.back(), &device}}));
  listen(server, arguments);

  int signal = 0;
  sigwait(&signals, &signal);
  std::promise<void> closed;
  server.close([&closed](Result<Unit>) { closed.set_value(); });
  closed.get_future().wait();
  return 0;
}
