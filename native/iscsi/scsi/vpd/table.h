// Vital product data pages (SPC-4 section 7.8). One page, one row.
#pragma once

#include <cstdint>
#include <span>

#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {

class LogicalUnit;

struct VpdPage {
  uint8_t code;
  /// Appends what follows the page's header of four bytes.
  void (*write)(LogicalUnit& unit, ParameterData& data);
};

/// By code.
std::span<const VpdPage* const> vpd_pages();
const VpdPage* find_vpd_page(uint8_t code);

extern const VpdPage vpd_supported_pages;
extern const VpdPage vpd_unit_serial_number;
extern const VpdPage vpd_device_identification;
extern const VpdPage vpd_extended_inquiry_data;
extern const VpdPage vpd_mode_page_policy;
extern const VpdPage vpd_scsi_ports;
extern const VpdPage vpd_third_party_copy;
extern const VpdPage vpd_block_limits;
extern const VpdPage vpd_block_device_characteristics;
extern const VpdPage vpd_logical_block_provisioning;

}  // namespace cairn::scsi
