// CDBs and parameter lists as an initiator writes them.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "base/byte_order.h"
#include "iscsi/scsi/command.h"

namespace cairn::test {

/// The byte in which the number of blocks begins does not matter to the caller: it is where most commands have it.
inline scsi::Cdb cdb_10(uint8_t opcode, uint64_t first, uint32_t blocks, uint8_t flags = 0) {
  scsi::Cdb cdb{opcode, flags};
  store_be32(&cdb[2], static_cast<uint32_t>(first));
  store_be16(&cdb[7], static_cast<uint16_t>(blocks));
  return cdb;
}
inline scsi::Cdb cdb_12(uint8_t opcode, uint64_t first, uint32_t blocks, uint8_t flags = 0) {
  scsi::Cdb cdb{opcode, flags};
  store_be32(&cdb[2], static_cast<uint32_t>(first));
  store_be32(&cdb[6], blocks);
  return cdb;
}
inline scsi::Cdb cdb_16(uint8_t opcode, uint64_t first, uint32_t blocks, uint8_t flags = 0) {
  scsi::Cdb cdb{opcode, flags};
  store_be64(&cdb[2], first);
  store_be32(&cdb[10], blocks);
  return cdb;
}
/// Of the length that the opcode says.
inline scsi::Cdb cdb_of(uint8_t opcode, uint64_t first, uint32_t blocks, uint8_t flags = 0) {
  const size_t length = scsi::cdb_length(opcode);
  if (length == 6) {
    scsi::Cdb cdb;
    store_be32(&cdb[0], static_cast<uint32_t>(first & 0x1fffff));
    cdb[0] = opcode;
    cdb[4] = static_cast<uint8_t>(blocks);
    std::fill(cdb.begin() + 5, cdb.end(), uint8_t{0});
    return cdb;
  }
  if (length == 10) return cdb_10(opcode, first, blocks, flags);
  return length == 12 ? cdb_12(opcode, first, blocks, flags) : cdb_16(opcode, first, blocks, flags);
}

inline scsi::Cdb read_16(uint64_t first, uint32_t blocks, uint8_t flags = 0) {
  return cdb_16(0x88, first, blocks, flags);
}
inline scsi::Cdb write_16(uint64_t first, uint32_t blocks, uint8_t flags = 0) {
  return cdb_16(0x8a, first, blocks, flags);
}
inline scsi::Cdb compare_and_write(uint64_t first, uint8_t blocks, uint8_t flags = 0) {
  return cdb_16(0x89, first, blocks, flags);
}
inline scsi::Cdb unmap(size_t list_length) { return cdb_10(0x42, 0, static_cast<uint32_t>(list_length)); }
inline scsi::Cdb get_lba_status(uint64_t first, uint32_t allocation) { return cdb_16(0x9e, first, allocation, 0x12); }

/// The parameter list of UNMAP: an address and a number of blocks each.
inline std::string unmap_list(std::initializer_list<std::pair<uint64_t, uint32_t>> ranges) {
  std::string list(8 + 16 * ranges.size(), '\0');
  store_be16(list.data(), static_cast<uint16_t>(list.size() - 2));
  store_be16(list.data() + 2, static_cast<uint16_t>(list.size() - 8));
  size_t at = 8;
  for (const auto& [first, blocks] : ranges) {
    store_be64(list.data() + at, first);
    store_be32(list.data() + at + 8, blocks);
    at += 16;
  }
  return list;
}

}  // namespace cairn::test
