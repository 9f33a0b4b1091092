#pragma once

#include <cstdint>
#include <string>

namespace cairn::nbd {

/// What client and server have agreed on so far. It travels with a connection to the reactor or process of its volume.
struct Negotiated {
  bool fixed_newstyle = false;
  bool no_zeroes = false;
  bool structured_replies = false;
  bool base_allocation = false;
  /// The export name that the metadata contexts were selected for; they hold for no other.
  std::string meta_export;
  /// What the empty name stands for; empty while the connection is where it was accepted.
  std::string default_export;
  uint32_t options_seen = 0;

  friend bool operator==(const Negotiated&, const Negotiated&) = default;
};

}  // namespace cairn::nbd
