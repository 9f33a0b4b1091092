#include "iscsi/scsi/command.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "iscsi/scsi/commands/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t service_action_mask = 0x1f;

/// The rows by opcode: the first of each, and how many there are.
struct Index {
  struct Rows {
    const CommandRow* const* first = nullptr;
    size_t count = 0;
  };
  std::vector<const CommandRow*> sorted;
  std::array<Rows, 256> by_opcode{};

  Index() {
    const auto table = command_table();
    sorted.assign(table.begin(), table.end());
    std::ranges::stable_sort(sorted, {},
                             [](const CommandRow* row) { return row->opcode << 8 | (row->service_action & 0xff); });
    for (const CommandRow* const& row : sorted) {
      Rows& rows = by_opcode[row->opcode];
      if (rows.count++ == 0) rows.first = &row;
    }
  }
};

const Index& command_index() {
  static const Index index;
  return index;
}

}  // namespace

size_t cdb_length(uint8_t opcode) {
  switch (opcode >> 5) {
    case 0:
      return 6;
    case 1:
    case 2:
      return 10;
    case 5:
      return 12;
    default:
      return 16;
  }
}

const CommandRow* find_command(const Cdb& cdb, bool& opcode_known) {
  const Index::Rows& rows = command_index().by_opcode[cdb[0]];
  opcode_known = rows.count > 0;
  for (const CommandRow* row : std::span(rows.first, rows.count))
    if (row->service_action == no_service_action || row->service_action == (cdb[1] & service_action_mask)) return row;
  return nullptr;
}

std::span<const CommandRow* const> all_commands() { return command_index().sorted; }

std::optional<Outcome> check_reserved(const CommandRow& row, const Cdb& cdb) {
  const size_t length = cdb_length(row.opcode);
  for (size_t i = 1; i < length; ++i) {
    const auto reserved = static_cast<uint8_t>(cdb[i] & ~row.usage[i]);
    if (reserved != 0) [[unlikely]]
      return invalid_field(static_cast<uint16_t>(i), static_cast<int8_t>(std::bit_width(reserved) - 1));
  }
  return {};
}

Judgement needs_nothing(LogicalUnit&, const Cdb&) { return Needs{}; }

}  // namespace cairn::scsi
