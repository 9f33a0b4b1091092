// NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT.
#include "nbd/limits.h"
#include "nbd/metadata_contexts.h"
#include "nbd/options/option.h"

namespace cairn::nbd {
namespace {

using Contexts = DescriptionQuestion::Contexts;
using Next = OptionOutcome::Next;

struct MetaContextQuery {
  std::string export_name;
  std::vector<std::string> queries;
};

std::optional<MetaContextQuery> parse(std::span<const std::byte> data) {
  MessageReader rest(data);
  std::optional<std::string> name = rest.take_counted();
  const std::optional<wire::u32> count = rest.take<wire::u32>();
  if (!name || !count) return std::nullopt;
  std::optional<std::vector<std::string>> queries = rest.take_strings(*count, data.size());
  if (!queries || !rest.at_end()) return std::nullopt;
  return MetaContextQuery{std::move(*name), std::move(*queries)};
}

/// The export that is asked about, or none after the error has been written.
ExportName find_or_refuse(OptionRequest& request, const std::optional<MetaContextQuery>& query) {
  if (!request.negotiated.structured_replies) {
    request.reply.error(wire::reply_error_invalid, "metadata contexts need structured replies");
    return {};
  }
  if (!query) {
    request.reply.error(wire::reply_error_invalid, "the option's data is malformed");
    return {};
  }
  if (query->export_name.size() > name_length_max) {
    request.reply.error(wire::reply_error_too_big, "an export name has at most 4096 bytes");
    return {};
  }
  ExportName found = find_export(request, query->export_name);
  if (found.exported == nullptr || locate(request.site, *found.exported) == Whereabouts::unreachable) {
    request.reply.error(wire::reply_error_unknown, "there is no such export");
    return {};
  }
  return found;
}

}  // namespace

OptionOutcome answer_list_meta_context(OptionRequest& request) {
  const std::optional<MetaContextQuery> query = parse(request.data);
  const ExportName found = find_or_refuse(request, query);
  if (found.exported == nullptr) return {};
  if (request.answer == nullptr) return ask(Next::describe, found, Contexts::listed, query->queries);
  if (!request.answer->found()) {
    refuse(request.reply, *request.answer);
    return {};
  }
  // "The server SHOULD set the metadata context ID to zero" where nothing is selected.
  for (const std::string& name : request.answer->description.contexts) request.reply.meta_context(0, name);
  request.reply.ack();
  return {};
}

OptionOutcome answer_set_meta_context(OptionRequest& request) {
  // A selection replaces the one before, also when it fails.
  request.negotiated.contexts.clear();
  request.negotiated.meta_export.clear();
  const std::optional<MetaContextQuery> query = parse(request.data);
  const ExportName found = find_or_refuse(request, query);
  if (found.exported == nullptr) return {};
  if (request.answer == nullptr) return ask(Next::describe, found, Contexts::selected, query->queries);
  if (!request.answer->found()) {
    refuse(request.reply, *request.answer);
    return {};
  }
  const std::vector<std::string>& selected = request.answer->description.contexts;
  if (selected.size() > contexts_selected_max) {
    request.reply.error(wire::reply_error_too_big, "a connection has at most 16 metadata contexts");
    return {};
  }
  request.negotiated.meta_export = query->export_name;
  request.negotiated.contexts = selected;
  for (size_t i = 0; i < selected.size(); ++i) request.reply.meta_context(context_id(i), selected[i]);
  request.reply.ack();
  return {};
}

}  // namespace cairn::nbd
