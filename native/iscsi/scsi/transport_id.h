// TransportIDs of iSCSI initiator ports (SPC-4 section 7.6.4.6).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {

/// Appends the one of a port, "NAME,i,0xISID".
void put_transport_id(ParameterData& data, const std::string& port);

struct TransportId {
  std::string text;  // a port, or the name of an initiator with all its ports
  bool is_port = false;
  size_t length = 0;  // of the TransportID, in bytes
};
/// The first one in `bytes`; nothing when it is none of iSCSI.
std::optional<TransportId> take_transport_id(std::span<const std::byte> bytes);

}  // namespace cairn::scsi
