#include "nbd/options/option.h"

#include <algorithm>

namespace cairn::nbd {
namespace {

struct Row {
  wire::Option option;
  OptionHandler answer;
};

constexpr Row table[] = {
    {wire::option_export_name, answer_export_name},
    {wire::option_abort, answer_abort},
    {wire::option_list, answer_list},
    {wire::option_starttls, answer_starttls},
    {wire::option_info, answer_info},
    {wire::option_go, answer_go},
    {wire::option_structured_reply, answer_structured_reply},
    {wire::option_list_meta_context, answer_list_meta_context},
    {wire::option_set_meta_context, answer_set_meta_context},
    {wire::option_extended_headers, answer_extended_headers},
};

}  // namespace

OptionHandler find_option_handler(uint32_t option) {
  const auto* row = std::ranges::find(table, option, &Row::option);
  return row == std::end(table) ? nullptr : row->answer;
}

ExportName find_export(const OptionRequest& request, const std::string& name) {
  return request.site.exports.resolve(name, request.negotiated.default_export);
}

Whereabouts locate(const HandshakeSite& site, const Export& exported) {
  if (exported.reactor() == site.reactor) return Whereabouts::here;
  const bool leaves_process = exported.reactor() == nullptr;
  return leaves_process && !site.may_leave_process ? Whereabouts::unreachable : Whereabouts::elsewhere;
}

OptionOutcome ask(OptionOutcome::Next next, const ExportName& name, DescriptionQuestion::Contexts contexts,
                  std::vector<std::string> queries) {
  return {next, name.exported, {name.exported->name(), name.snapshot, contexts, std::move(queries)}};
}

void refuse(OptionReply& reply, const DescriptionAnswer& answer) {
  switch (answer.outcome) {
    case DescriptionAnswer::Outcome::full:
      return reply.error(wire::reply_error_policy, "the export has as many connections as it may have");
    case DescriptionAnswer::Outcome::unreachable:
      return reply.error(wire::reply_error_unknown, "the process that serves this export cannot be reached");
    default:
      return reply.error(wire::reply_error_unknown, "there is no such export or snapshot");
  }
}

}  // namespace cairn::nbd
