// MODE SENSE (SPC-4 sections 6.13 and 6.14).
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/mode_pages/table.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_no_descriptors = 0x08;  // DBD
constexpr uint8_t cdb_long_addresses = 0x10;  // LLBAA
constexpr uint8_t all_pages = 0x3f;
constexpr uint8_t all_subpages = 0xff;
constexpr uint8_t write_protected_bit = 0x80;  // WP of the header
constexpr uint8_t dpo_and_fua = 0x10;

bool of_6(const Cdb& cdb) { return cdb_length(cdb[0]) == 6; }
PageControl control_of(const Cdb& cdb) { return static_cast<PageControl>(cdb[2] >> 6); }
size_t room_of(const Cdb& cdb) { return of_6(cdb) ? cdb[4] : load_be16(&cdb[7]); }

/// Subpage 0 is the page itself, FFh all that has the code.
bool wanted(const Cdb& cdb, const ModePage& page) {
  const uint8_t code = cdb[2] & 0x3f;
  if (code != all_pages && code != page.code) return false;
  return cdb[3] == all_subpages || cdb[3] == page.subpage;
}

Judgement judge(LogicalUnit&, const Cdb& cdb) {
  if (control_of(cdb) == PageControl::saved) return illegal_request(SenseCode::saving_not_supported);
  if (std::ranges::none_of(mode_pages(), [&](const ModePage* page) { return wanted(cdb, *page); })) {
    const bool page_known = std::ranges::any_of(mode_pages(), [&](const ModePage* page) {
      return (cdb[2] & 0x3f) == all_pages || page->code == (cdb[2] & 0x3f);
    });
    return page_known ? invalid_field(3) : invalid_field(2, 5);
  }
  return Needs{.data_in = std::min(room_of(cdb), parameter_data_max)};
}

/// Blocks, and their length (SBC-3 section 6.4.2).
void put_block_descriptor(LogicalUnit& unit, bool long_addresses, ParameterData& data) {
  const uint64_t blocks = unit.block_count();
  if (long_addresses) {
    data.put64(blocks);
    data.put32(0);
  } else {
    data.put32(static_cast<uint32_t>(std::min<uint64_t>(blocks, UINT32_MAX)));
  }
  data.put32(unit.block_size());
}

/// The length of the mode data is the last that is known.
void put_header(LogicalUnit& unit, const Cdb& cdb, ParameterData& data) {
  const bool protects = unit.geometry().read_only || unit.mode().software_write_protect;
  const bool long_addresses = !of_6(cdb) && (cdb[1] & cdb_long_addresses) != 0;
  const bool describes = (cdb[1] & cdb_no_descriptors) == 0;
  const uint8_t described = !describes ? 0 : long_addresses ? 16 : 8;
  data.put_zeros(of_6(cdb) ? 2 : 3);
  data.put8((protects ? write_protected_bit : 0) | dpo_and_fua);
  if (of_6(cdb)) {
    data.put8(described);
  } else {
    data.put8(describes && long_addresses ? 1 : 0);
    data.put8(0);
    data.put16(described);
  }
  if (describes) put_block_descriptor(unit, long_addresses, data);
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  const Cdb& cdb = command.cdb;
  ParameterData data;
  put_header(unit, cdb, data);
  for (const ModePage* page : mode_pages())
    if (wanted(cdb, *page)) put_mode_page(*page, control_of(cdb), unit.mode(), data);
  if (of_6(cdb))
    data[0] = static_cast<uint8_t>(data.size() - 1);
  else
    data.set_length16(0);
  co_return data.give(command.data_in);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::reads, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow mode_sense_6 = row(0x1a, {0x1a, cdb_no_descriptors, 0xff, 0xff, 0xff});
constexpr CommandRow mode_sense_10 =
    row(0x5a, {0x5a, cdb_no_descriptors | cdb_long_addresses, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff});

}  // namespace cairn::scsi
