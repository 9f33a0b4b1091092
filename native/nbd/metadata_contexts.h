#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "block/block_device.h"
#include "block/snapshot_set.h"

namespace cairn::nbd {

// The metadata contexts of an export, by name: `base:allocation`, and `cairn:changed-since:SNAPSHOT` for every snapshot
// that its content descends from, whose flag 0 means that the blocks may differ from that snapshot's.

inline constexpr std::string_view base_allocation_name = "base:allocation";
inline constexpr std::string_view changed_since_prefix = "cairn:changed-since:";

/// One context that a connection has selected; block status replies name it by its id.
struct SelectedContext {
  uint32_t id = 0;
  /// Nothing: what it was about is gone since it was selected.
  std::optional<StatusQuery> query;
};
/// The one at `index` of a selection.
inline uint32_t context_id(size_t index) { return static_cast<uint32_t>(index + 1); }

/// Those that NBD_OPT_LIST_META_CONTEXT tells of: an exact name, or a namespace with nothing behind its last colon, or
/// everything for no query. As many as fit an answer, base:allocation first, then the oldest snapshot.
std::vector<std::string> contexts_listed(const std::vector<std::string>& queries,
                                         const std::vector<SnapshotName>& ancestors);
/// Those that NBD_OPT_SET_META_CONTEXT selects: exact names only, each once, in the order of the queries.
std::vector<std::string> contexts_selected(const std::vector<std::string>& queries,
                                           const std::vector<SnapshotName>& ancestors);
/// What block status is asked with for each of them.
std::vector<SelectedContext> resolve_contexts(const std::vector<std::string>& names,
                                              const std::vector<SnapshotName>& ancestors);

}  // namespace cairn::nbd
