// The boundary of TLS: whatever a client sends instead of a handshake, nothing of it gets to the side that believes it
// is inside TLS, and the pump ends.
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include "nbd/branch.h"
#include "nbd/server_core.h"
#include "nbd/tls_pump.h"

namespace {

using namespace cairn;
using namespace cairn::nbd;

std::shared_ptr<const TlsPolicy> make_policy() {
  char path[] = "/tmp/cairn-fuzz-XXXXXX";
  const UniqueFd file(::mkstemp(path));
  std::ofstream(path) << "user:" << std::string(64, 'a') << "\n";
  auto policy = make_tls_policy({.mode = TlsSettings::Mode::require, .psk_file = path});
  ::unlink(path);
  CAIRN_ASSERT(policy.ok());
  return policy.value();
}

struct World {
  World() : reactor(std::move(Reactor::create({.buffer_bytes = 64 * kibibyte}).value())) {
    core = std::make_shared<ServerCore>(std::vector<Reactor*>{reactor.get()}, Limits{});
    policy = make_policy();
  }
  std::unique_ptr<Reactor> reactor;
  std::shared_ptr<ServerCore> core;
  std::shared_ptr<const TlsPolicy> policy;
};

void converse(World& world, std::span<const std::byte> input) {
  int network[2];
  int plain[2];
  CAIRN_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, network) == 0);
  CAIRN_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain) == 0);
  const UniqueFd client(network[0]);
  const UniqueFd inside(plain[0]);
  CAIRN_ASSERT(::send(client.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || input.empty());
  ::shutdown(client.get(), SHUT_WR);
  TlsPump::start(world.core->first(),
                 {UniqueFd(network[1]), UniqueFd(plain[1]), world.policy, world.core->connection_presence()});
  world.reactor->run([&world] { return world.core->connections() == 0; });
  std::byte byte;
  CAIRN_ASSERT(::recv(inside.get(), &byte, 1, MSG_DONTWAIT) <= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* world = new World;  // its reactor belongs to this thread, which outlives static destruction
  converse(*world, std::as_bytes(std::span(data, size)));
  return 0;
}
