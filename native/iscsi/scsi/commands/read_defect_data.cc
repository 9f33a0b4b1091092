// READ DEFECT DATA (SBC-3): a volume has no defects. Some initiators, and libiscsi's tests, ask
// nevertheless.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"

namespace cairn::scsi {
namespace {

constexpr size_t length_of_10 = 4;
constexpr size_t length_of_12 = 8;
/// REQ_PLIST, REQ_GLIST and the format of the list, which the answer repeats: an empty list is right in any.
constexpr uint8_t request = 0x1f;

Judgement judge_10(LogicalUnit&, const Cdb& cdb) {
  return Needs{.data_in = std::min<size_t>(load_be16(&cdb[7]), length_of_10)};
}
Task<Outcome> run_10(LogicalUnit&, Command command) {
  const std::array<uint8_t, length_of_10> header{0, command.cdb[2]};
  std::memcpy(command.data_in.data(), header.data(), command.data_in.size());
  co_return good(command.data_in.size());
}

Judgement judge_12(LogicalUnit&, const Cdb& cdb) {
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[6]), length_of_12)};
}
Task<Outcome> run_12(LogicalUnit&, Command command) {
  const std::array<uint8_t, length_of_12> header{0, command.cdb[1]};
  std::memcpy(command.data_in.data(), header.data(), command.data_in.size());
  co_return good(command.data_in.size());
}

}  // namespace

const CommandRow read_defect_data_10{
    .opcode = 0x37,
    .usage = {0x37, 0x00, request, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff},
    .reservation = ReservationRule::reads,
    .judge = judge_10,
    .run = run_10,
};

const CommandRow read_defect_data_12{
    .opcode = 0xb7,
    .usage = {0xb7, request, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::reads,
    .judge = judge_12,
    .run = run_12,
};

}  // namespace cairn::scsi
