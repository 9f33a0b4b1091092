#include "iscsi/scsi/vpd/table.h"

#include <array>

namespace cairn::scsi {

std::span<const VpdPage* const> vpd_pages() {
  static constexpr std::array rows{
      &vpd_supported_pages,
      &vpd_unit_serial_number,
      &vpd_device_identification,
      &vpd_extended_inquiry_data,
      &vpd_mode_page_policy,
      &vpd_scsi_ports,
      &vpd_third_party_copy,
      &vpd_block_limits,
      &vpd_block_device_characteristics,
      &vpd_logical_block_provisioning,
  };
  return rows;
}

const VpdPage* find_vpd_page(uint8_t code) {
  for (const VpdPage* page : vpd_pages())
    if (page->code == code) return page;
  return nullptr;
}

}  // namespace cairn::scsi
