// Between processes: a sequenced-packet unix socket, one connection of it per message. Either a client's connection
// with its descriptor in the message (SCM_RIGHTS), or a question about an export and its answer.
#pragma once

#include <span>
#include <string>
#include <variant>

#include "aio/reactor.h"
#include "base/status.h"
#include "nbd/connection_transfer.h"
#include "nbd/description.h"

namespace cairn::nbd {

/// Without blocking: EAGAIN when the other process has a full queue, ECONNREFUSED or ENOENT when it is not there.
Status connect_handover(const std::string& path, UniqueFd& connection);
/// Connects and sends, as connect_handover().
Status send_transfer(const std::string& path, int client, std::span<const std::byte> message);
/// Sends without blocking.
Status send_message(int connection, std::span<const std::byte> message);

using HandoverMessage = std::variant<ConnectionTransfer, DescriptionQuestion>;
/// Takes the one message out of a connection that is readable. EPERM when the sender is of another user, EPROTO for a
/// message that cannot be read, or a connection without a descriptor.
Result<HandoverMessage> receive_handover_message(int connection);

}  // namespace cairn::nbd
