#pragma once

#include <string_view>

#include "base/status.h"
#include "nbd/request.h"

namespace cairn::nbd {

/// Writes the head of a request's reply. Its payload, where the command has one, is set already and is dropped when
/// the status is an error. `message` explains an error to people; it must stay valid for ever.
void write_reply(Request& request, bool structured_replies, Status status, std::string_view message);

}  // namespace cairn::nbd
