#include "iscsi/scsi/log_pages/table.h"

#include <array>

namespace cairn::scsi {

std::span<const LogPage* const> log_pages() {
  static constexpr std::array rows{
      &log_supported_pages,
      &log_supported_subpages,
      &log_informational_exceptions,
  };
  return rows;
}

const LogPage* find_log_page(uint8_t code, uint8_t subpage) {
  for (const LogPage* page : log_pages())
    if (page->code == code && page->subpage == subpage) return page;
  return nullptr;
}

}  // namespace cairn::scsi
