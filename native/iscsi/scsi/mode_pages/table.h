// Mode pages (SPC-4 section 7.5, SBC-3 section 6.4). One page, one row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "iscsi/scsi/mode_parameters.h"

namespace cairn::scsi {

class ParameterData;

/// The bits of one byte of a page that an initiator can change.
struct Changeable {
  uint8_t byte = 0;
  uint8_t bits = 0;
};

/// Pages are all of their bytes, the header included, so that offsets are those of the standards. write() gets zeros
/// behind a header.
struct ModePage {
  uint8_t code;
  uint8_t subpage = 0;
  size_t size;
  void (*write)(const ModeParameters& parameters, std::span<uint8_t> page);
  Changeable changeable = {};
  /// Takes what can be changed from a page; null when nothing can.
  void (*read)(std::span<const uint8_t> page, ModeParameters& parameters) = nullptr;
};

/// By code and subpage.
std::span<const ModePage* const> mode_pages();
const ModePage* find_mode_page(uint8_t code, uint8_t subpage);

/// PC: which values of a page are meant.
enum class PageControl : uint8_t { current, changeable, defaults, saved };
/// Appends a page with its header.
void put_mode_page(const ModePage& page, PageControl control, const ModeParameters& current, ParameterData& data);

extern const ModePage read_write_error_recovery_page;
extern const ModePage disconnect_reconnect_page;
extern const ModePage caching_page;
extern const ModePage control_page;
extern const ModePage control_extension_page;
extern const ModePage informational_exceptions_page;

}  // namespace cairn::scsi
