// What a connection's first Login Request is about, before anything is negotiated.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "iscsi/login/session_parameters.h"
#include "iscsi/text.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

struct FirstRequest {
  /// The C bit is clear: the text is whole, and what is not named below is not named at all.
  bool whole = true;
  /// The text is none, or no text may be so long.
  bool malformed = false;
  bool discovery = false;
  std::string initiator_name;  // as the initiator has written them; empty: not named
  std::string target_name;
};

/// `text` may begin a text that is not whole yet: then the last pair, which may be cut, does not count.
FirstRequest peek(const wire::LoginRequest& request, std::span<const std::byte> text);

/// The value of the first pair with this key.
std::optional<std::string_view> find_value(std::span<const TextPair> pairs, std::string_view key);

}  // namespace cairn::iscsi
