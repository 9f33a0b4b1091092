#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "frontend/presence.h"
#include "nbd/negotiated.h"
#include "nbd/tls_policy.h"

namespace cairn::nbd {

/// A connection between two places: from the listener to the handshake, to another reactor, to another process. The
/// receiver goes on where the sender stopped, and answers the option that made it move.
struct ConnectionTransfer {
  UniqueFd socket;
  Negotiated negotiated;
  /// Received and not consumed yet; starts with an option.
  std::vector<std::byte> unconsumed;
  bool newly_accepted = false;  // the client has not been greeted
  bool from_other_process = false;
  /// Since it was accepted by this process. Null: by the one that it comes from, which saw to TLS.
  std::shared_ptr<const TlsPolicy> tls;
  Presence presence;
};

/// The message that carries a connection, beside its descriptor, to another process (docs/protocols/nbd.md).
std::vector<std::byte> encode_transfer(const Negotiated& negotiated, std::span<const std::byte> unconsumed);
/// Without its descriptor. Nothing for a message that this version cannot read.
std::optional<ConnectionTransfer> decode_transfer(std::span<const std::byte> message);

}  // namespace cairn::nbd
