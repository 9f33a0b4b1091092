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
extern const CommandRow read_capacity_10, read_capacity_16;

}  // namespace cairn::scsi
