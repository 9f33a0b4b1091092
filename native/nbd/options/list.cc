// NBD_OPT_LIST: every export's name and description.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_list(OptionRequest& request) {
  if (!request.data.empty()) {
    request.reply.error(wire::reply_error_invalid, "NBD_OPT_LIST takes no data");
    return {};
  }
  for (const auto& exported : request.site.exports.list())
    request.reply.server(exported->name(), exported->description());
  request.reply.ack();
  return {};
}

}  // namespace cairn::nbd
