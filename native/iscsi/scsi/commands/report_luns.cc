// REPORT LUNS (SPC-4 section 6.33). A target has one logical unit, of number 0.
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

/// SELECT REPORT.
enum class Select : uint8_t { addressed = 0x00, well_known = 0x01, all = 0x02 };
constexpr uint64_t lun_0 = 0;

Judgement judge(LogicalUnit&, const Cdb& cdb) {
  if (cdb[2] > static_cast<uint8_t>(Select::all)) return invalid_field(2);
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[6]), parameter_data_max)};
}

Task<Outcome> run(LogicalUnit&, Command command) {
  ParameterData data;
  data.put32(0);
  data.put32(0);
  if (command.cdb[2] != static_cast<uint8_t>(Select::well_known)) data.put64(lun_0);
  store_be32(&data[0], static_cast<uint32_t>(data.size() - 8));
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow report_luns{
    .opcode = 0xa0,
    .usage = {0xa0, 0x00, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::exempt,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
