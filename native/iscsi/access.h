// Who may log in, and how it is proven.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secure_memory.h"

namespace cairn::iscsi {

/// A name and a secret of CHAP.
struct Credential {
  std::string user;
  std::shared_ptr<const SecureMemory> secret;  // chap_secret_min to chap_secret_max bytes
};

/// Of a target, or of discovery sessions.
struct Access {
  /// iSCSI names of the initiators that may log in, compared without regard to case; empty: every one may.
  std::vector<std::string> initiators;
  /// An initiator proves one of them by CHAP; empty: it need not prove anything.
  std::vector<Credential> chap;
  /// What is proven to an initiator that asks for it (mutual CHAP).
  std::optional<Credential> mutual;
};

}  // namespace cairn::iscsi
