// REQUEST SENSE (SPC-4 section 6.39): sense data as parameter data. They come with the command that they are of, so
// that here it is a unit attention that waits, or nothing.
#include <algorithm>
#include <array>
#include <cstring>

#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_descriptor_format = 0x01;  // DESC

Judgement judge(LogicalUnit&, const Cdb& cdb) { return Needs{.data_in = std::min<size_t>(cdb[4], sense_length_max)}; }

Sense sense_of(const Command& command) {
  if (!command.unit_exists) return illegal_request(SenseCode::logical_unit_not_supported).sense;
  if (!command.nexus.attentive()) return {};
  return check_condition(SenseKey::unit_attention, sense_code(command.nexus.take_attention())).sense;
}

Task<Outcome> run(LogicalUnit&, Command command) {
  std::array<std::byte, sense_length_max> bytes;
  const bool descriptors = (command.cdb[1] & cdb_descriptor_format) != 0;
  const size_t length =
      write_sense(sense_of(command), descriptors ? SenseFormat::descriptor : SenseFormat::fixed, bytes);
  const size_t given = std::min(length, command.data_in.size());
  if (given > 0) std::memcpy(command.data_in.data(), bytes.data(), given);
  co_return good(given);
}

}  // namespace

const CommandRow request_sense{
    .opcode = 0x03,
    .usage = {0x03, cdb_descriptor_format, 0x00, 0x00, 0xff},
    .reservation = ReservationRule::exempt,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
