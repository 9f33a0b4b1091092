#pragma once

#include <span>
#include <string_view>

#include "base/status.h"
#include "nbd/commands/command.h"
#include "nbd/request.h"

namespace cairn::nbd {

/// Writes a request's reply, unless it has been laid out in chunks. Its payload, where the command has one, is set
/// already; payload and chunks are dropped when the status is an error. `message` explains an error to people; it must
/// stay valid for ever.
void write_reply(Request& request, const RequestRules& rules, Status status, std::string_view message);

/// Lays a reply of several chunks out, of a connection that has structured replies or extended headers.
class ChunkWriter {
 public:
  ChunkWriter(Request& request, const RequestRules& rules);
  /// `start` is copied; `rest` stays where it is until the reply has been sent. The last chunk ends the reply.
  void add(wire::ReplyType type, std::span<const std::byte> start, std::span<const std::byte> rest, bool last);

 private:
  Request& request_;
  const RequestRules& rules_;
};

}  // namespace cairn::nbd
