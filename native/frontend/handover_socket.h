// Between processes of one host: a sequenced-packet unix socket, one connection of it per message, which may carry a
// descriptor (SCM_RIGHTS).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "aio/reactor.h"
#include "aio/task.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace cairn {

/// Fits a socket's default buffer.
inline constexpr size_t handover_message_max = 64 * 1024;

/// Without blocking: EAGAIN when the other process has a full queue, ECONNREFUSED or ENOENT when it is not there.
Status connect_handover(const std::string& path, UniqueFd& connection);
/// Connects, and sends a descriptor with a message; as connect_handover().
Status send_descriptor(const std::string& path, int descriptor, std::span<const std::byte> message);
/// As send_descriptor(), and tries again while the other process has a full queue; whether it has the message.
Task<bool> hand_over(Reactor& reactor, const std::string& path, int descriptor, std::span<const std::byte> message);
/// Sends without blocking.
Status send_message(int connection, std::span<const std::byte> message);

struct HandoverPacket {
  std::vector<std::byte> message;
  UniqueFd descriptor;  // where one came with it
};
/// Takes the one message out of a connection that is readable. EPERM when the sender is of another user, EPROTO for a
/// message that cannot be read.
Result<HandoverPacket> receive_packet(int connection);

}  // namespace cairn
