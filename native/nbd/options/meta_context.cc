// NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. There is one context, base:allocation.
#include "nbd/options/meta_context.h"
#include "nbd/limits.h"
#include "nbd/options/option.h"

namespace cairn::nbd {
namespace {

constexpr std::string_view base_allocation_name = "base:allocation";
constexpr std::string_view base_wildcard = "base:";

struct MetaContextQuery {
  std::string export_name;
  uint32_t query_count = 0;
  bool base_allocation = false;  // one of them is its name
  bool base_namespace = false;   // one of them is the wildcard of its namespace
};

std::optional<MetaContextQuery> parse(std::span<const std::byte> data) {
  OptionData rest(data);
  MetaContextQuery parsed;
  std::optional<std::string> name = rest.take_string();
  const std::optional<uint32_t> count = rest.take_u32();
  if (!name || !count) return std::nullopt;
  parsed.export_name = std::move(*name);
  parsed.query_count = *count;
  for (uint32_t i = 0; i < *count; ++i) {
    const std::optional<std::string> query = rest.take_string();
    if (!query) return std::nullopt;
    parsed.base_allocation |= *query == base_allocation_name;
    parsed.base_namespace |= *query == base_wildcard;
  }
  if (!rest.at_end()) return std::nullopt;
  return parsed;
}

/// The query, or nothing after the error has been written.
std::optional<MetaContextQuery> parse_or_refuse(OptionRequest& request) {
  if (!request.negotiated.structured_replies) {
    request.reply.error(wire::reply_error_invalid, "metadata contexts need structured replies");
    return std::nullopt;
  }
  std::optional<MetaContextQuery> query = parse(request.data);
  if (!query) {
    request.reply.error(wire::reply_error_invalid, "the option's data is malformed");
  } else if (query->export_name.size() > name_length_max) {
    request.reply.error(wire::reply_error_too_big, "an export name has at most 4096 bytes");
    query.reset();
  } else if (find_export(request, query->export_name) == nullptr) {
    request.reply.error(wire::reply_error_unknown, "there is no such export");
    query.reset();
  }
  return query;
}

}  // namespace

OptionOutcome answer_list_meta_context(OptionRequest& request) {
  const std::optional<MetaContextQuery> query = parse_or_refuse(request);
  if (!query) return {};
  if (query->query_count == 0 || query->base_allocation || query->base_namespace)
    request.reply.meta_context(0, base_allocation_name);
  request.reply.ack();
  return {};
}

OptionOutcome answer_set_meta_context(OptionRequest& request) {
  // A selection replaces the one before, also when it fails.
  request.negotiated.base_allocation = false;
  request.negotiated.meta_export.clear();
  const std::optional<MetaContextQuery> query = parse_or_refuse(request);
  if (!query) return {};
  request.negotiated.meta_export = query->export_name;
  request.negotiated.base_allocation = query->base_allocation;
  if (query->base_allocation) request.reply.meta_context(base_allocation_id, base_allocation_name);
  request.reply.ack();
  return {};
}

}  // namespace cairn::nbd
