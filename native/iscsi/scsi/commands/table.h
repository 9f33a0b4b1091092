// Every command of a logical unit.
#pragma once

#include <span>

#include "iscsi/scsi/command.h"

namespace cairn::scsi {

std::span<const CommandRow* const> command_table();

extern const CommandRow test_unit_ready;
extern const CommandRow read_6, read_10, read_12, read_16;
extern const CommandRow write_6, write_10, write_12, write_16;
extern const CommandRow synchronize_cache_10, synchronize_cache_16;
extern const CommandRow compare_and_write_16;
extern const CommandRow get_lba_status_16;
extern const CommandRow or_write_16;
extern const CommandRow prefetch_10, prefetch_16;
extern const CommandRow read_capacity_10, read_capacity_16;
extern const CommandRow read_defect_data_10, read_defect_data_12;
extern const CommandRow unmap_10;
extern const CommandRow verify_10, verify_12, verify_16;
extern const CommandRow write_and_verify_10, write_and_verify_12, write_and_verify_16;
extern const CommandRow write_same_10, write_same_16;

}  // namespace cairn::scsi
