// One connection's way between processes: a sequenced-packet unix socket, one connection of it per transfer, one
// message with the client's descriptor in it (SCM_RIGHTS).
#pragma once

#include <span>
#include <string>

#include "aio/reactor.h"
#include "base/status.h"
#include "nbd/connection_transfer.h"

namespace cairn::nbd {

/// Sends without blocking: EAGAIN when the other process has a full queue, ECONNREFUSED or ENOENT when it is not there.
Status send_transfer(const std::string& path, int client, std::span<const std::byte> message);

/// Takes the one message out of a connection that is readable. EPERM when the sender is of another user, EPROTO for a
/// message without a descriptor or that cannot be read.
Result<ConnectionTransfer> receive_transfer(int connection);

}  // namespace cairn::nbd
