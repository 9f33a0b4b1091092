// CDBs of the commands that describe a unit, and what they give back.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/byte_order.h"
#include "iscsi/scsi/command.h"

namespace cairn::test {

inline scsi::Cdb inquiry(uint16_t allocation = 0xffff) {
  scsi::Cdb cdb{0x12};
  store_be16(&cdb[3], allocation);
  return cdb;
}
inline scsi::Cdb inquiry_page(uint8_t page, uint16_t allocation = 0xffff) {
  scsi::Cdb cdb{0x12, 0x01, page};
  store_be16(&cdb[3], allocation);
  return cdb;
}
inline scsi::Cdb report_luns(uint8_t select = 0, uint32_t allocation = 0xffff) {
  scsi::Cdb cdb{0xa0, 0, select};
  store_be32(&cdb[6], allocation);
  return cdb;
}
inline scsi::Cdb request_sense(bool descriptors = false, uint8_t allocation = 252) {
  return {0x03, static_cast<uint8_t>(descriptors ? 1 : 0), 0, 0, allocation};
}
/// `page` holds the page control in its upper two bits.
inline scsi::Cdb mode_sense_6(uint8_t page, uint8_t subpage = 0, uint8_t flags = 0, uint8_t allocation = 255) {
  return {0x1a, flags, page, subpage, allocation};
}
inline scsi::Cdb mode_sense_10(uint8_t page, uint8_t subpage = 0, uint8_t flags = 0, uint16_t allocation = 0xffff) {
  scsi::Cdb cdb{0x5a, flags, page, subpage};
  store_be16(&cdb[7], allocation);
  return cdb;
}
inline scsi::Cdb mode_select_6(size_t length, uint8_t flags = 0x10) {
  return {0x15, flags, 0, 0, static_cast<uint8_t>(length)};
}
inline scsi::Cdb mode_select_10(size_t length, uint8_t flags = 0x10) {
  scsi::Cdb cdb{0x55, flags};
  store_be16(&cdb[7], static_cast<uint16_t>(length));
  return cdb;
}

/// MAINTENANCE IN.
inline scsi::Cdb operation_codes(uint8_t options, uint8_t opcode = 0, uint16_t action = 0,
                                 uint32_t allocation = 65535) {
  scsi::Cdb cdb{0xa3, 0x0c, options, opcode};
  store_be16(&cdb[4], action);
  store_be32(&cdb[6], allocation);
  return cdb;
}
inline scsi::Cdb task_functions(uint8_t options, uint32_t allocation = 65535) {
  scsi::Cdb cdb{0xa3, 0x0d, options};
  store_be32(&cdb[6], allocation);
  return cdb;
}
inline scsi::Cdb target_port_groups(uint8_t format, uint32_t allocation = 65535) {
  scsi::Cdb cdb{0xa3, static_cast<uint8_t>(format << 5 | 0x0a)};
  store_be32(&cdb[6], allocation);
  return cdb;
}
inline scsi::Cdb log_sense(uint8_t page, uint8_t subpage = 0, uint16_t pointer = 0, uint16_t allocation = 0xffff) {
  scsi::Cdb cdb{0x4d, 0, page, subpage};
  store_be16(&cdb[5], pointer);
  store_be16(&cdb[7], allocation);
  return cdb;
}

inline uint8_t byte_at(const std::string& data, size_t at) { return static_cast<uint8_t>(data.at(at)); }
inline std::string hex_of(const std::string& data) {
  std::string text;
  for (const char byte : data) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x ", static_cast<uint8_t>(byte));
    text += digits;
  }
  return text;
}

}  // namespace cairn::test
