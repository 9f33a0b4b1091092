// What a login agrees on.
#pragma once

#include <cstdint>
#include <string>

#include "iscsi/wire.h"

namespace cairn::iscsi {

/// Of a login's PDUs, and of every PDU until another length is declared (RFC 7143 section 13.12).
inline constexpr uint32_t segment_max_default = 8192;

/// What is negotiated, with the values that hold where nobody speaks of a key (section 13).
struct Negotiable {
  bool header_digest = false;  // CRC32C
  bool data_digest = false;
  uint32_t send_segment_max = segment_max_default;     // the initiator's MaxRecvDataSegmentLength
  uint32_t receive_segment_max = segment_max_default;  // ours
  uint32_t max_burst = 262144;
  uint32_t first_burst = 65536;  // at most max_burst
  bool initial_r2t = true;
  bool immediate_data = true;
  uint32_t outstanding_r2t_max = 1;
  uint32_t time_to_wait = 2;     // seconds
  uint32_t time_to_retain = 20;  // seconds
  bool data_pdu_in_order = true;
  bool data_sequence_in_order = true;
  uint32_t connections_max = 1;
  uint32_t error_recovery_level = 0;
  uint32_t protocol_level = 1;
};

struct SessionParameters : Negotiable {
  enum class Type : uint8_t { normal, discovery };
  Type type = Type::normal;
  std::string initiator_name;  // in lower case, as names are compared (section 4.2.7)
  std::string initiator_alias;
  std::string target_name;  // of a discovery session: as the initiator may have given it
  uint16_t portal_group = 1;
  wire::Isid isid{};
  uint16_t tsih = 0;  // during the login: of the session that the initiator wants to join, or 0
  uint16_t connection_id = 0;
};

}  // namespace cairn::iscsi
