// Log pages (SPC-4 section 7.3). One page, one row.
#pragma once

#include <cstdint>
#include <span>

namespace cairn::scsi {

class ParameterData;

struct LogPage {
  uint8_t code;
  uint8_t subpage = 0;
  uint16_t last_parameter = 0;  // a parameter pointer may not be beyond it
  /// Appends what follows the page's header of four bytes.
  void (*write)(ParameterData& data);
};

/// By code and subpage.
std::span<const LogPage* const> log_pages();
const LogPage* find_log_page(uint8_t code, uint8_t subpage);

extern const LogPage log_supported_pages;
extern const LogPage log_supported_subpages;
extern const LogPage log_informational_exceptions;

}  // namespace cairn::scsi
