#include "iscsi/scsi/commands/table.h"

#include <array>

namespace cairn::scsi {

std::span<const CommandRow* const> command_table() {
  static constexpr std::array rows{
      &test_unit_ready,
      &read_6,
      &read_10,
      &read_12,
      &read_16,
      &write_6,
      &write_10,
      &write_12,
      &write_16,
      &synchronize_cache_10,
      &synchronize_cache_16,
      &read_capacity_10,
      &read_capacity_16,
  };
  return rows;
}

}  // namespace cairn::scsi
