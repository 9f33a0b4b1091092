// LOG SENSE (SPC-4 section 6.8).
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/log_pages/table.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t code_mask = 0x3f;
constexpr uint8_t has_subpage = 0x40;  // SPF

const LogPage* page_of(const Cdb& cdb) { return find_log_page(cdb[2] & code_mask, cdb[3]); }

/// Whichever values are asked for (PC), there is one of each. SP, to save them, is outside the usage data.
Judgement judge(LogicalUnit&, const Cdb& cdb) {
  const LogPage* page = page_of(cdb);
  if (page == nullptr && find_log_page(cdb[2] & code_mask, 0) != nullptr) return invalid_field(3);
  if (page == nullptr) return invalid_field(2, 5);
  if (load_be16(&cdb[5]) > page->last_parameter) return invalid_field(5);
  return Needs{.data_in = std::min<size_t>(load_be16(&cdb[7]), parameter_data_max)};
}

Task<Outcome> run(LogicalUnit&, Command command) {
  const LogPage& page = *page_of(command.cdb);
  ParameterData data;
  data.put8(page.code | (page.subpage != 0 ? has_subpage : 0));
  data.put8(page.subpage);
  data.put16(0);
  page.write(data);
  data.set_length16(2);
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow log_sense{
    .opcode = 0x4d,
    .usage = {0x4d, 0x00, 0xff, 0xff, 0x00, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::persistent,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
