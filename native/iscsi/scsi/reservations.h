#pragma once

#include <string>

#include "aio/task.h"
#include "base/status.h"
#include "iscsi/scsi/command.h"

namespace cairn::scsi {

class Nexus;

/// The reservations and registrations of one logical unit (SPC-4 section 5.12).
class Reservations {
 public:
  /// Whether a command of this nexus is stopped.
  bool conflicts(const Nexus&, ReservationRule) const { return false; }
  /// What RESERVE(6) and RESERVE(10) hold is let go of: by a reset, or because the nexus is lost.
  void release_reserve() {}
};

}  // namespace cairn::scsi
