#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "frontend/presence.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

/// A connection between two places: from the listener to the reactor, or the process, that holds the target which its
/// first login request names. The receiver takes the login up with that request.
struct ConnectionTransfer {
  UniqueFd socket;
  /// The last PDU of the first login request (there are several when its text is long), with the text of all of them
  /// behind it in place of its own.
  wire::LoginRequest request{};
  std::vector<std::byte> text;
  /// Received behind it and not consumed yet.
  std::vector<std::byte> unconsumed;
  uint32_t status_sn = 0;  // of the next answer
  bool from_other_process = false;
  Presence presence;
};

/// The message that carries a connection, beside its descriptor, to another process (docs/protocols/iscsi.md).
std::vector<std::byte> encode_transfer(const ConnectionTransfer& transfer);
/// Without its descriptor. Nothing for a message that this version cannot read.
std::optional<ConnectionTransfer> decode_transfer(std::span<const std::byte> message);

}  // namespace cairn::iscsi
