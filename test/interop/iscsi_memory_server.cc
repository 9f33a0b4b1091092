// Serves a device in memory over iSCSI until it is interrupted: something for real initiators to talk to.
//   iscsi_memory_server [--size BYTES] [--block-size 512|4096] [--read-only] [--host ADDRESS] [--port PORT] [--reactors
//   N]
//                       [--initiator NAME]... [--chap-user USER --chap-secret SECRET]
//                       [--mutual-user USER --mutual-secret SECRET] [--reservations PATH]
// Prints "listening on ADDRESS" when initiators can connect. The target is iqn.2026-11.io.cairn:memory.
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "block/checked_device.h"
#include "block/memory_device.h"
#include "iscsi/server.h"

namespace {

using namespace cairn;

constexpr const char* target_name = "iqn.2026-11.io.cairn:memory";

struct Arguments {
  uint64_t size = 64 * mebibyte;
  uint32_t block_size = 512;
  bool read_only = false;
  std::string host = "127.0.0.1";
  uint16_t port = 0;
  size_t reactors = 1;
  std::vector<std::string> initiators;
  std::string chap_user, chap_secret, mutual_user, mutual_secret;
  std::string reservations_path;
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
    if (name == "--host") arguments.host = value;
    if (name == "--port") arguments.port = static_cast<uint16_t>(std::strtoul(value, nullptr, 0));
    if (name == "--reactors") arguments.reactors = std::strtoul(value, nullptr, 0);
    if (name == "--initiator") arguments.initiators.emplace_back(value);
    if (name == "--chap-user") arguments.chap_user = value;
    if (name == "--chap-secret") arguments.chap_secret = value;
    if (name == "--mutual-user") arguments.mutual_user = value;
    if (name == "--mutual-secret") arguments.mutual_secret = value;
    if (name == "--reservations") arguments.reservations_path = value;
    ++i;
  }
  return arguments;
}

template <typename T>
T value_or_exit(Result<T> result) {
  if (result.ok()) return std::move(result.value());
  std::fprintf(stderr, "iscsi_memory_server: %s\n", result.error().message.c_str());
  std::exit(1);
}

iscsi::Credential credential(const std::string& user, const std::string& secret) {
  auto memory = std::make_shared<SecureMemory>(value_or_exit(SecureMemory::create(secret.size())));
  std::memcpy(memory->span().data(), secret.data(), secret.size());
  return {user, std::move(memory)};
}

iscsi::Access access_of(const Arguments& arguments) {
  iscsi::Access access{.initiators = arguments.initiators, .chap = {}, .mutual = {}};
  if (!arguments.chap_user.empty()) access.chap.push_back(credential(arguments.chap_user, arguments.chap_secret));
  if (!arguments.mutual_user.empty()) access.mutual = credential(arguments.mutual_user, arguments.mutual_secret);
  return access;
}

void add_target(iscsi::Server& server, const Arguments& arguments, Reactor* reactor, BlockDevice& device) {
  iscsi::LocalTarget local{
      .reactor = reactor,
      .device = &device,
      .admission = nullptr,
      .identity = {.uuid = {0xca, 0x12, 0x34}, .target_name = target_name, .volume_name = "memory"},
      .reservations_path = arguments.reservations_path};
  std::promise<Result<Unit>> added;
  server.add_target({.name = target_name,
                     .alias = "a device in memory",
                     .read_only = arguments.read_only,
                     .access = access_of(arguments),
                     .target = std::move(local)},
                    [&added](Result<Unit> result) { added.set_value(std::move(result)); });
  value_or_exit(added.get_future().get());
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
  iscsi::Server server(reactors);
  add_target(server, arguments, reactors.back(), device);
  const TcpAddress address = value_or_exit(server.listen_tcp(arguments.host, arguments.port));
  std::printf("listening on %s:%u\n", address.host.c_str(), address.port);
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  std::promise<void> closed;
  server.close([&closed](Result<Unit>) { closed.set_value(); });
  closed.get_future().wait();
  return 0;
}
