// A session of the full feature phase over any bytes, through a real socket: whatever an initiator sends, the device is
// only asked for what is within it, the session ends, and it has given everything back.
//   byte 0: bits 0 and 1 digests, bit 2 InitialR2T, bit 3 no ImmediateData, bit 4 a discovery session; PDUs behind it.
#include <sys/socket.h>

#include <memory>
#include <thread>
#include <vector>

#include "block/memory_device.h"
#include "iscsi/branch.h"
#include "iscsi/server_core.h"
#include "iscsi/session/session.h"
#include "test/fuzz/strict_device.h"

namespace {

using namespace cairn;
using namespace cairn::iscsi;

constexpr uint64_t device_size = 256 * kibibyte;
constexpr const char* target_name = "iqn.2026-11.io.cairn:disk";

TimeLimits patient_limits() {
  TimeLimits times;
  times.idle = times.nop_answer = times.data = times.send = std::chrono::hours(1);
  return times;
}

struct World {
  World() : reactor(std::move(Reactor::create({.buffer_bytes = 1 * mebibyte}).value())) {
    Limits limits;
    limits.times = patient_limits();
    core = std::make_shared<ServerCore>(std::vector<Reactor*>{reactor.get()}, limits);
    LocalTarget local{.reactor = reactor.get(),
                      .device = &strict,
                      .admission = nullptr,
                      .identity = {.uuid = {1}, .target_name = target_name, .volume_name = "disk"},
                      .reservations_path = {}};
    target =
        std::make_shared<Target>(TargetOptions{.name = target_name, .alias = "", .target = local}, core->blocking());
    bool opened = false;
    run_detached(target->open(), [&opened](const Result<Unit>& result) { opened = result.ok(); });
    reactor->run([&opened] { return opened; });
  }
  MemoryDevice memory{device_size, 512};
  test::StrictDevice strict{memory};
  std::unique_ptr<Reactor> reactor;
  std::shared_ptr<ServerCore> core;
  std::shared_ptr<Target> target;
};

SessionParameters parameters_of(uint8_t choice) {
  SessionParameters parameters;
  parameters.initiator_name = "iqn.2026-11.io.example:one";
  parameters.header_digest = (choice & 1) != 0;
  parameters.data_digest = (choice & 2) != 0;
  parameters.initial_r2t = (choice & 4) != 0;
  parameters.immediate_data = (choice & 8) == 0;
  parameters.tsih = 1;
  if ((choice & 16) != 0) parameters.type = SessionParameters::Type::discovery;
  return parameters;
}

void converse(World& world, std::span<const std::byte> input, const SessionParameters& parameters) {
  int ends[2];
  CAIRN_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd initiator(ends[0]);
  CAIRN_ASSERT(::send(initiator.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || input.empty());
  ::shutdown(initiator.get(), SHUT_WR);
  std::thread reader([&initiator] {
    std::byte piece[65536];
    while (::recv(initiator.get(), piece, sizeof piece, 0) > 0) {
    }
  });
  std::optional<TargetUse> use;
  if (parameters.type == SessionParameters::Type::normal) use.emplace(world.target);
  Session::start(world.core->first(), {.socket = world.reactor->adopt(UniqueFd(ends[1])),
                                       .parameters = parameters,
                                       .use = std::move(use),
                                       .presence = world.core->connection_presence(),
                                       .received = {},
                                       .command_sn = 1,
                                       .status_sn = 1});
  world.reactor->run([&world] { return world.core->connections() == 0; });
  reader.join();
  CAIRN_ASSERT(world.target->users().count() == 0 && world.target->unit().aborted().count() == 0);
  CAIRN_ASSERT(world.reactor->buffers().free_bytes() == world.reactor->buffers().region().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* world = new World;  // its reactor belongs to this thread, which outlives static destruction
  if (size == 0) return 0;
  converse(*world, std::as_bytes(std::span(data, size)).subspan(1), parameters_of(data[0]));
  return 0;
}
