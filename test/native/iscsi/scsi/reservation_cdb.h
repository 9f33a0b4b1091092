// PERSISTENT RESERVE OUT and IN as an initiator writes them.
#pragma once

#include <cstdint>
#include <string>

#include "base/byte_order.h"
#include "iscsi/scsi/command.h"

namespace cairn::test {

enum class ReserveAction : uint8_t {
  enroll,
  reserve,
  release,
  clear,
  preempt,
  preempt_and_abort,
  enroll_and_ignore,
  enroll_and_move,
};
enum class ReserveReport : uint8_t { keys, reservation, capabilities, full_status };

inline constexpr uint8_t aptpl = 0x01;
inline constexpr uint8_t spec_i_pt = 0x08;

inline scsi::Cdb reserve_out(ReserveAction action, uint8_t scope_and_type = 0, uint32_t length = 24) {
  scsi::Cdb cdb{0x5f, static_cast<uint8_t>(action), scope_and_type};
  store_be32(&cdb[5], length);
  return cdb;
}
inline std::string reserve_list(uint64_t key, uint64_t action_key, uint8_t flags = 0) {
  std::string list(24, '\0');
  store_be64(&list[0], key);
  store_be64(&list[8], action_key);
  list[20] = static_cast<char>(flags);
  return list;
}
inline scsi::Cdb reserve_in(ReserveReport report, uint16_t allocation = 0xffff) {
  scsi::Cdb cdb{0x5e, static_cast<uint8_t>(report)};
  store_be16(&cdb[7], allocation);
  return cdb;
}

/// `format`: 40h of a port, 00h of all ports of a name.
inline std::string transport_id(const std::string& text, uint8_t format = 0x40) {
  std::string id{static_cast<char>(format | 0x05), 0, 0, 0};
  id += text;
  do id += '\0';
  while (id.size() % 4 != 0 || id.size() < 24);
  store_be16(&id[2], static_cast<uint16_t>(id.size() - 4));
  return id;
}
inline std::string with_ports(std::string list, const std::string& transport_ids) {
  list.resize(28);
  store_be32(&list[24], static_cast<uint32_t>(transport_ids.size()));
  return list + transport_ids;
}
/// The list of REGISTER AND MOVE.
inline std::string move_list(uint64_t key, uint64_t action_key, const std::string& transport_id, uint8_t flags = 0) {
  std::string list = reserve_list(key, action_key);
  list[17] = static_cast<char>(flags);
  list[19] = 1;
  store_be32(&list[20], static_cast<uint32_t>(transport_id.size()));
  return list + transport_id;
}

}  // namespace cairn::test
