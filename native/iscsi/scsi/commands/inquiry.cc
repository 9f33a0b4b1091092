// INQUIRY (SPC-4 section 6.6).
#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/parameter_data.h"
#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_evpd = 0x01;
/// The peripheral qualifier and the device type.
constexpr uint8_t direct_access = 0x00;
constexpr uint8_t no_unit = 0x7f;

constexpr uint8_t version_spc_4 = 0x06;
constexpr uint8_t hierarchical_format_2 = 0x12;  // HISUP
constexpr uint8_t implicit_alua = 0x10;          // TPGS
constexpr uint8_t third_party_copy = 0x08;       // 3PC
constexpr uint8_t command_queue = 0x02;          // CMDQUE
/// SAM-5, SPC-4, SBC-3, iSCSI, none of them of a certain draft (SPC-4 section 6.6.2).
constexpr std::array<uint16_t, 8> version_descriptors{0x00a0, 0x0460, 0x04c0, 0x0960};

/// Pages are of a unit that exists; one that does not has the standard data only.
Judgement judge(LogicalUnit&, const Cdb& cdb) {
  const bool of_page = (cdb[1] & cdb_evpd) != 0;
  if (!of_page && cdb[2] != 0) return invalid_field(2);
  if (of_page && find_vpd_page(cdb[2]) == nullptr) return invalid_field(2);
  return Needs{.data_in = std::min<size_t>(load_be16(&cdb[3]), parameter_data_max)};
}

bool knows_extended_copy() {
  bool known = false;
  find_command({0x83}, known);
  return known;
}

void write_standard(bool unit_exists, ParameterData& data) {
  data.put8(unit_exists ? direct_access : no_unit);
  data.put8(0);
  data.put8(version_spc_4);
  data.put8(hierarchical_format_2);
  const size_t length = data.size();
  data.put8(0);
  data.put8(implicit_alua | (knows_extended_copy() ? third_party_copy : 0));
  data.put8(0);
  data.put8(command_queue);
  data.put_text(vendor, vendor_width);
  data.put_text(product, product_width);
  data.put_text(revision, revision_width);
  data.put_zeros(22);
  for (const uint16_t version : version_descriptors) data.put16(version);
  data.put_zeros(22);
  data[length] = static_cast<uint8_t>(data.size() - length - 1);
}

void write_page(LogicalUnit& unit, const VpdPage& page, ParameterData& data) {
  data.put8(direct_access);
  data.put8(page.code);
  const size_t length = data.size();
  data.put16(0);
  page.write(unit, data);
  data.set_length16(length);
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  ParameterData data;
  const bool of_page = (command.cdb[1] & cdb_evpd) != 0;
  if (of_page && !command.unit_exists) co_return invalid_field(1, 0);
  if (of_page)
    write_page(unit, *find_vpd_page(command.cdb[2]), data);
  else
    write_standard(command.unit_exists, data);
  co_return data.give(command.data_in);
}

}  // namespace

const CommandRow inquiry{
    .opcode = 0x12,
    .usage = {0x12, cdb_evpd, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::exempt,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
