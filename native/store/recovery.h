#pragma once

#include <vector>

#include "base/status.h"
#include "store/replica.h"

namespace cairn::store {

/// What this replica holds beyond what its last completed syncs cover, found at opening (GATHER in replication terms).
struct Unsettled {
  uint64_t maps_through = 0;        // the maps know of the records up to here
  std::vector<RingRecord> records;  // after the death of a process: by number; all that the region stamps do not know
  bool records_lost = false;        // some that only the region stamps would have needed are damaged
  bool suspects = false;            // after a power loss: replica.activity says where any block may be old or new
};

/// `same_boot`: the page cache has all that the last owner wrote. REPLICA_CORRUPT on a ring that cannot be.
Result<Unsettled> gather_unsettled(const OpenedReplica& replica, bool same_boot);

/// Settles it with no other replica to ask (ROLL with a set of one): what is here becomes what counts from activation
/// `base` on. Maps get what the records say, touched regions the stamp of the base; all of it is durable
/// when it returns. What had to be repaired is added to replica.repairs.
Result<Unit> settle_alone(OpenedReplica& replica, const Unsettled& unsettled, Stamp base);

}  // namespace cairn::store
