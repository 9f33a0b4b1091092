#include "nbd/metadata_contexts.h"

#include <algorithm>

#include "nbd/limits.h"

namespace cairn::nbd {
namespace {

/// "base:", "cairn:" and "cairn:changed-since:" stand for all that begins with them.
bool is_wildcard(std::string_view query) {
  return query == "base:" || query == "cairn:" || query == changed_since_prefix;
}

bool matches(std::string_view query, std::string_view name) {
  return is_wildcard(query) ? name.starts_with(query) : name == query;
}

std::optional<StatusQuery> find_context(std::string_view name, const std::vector<SnapshotName>& ancestors) {
  if (name == base_allocation_name) return StatusQuery{};
  if (!name.starts_with(changed_since_prefix) || name.size() > context_name_max) return std::nullopt;
  const std::string_view snapshot = name.substr(changed_since_prefix.size());
  const auto found = std::ranges::find(ancestors, snapshot, &SnapshotName::name);
  if (found == ancestors.end()) return std::nullopt;
  return StatusQuery{found->reference};
}

}  // namespace

std::vector<std::string> contexts_listed(const std::vector<std::string>& queries,
                                         const std::vector<SnapshotName>& ancestors) {
  std::vector<std::string> listed;
  size_t bytes = 0;
  const auto offer = [&](std::string name) {
    const bool wanted =
        queries.empty() || std::ranges::any_of(queries, [&](const std::string& query) { return matches(query, name); });
    bytes += wanted ? sizeof(uint32_t) + name.size() : 0;
    if (wanted && name.size() <= context_name_max && bytes <= contexts_listed_bytes_max)
      listed.push_back(std::move(name));
  };
  offer(std::string(base_allocation_name));
  for (const SnapshotName& snapshot : ancestors) offer(std::string(changed_since_prefix) + snapshot.name);
  return listed;
}

std::vector<std::string> contexts_selected(const std::vector<std::string>& queries,
                                           const std::vector<SnapshotName>& ancestors) {
  std::vector<std::string> selected;
  for (const std::string& query : queries) {
    const bool again = std::ranges::find(selected, query) != selected.end();
    if (again || !find_context(query, ancestors).has_value()) continue;
    selected.push_back(query);
    if (selected.size() > contexts_selected_max) break;  // more than may be: refused
  }
  return selected;
}

std::vector<SelectedContext> resolve_contexts(const std::vector<std::string>& names,
                                              const std::vector<SnapshotName>& ancestors) {
  std::vector<SelectedContext> resolved;
  for (size_t i = 0; i < names.size(); ++i) resolved.push_back({context_id(i), find_context(names[i], ancestors)});
  return resolved;
}

}  // namespace cairn::nbd
