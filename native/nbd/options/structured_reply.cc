// NBD_OPT_STRUCTURED_REPLY: asking twice changes nothing.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_structured_reply(OptionRequest& request) {
  if (!request.data.empty()) {
    request.reply.error(wire::reply_error_invalid, "NBD_OPT_STRUCTURED_REPLY takes no data");
    return {};
  }
  request.negotiated.structured_replies = true;
  request.reply.ack();
  return {};
}

}  // namespace cairn::nbd
