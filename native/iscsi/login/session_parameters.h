#pragma once

#include <cstdint>
#include <string>

#include "iscsi/wire.h"

namespace cairn::iscsi {

/// What a login has agreed on (RFC 7143 section 13).
struct SessionParameters {
  enum class Type : uint8_t { normal, discovery };

  Type type = Type::normal;
  std::string initiator_name;
  std::string initiator_alias;
  std::string target_name;
  wire::Isid isid{};
  uint16_t tsih = 0;
  uint16_t connection_id = 0;

  bool header_digest = false;  // CRC32C
  bool data_digest = false;
  uint32_t send_segment_max = 8192;  // the initiator's MaxRecvDataSegmentLength
  uint32_t receive_segment_max = 8192;
  uint32_t first_burst = 65536;
  uint32_t max_burst = 262144;
  bool initial_r2t = true;
  bool immediate_data = true;
  uint16_t outstanding_r2t_max = 1;
  uint16_t time_to_wait = 2;  // seconds
  uint16_t time_to_retain = 20;
};

}  // namespace cairn::iscsi
