#pragma once

#include <vector>

#include "base/status.h"
#include "store/replica.h"

namespace cairn::store {

/// Writes what the ring says beyond the maps into the maps, durably. For a replica whose process died in this boot.
Result<Unit> replay_ring(const OpenedReplica& replica);

}  // namespace cairn::store
