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
extern const CommandRow extended_copy;
extern const CommandRow get_lba_status_16;
extern const CommandRow inquiry;
extern const CommandRow log_sense;
extern const CommandRow mode_select_6, mode_select_10;
extern const CommandRow mode_sense_6, mode_sense_10;
extern const CommandRow or_write_16;
extern const CommandRow persistent_reserve_in_capabilities, persistent_reserve_in_keys;
extern const CommandRow persistent_reserve_in_reservation, persistent_reserve_in_status;
extern const CommandRow persistent_reserve_out_clear, persistent_reserve_out_preempt;
extern const CommandRow persistent_reserve_out_preempt_abort, persistent_reserve_out_register;
extern const CommandRow persistent_reserve_out_register_ignore, persistent_reserve_out_register_move;
extern const CommandRow persistent_reserve_out_release, persistent_reserve_out_reserve;
extern const CommandRow prefetch_10, prefetch_16;
extern const CommandRow prevent_allow_medium_removal;
extern const CommandRow read_capacity_10, read_capacity_16;
extern const CommandRow read_defect_data_10, read_defect_data_12;
extern const CommandRow receive_copy_data, receive_copy_failed_segment_details;
extern const CommandRow receive_copy_operating_parameters, receive_copy_status;
extern const CommandRow receive_diagnostic_results;
extern const CommandRow release_6, release_10;
extern const CommandRow report_luns;
extern const CommandRow report_supported_operation_codes;
extern const CommandRow report_supported_task_functions;
extern const CommandRow report_target_port_groups;
extern const CommandRow request_sense;
extern const CommandRow reserve_6, reserve_10;
extern const CommandRow send_diagnostic;
extern const CommandRow start_stop_unit;
extern const CommandRow unmap_10;
extern const CommandRow verify_10, verify_12, verify_16;
extern const CommandRow write_and_verify_10, write_and_verify_12, write_and_verify_16;
extern const CommandRow write_same_10, write_same_16;

}  // namespace cairn::scsi
