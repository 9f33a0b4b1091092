// A session over any bytes, through a real socket: whatever a client sends in transmission, the device is only asked
// for what is within it, every reply is whole, and the session ends.
#include <sys/socket.h>

#include <memory>
#include <thread>
#include <vector>

#include "block/checked_device.h"
#include "block/memory_device.h"
#include "nbd/branch.h"
#include "nbd/server_core.h"
#include "nbd/session.h"
#include "test/fuzz/strict_device.h"

namespace {

using namespace cairn;
using namespace cairn::nbd;

constexpr uint64_t device_size = 256 * kibibyte;

struct World {
  World() : reactor(std::move(Reactor::create({.buffer_bytes = 1 * mebibyte}).value())) {
    core = std::make_shared<ServerCore>(std::vector<Reactor*>{reactor.get()}, Limits{});
    exported = std::make_shared<Export>(
        ExportOptions{.name = "disk", .description = "", .target = LocalTarget{reactor.get(), &strict}});
  }
  MemoryDevice memory{device_size, 512};
  test::StrictDevice strict{memory};
  std::unique_ptr<Reactor> reactor;
  std::shared_ptr<ServerCore> core;
  std::shared_ptr<Export> exported;
};

/// The server's bytes are whole replies, apart from the last when the connection was cut.
void check_magics(std::span<const std::byte> output) {
  if (output.size() < sizeof(uint32_t)) return;
  const uint32_t magic = load_be32(output.data());
  CAIRN_ASSERT(magic == wire::simple_reply_magic || magic == wire::structured_reply_magic ||
               magic == wire::extended_reply_magic);
}

void converse(World& world, std::span<const std::byte> input, const Negotiated& negotiated) {
  int ends[2];
  CAIRN_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd client(ends[0]);
  CAIRN_ASSERT(::send(client.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || input.empty());
  ::shutdown(client.get(), SHUT_WR);
  std::vector<std::byte> output;
  std::thread reader([&] {
    std::byte piece[65536];
    for (ssize_t length; (length = ::recv(client.get(), piece, sizeof piece, 0)) > 0;)
      if (output.size() < 4) output.insert(output.end(), piece, piece + length);
  });
  Session::start(world.core->first(), {.socket = world.reactor->adopt(UniqueFd(ends[1])),
                                       .negotiated = negotiated,
                                       .use = ExportUse(world.exported),
                                       .presence = world.core->connection_presence(),
                                       .received = {}});
  world.reactor->run([&world] { return world.exported->users().count() == 0; });
  reader.join();
  check_magics(output);
  CAIRN_ASSERT(world.reactor->buffers().free_bytes() == world.reactor->buffers().region().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* world = new World;  // its reactor belongs to this thread, which outlives static destruction
  if (size == 0) return 0;
  Negotiated negotiated{.structured_replies = (data[0] & 5) != 0, .extended_headers = (data[0] & 4) != 0};
  if ((data[0] & 2) != 0) negotiated.contexts = {"base:allocation"};
  if ((data[0] & 8) != 0) negotiated.contexts.emplace_back("cairn:changed-since:nothing");
  converse(*world, std::as_bytes(std::span(data, size)).subspan(1), negotiated);
  return 0;
}
