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
      &compare_and_write_16,
      &get_lba_status_16,
      &or_write_16,
      &prefetch_10,
      &prefetch_16,
      &read_capacity_10,
      &read_capacity_16,
      &read_defect_data_10,
      &read_defect_data_12,
      &unmap_10,
      &verify_10,
      &verify_12,
      &verify_16,
      &write_and_verify_10,
      &write_and_verify_12,
      &write_and_verify_16,
      &write_same_10,
      &write_same_16,
  };
  return rows;
}

}  // namespace cairn::scsi
