// Either a file of reservations, its checksum made to match: it is refused, or says what can be written again and read
// as the same. Or PERSISTENT RESERVE OUT commands of two nexuses with any lists: whatever they are, the state stays one
// that can be kept, one that is refused changes nothing, and nobody holds a reservation without a registration.
//
// The first byte says which (0: a file). A command: the nexus (bit 7) and service action, scope and type, the length of
// its list in two bytes, the list.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "base/byte_order.h"
#include "base/crc32c.h"
#include "block/memory_device.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"

namespace {

using namespace cairn;
using namespace cairn::scsi;

constexpr size_t commands_max = 64;

struct NoTasks final : Nexus::Tasks {
  void abort_all() override {}
};

bool are_same(const ReservationState& one, const ReservationState& other) {
  return one.registrations == other.registrations && one.reservation == other.reservation;
}

void check_file(std::string text) {
  char checksum[32];
  std::snprintf(checksum, sizeof checksum, "crc32c %08x\n", crc32c(text.data(), text.size()));
  const std::optional<ReservationState> state = decode_reservations(text + checksum);
  if (!state) return;
  CAIRN_ASSERT(state->registrations.size() <= registrations_max);
  const std::optional<ReservationState> again = decode_reservations(encode_reservations(*state));
  CAIRN_ASSERT(again && are_same(*state, *again));
}

void check_state(const ReservationState& state) {
  CAIRN_ASSERT(state.registrations.size() <= registrations_max);
  for (const Registration& each : state.registrations) {
    CAIRN_ASSERT(each.key != 0);
    CAIRN_ASSERT(state.find(each.port) == &each);
  }
  if (state.reservation) {
    const bool all = is_all_registrants(state.reservation->type);
    CAIRN_ASSERT(!state.registrations.empty() && all == state.reservation->holder.empty());
    CAIRN_ASSERT(all || state.find(state.reservation->holder) != nullptr);
  }
  const std::optional<ReservationState> kept = decode_reservations(encode_reservations(state));
  CAIRN_ASSERT(kept && are_same(state, *kept));
}

struct World {
  World(Reactor& reactor, BlockingThread& blocking)
      : unit({.reactor = reactor,
              .device = memory,
              .blocking = blocking,
              .identity = {.uuid = {1}, .target_name = "iqn.2026-11.io.cairn:disk", .volume_name = "disk"},
              .reservations_path = {}}) {
    for (Nexus& nexus : nexuses)
      while (nexus.attentive()) nexus.take_attention();
  }
  MemoryDevice memory{4096, 512};
  LogicalUnit unit;
  NoTasks tasks;
  Nexus nexuses[2] = {{unit, "iqn.2026-11.io.example:first,i,0x400001370000", tasks},
                      {unit, "iqn.2026-11.io.example:second,i,0x400001370000", tasks}};
};

void execute(World& world, Nexus& nexus, const Cdb& cdb, std::span<const std::byte> list) {
  while (nexus.attentive()) nexus.take_attention();
  const Demand demand = world.unit.judge(nexus, 0, cdb);
  if (demand.refusal) return;
  const std::vector<std::byte> data(
      list.begin(), list.begin() + static_cast<ptrdiff_t>(std::min(list.size(), demand.needs.data_out)));
  const ReservationState before = world.unit.reservations().state();
  std::optional<Outcome> outcome;
  run_detached(
      world.unit.run(*demand.row, {.cdb = cdb, .nexus = nexus, .data_out = data, .data_in = {}, .scratch = {}}),
      [&outcome](Outcome ended) { outcome = ended; });
  world.unit.reactor().run([&outcome] { return outcome.has_value(); });
  const ReservationState& after = world.unit.reservations().state();
  if (!outcome->good()) CAIRN_ASSERT(are_same(before, after) && before.generation == after.generation);
  check_state(after);
}

void check_commands(const uint8_t* data, size_t size) {
  // They belong to this thread, which outlives static destruction.
  static auto* reactor = Reactor::create({.buffer_bytes = 64 * kibibyte}).value().release();
  static auto* blocking = new BlockingThread;
  World world(*reactor, *blocking);
  constexpr size_t head = 4;
  for (size_t commands = 0; size >= head && commands < commands_max; ++commands) {
    const size_t length = std::min<size_t>(load_be16(data + 2), size - head);
    Cdb cdb{0x5f, static_cast<uint8_t>(data[0] & 0x1f), data[1]};
    store_be32(&cdb[5], static_cast<uint32_t>(length));
    execute(world, world.nexuses[data[0] >> 7], cdb, std::as_bytes(std::span(data + head, length)));
    data += head + length;
    size -= head + length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] == 0)
    check_file(std::string(reinterpret_cast<const char*>(data + 1), size - 1));
  else
    check_commands(data + 1, size - 1);
  return 0;
}
