#include "iscsi/scsi/mode_pages/table.h"

#include <array>

#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t has_subpage = 0x40;  // SPF

void write_header(const ModePage& page, std::span<uint8_t> into) {
  into[0] = page.code;
  if (page.subpage == 0) {
    into[1] = static_cast<uint8_t>(page.size - 2);
    return;
  }
  into[0] |= has_subpage;
  into[1] = page.subpage;
  store_be16(&into[2], static_cast<uint16_t>(page.size - 4));
}

}  // namespace

std::span<const ModePage* const> mode_pages() {
  static constexpr std::array rows{
      &read_write_error_recovery_page, &disconnect_reconnect_page,     &caching_page, &control_page,
      &control_extension_page,         &informational_exceptions_page,
  };
  return rows;
}

const ModePage* find_mode_page(uint8_t code, uint8_t subpage) {
  for (const ModePage* page : mode_pages())
    if (page->code == code && page->subpage == subpage) return page;
  return nullptr;
}

/// PS is zero: nothing can be saved.
void put_mode_page(const ModePage& page, PageControl control, const ModeParameters& current, ParameterData& data) {
  const std::span<uint8_t> into = data.append(page.size);
  write_header(page, into);
  if (control != PageControl::changeable)
    page.write(control == PageControl::current ? current : ModeParameters{}, into);
  else if (page.read != nullptr)
    into[page.changeable.byte] = page.changeable.bits;
}

}  // namespace cairn::scsi
