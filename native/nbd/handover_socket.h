// What comes over a hand-over socket: a client's connection, or a question about an export.
#pragma once

#include <variant>

#include "base/status.h"
#include "frontend/handover_socket.h"
#include "nbd/connection_transfer.h"
#include "nbd/description.h"

namespace cairn::nbd {

using HandoverMessage = std::variant<ConnectionTransfer, DescriptionQuestion>;
/// As receive_packet(); EPROTO also for a connection without a descriptor.
Result<HandoverMessage> receive_handover_message(int connection);

}  // namespace cairn::nbd
