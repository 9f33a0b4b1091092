// NBD_OPT_STRUCTURED_REPLY: asking twice changes nothing; after extended headers, which include them, it is too late.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_structured_reply(OptionRequest& request) {
  if (!request.data.empty()) {
    request.reply.error(wire::reply_error_invalid, "NBD_OPT_STRUCTURED_REPLY takes no data");
    return {};
  }
  if (request.negotiated.extended_headers) {
    request.reply.error(wire::reply_error_extended_headers_required, "extended headers are negotiated already");
    return {};
  }
  request.negotiated.structured_replies = true;
  request.reply.ack();
  return {};
}

}  // namespace cairn::nbd
