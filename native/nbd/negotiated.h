#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::nbd {

/// What client and server have agreed on so far. It travels with a connection to the reactor or process of its volume.
struct Negotiated {
  bool fixed_newstyle = false;
  bool no_zeroes = false;
  bool structured_replies = false;
  bool extended_headers = false;  // includes structured replies
  bool tls = false;               // what is said since is said inside TLS
  /// Selected metadata contexts by name; the first has the id 1, the next 2 and so on.
  std::vector<std::string> contexts;
  /// The export name that the metadata contexts were selected for; they hold for no other.
  std::string meta_export;
  /// What the empty name stands for; empty while the connection is where it was accepted.
  std::string default_export;
  uint32_t options_seen = 0;

  /// Before an export is entered by this name: contexts that were selected for another do not hold.
  void enter(const std::string& name) {
    if (meta_export != name) contexts.clear();
  }

  /// Somebody on the way could have changed what was said before in the clear.
  void start_tls() {
    structured_replies = extended_headers = false;
    contexts.clear();
    meta_export.clear();
    tls = true;
  }

  friend bool operator==(const Negotiated&, const Negotiated&) = default;
};

}  // namespace cairn::nbd
