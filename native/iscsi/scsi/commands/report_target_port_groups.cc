// REPORT TARGET PORT GROUPS (SPC-4 section 6.37). There is one group, and all paths to it are as good: a volume is
// served by the one node that holds it, and moves with its name.
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

/// PARAMETER DATA FORMAT.
enum class Format : uint8_t { length_only, extended };
constexpr uint8_t active_optimized = 0x00;
constexpr uint8_t supports_active_optimized = 0x01;  // AO_SUP
constexpr uint8_t extended_header = 0x10;

uint8_t format_of(const Cdb& cdb) { return cdb[1] >> 5; }

Judgement judge(LogicalUnit&, const Cdb& cdb) {
  if (format_of(cdb) > static_cast<uint8_t>(Format::extended)) return invalid_field(1, 7);
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[6]), parameter_data_max)};
}

void put_group(ParameterData& data) {
  data.put8(active_optimized);
  data.put8(supports_active_optimized);
  data.put16(port_group);
  data.put8(0);
  data.put8(0);  // the state has never changed
  data.put8(0);
  data.put8(1);  // port
  data.put16(0);
  data.put16(relative_port);
}

Task<Outcome> run(LogicalUnit&, Command command) {
  ParameterData data;
  data.put32(0);
  if (format_of(command.cdb) == static_cast<uint8_t>(Format::extended)) {
    data.put8(extended_header);
    data.put_zeros(3);
  }
  put_group(data);
  data.set_length32(0);
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow report_target_port_groups{
    .opcode = 0xa3,
    .service_action = 0x0a,
    .usage = {0xa3, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::persistent,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
