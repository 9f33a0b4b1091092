// Any commands with any data, one after the other, on a small unit: whatever they are, the device is only asked for
// what is within it, memory and answers keep within what was said of them, a refusal says why, and one that does so
// because of the request has changed nothing.
//
// A command of the input: what is done with it (bit 0: of the second nexus; bit 1: for a LUN that is none; bit 2: the
// unit attentions of its nexus have been told), the CDB, the length of its data in two bytes, the data.
#include <cstring>
#include <memory>
#include <vector>

#include "base/byte_order.h"
#include "block/memory_device.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "test/fuzz/strict_device.h"

namespace {

using namespace cairn;
using namespace cairn::scsi;

constexpr uint64_t device_size = 32 * kibibyte;
constexpr size_t commands_max = 64;
constexpr uint8_t extended_copy = 0x83;  // may have copied before it finds that a descriptor is wrong

struct NoTasks final : Nexus::Tasks {
  void abort_all() override {}
};

struct World {
  explicit World(Reactor& reactor, BlockingThread& blocking)
      : unit({.reactor = reactor,
              .device = strict,
              .blocking = blocking,
              .identity = {.uuid = {1}, .target_name = "iqn.2026-11.io.cairn:disk", .volume_name = "disk"},
              .reservations_path = {}}) {}
  MemoryDevice memory{device_size, 512};
  test::StrictDevice strict{memory};
  LogicalUnit unit;
  NoTasks tasks;
  Nexus nexuses[2] = {{unit, "iqn.2026-11.io.example:first,i,0x400001370000", tasks},
                      {unit, "iqn.2026-11.io.example:second,i,0x400001370000", tasks}};
};

struct Input {
  Nexus& nexus;
  uint64_t lun;
  Cdb cdb;
  std::span<const std::byte> data;
};

void check_sense(const Input& input, const Sense& sense, bool judged_only) {
  CAIRN_ASSERT(sense.key != SenseKey::none);
  if (sense.field && sense.field->in_cdb) CAIRN_ASSERT(sense.field->byte < cdb_length(input.cdb[0]));
  if (sense.field && !sense.field->in_cdb) CAIRN_ASSERT(!judged_only);
  if (sense.field) CAIRN_ASSERT(sense.field->bit < 8);
  std::byte bytes[sense_length_max];
  for (const SenseFormat format : {SenseFormat::fixed, SenseFormat::descriptor}) {
    const size_t length = write_sense(sense, format, bytes);
    CAIRN_ASSERT(length >= 8 && length <= sense_length_max);
    CAIRN_ASSERT(std::to_integer<size_t>(bytes[7]) == length - 8);
  }
}

void check_outcome(const Input& input, const Outcome& outcome, bool judged_only) {
  if (outcome.status == StatusCode::check_condition) check_sense(input, outcome.sense, judged_only);
  if (outcome.status != StatusCode::good) CAIRN_ASSERT(outcome.data_in_length == 0);
}

void check_needs(LogicalUnit& unit, const Needs& needs) {
  CAIRN_ASSERT(needs.data_out <= std::max<size_t>(unit.transfer_max(), parameter_data_max));
  CAIRN_ASSERT(needs.data_in <= std::max<size_t>(unit.transfer_max(), parameter_data_max));
  CAIRN_ASSERT(needs.scratch <= unit.transfer_max());
}

Outcome run(World& world, const Demand& demand, const Input& input) {
  std::vector<std::byte> data_in(demand.needs.data_in);
  std::vector<std::byte> scratch(demand.needs.scratch);
  // In memory of its own, so that a read beyond its end is found.
  const std::vector<std::byte> data(
      input.data.begin(),
      input.data.begin() + static_cast<ptrdiff_t>(std::min(input.data.size(), demand.needs.data_out)));
  std::optional<Outcome> outcome;
  run_detached(world.unit.run(*demand.row, {.cdb = input.cdb,
                                            .nexus = input.nexus,
                                            .unit_exists = demand.unit_exists,
                                            .data_out = data,
                                            .data_in = data_in,
                                            .scratch = scratch}),
               [&outcome](Outcome ended) { outcome = ended; });
  world.unit.reactor().run([&outcome] { return outcome.has_value(); });
  CAIRN_ASSERT(outcome->data_in_length <= data_in.size());
  return *outcome;
}

void execute(World& world, const Input& input) {
  const Demand demand = world.unit.judge(input.nexus, input.lun, input.cdb);
  if (demand.refusal) {
    CAIRN_ASSERT(!demand.refusal->good());
    return check_outcome(input, *demand.refusal, true);
  }
  check_needs(world.unit, demand.needs);
  const std::vector<std::byte> before(world.memory.content().begin(), world.memory.content().end());
  const Outcome outcome = run(world, demand, input);
  check_outcome(input, outcome, false);
  if (outcome.status != StatusCode::good && outcome.sense.key == SenseKey::illegal_request &&
      input.cdb[0] != extended_copy)
    CAIRN_ASSERT(std::memcmp(before.data(), world.memory.content().data(), before.size()) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // They belong to this thread, which outlives static destruction.
  static auto* reactor = Reactor::create({.buffer_bytes = 64 * kibibyte}).value().release();
  static auto* blocking = new BlockingThread;
  World world(*reactor, *blocking);
  constexpr size_t head = 1 + sizeof(Cdb) + 2;
  for (size_t commands = 0; size >= head && commands < commands_max; ++commands) {
    Nexus& nexus = world.nexuses[data[0] & 1];
    Input input{.nexus = nexus, .lun = (data[0] & 2) != 0 ? uint64_t{1} << 48 : 0, .cdb = {}, .data = {}};
    while ((data[0] & 4) != 0 && nexus.attentive()) nexus.take_attention();
    std::copy_n(data + 1, input.cdb.size(), input.cdb.begin());
    const size_t length = std::min<size_t>(load_be16(data + 1 + sizeof(Cdb)), size - head);
    input.data = std::as_bytes(std::span(data + head, length));
    data += head + length;
    size -= head + length;
    execute(world, input);
  }
  return 0;
}
