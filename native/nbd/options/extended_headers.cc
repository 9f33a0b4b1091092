// NBD_OPT_EXTENDED_HEADERS: 32-byte headers and 64-bit lengths. They take the place of structured replies, also of
// those that were negotiated before.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_extended_headers(OptionRequest& request) {
  if (!request.data.empty()) {
    request.reply.error(wire::reply_error_invalid, "NBD_OPT_EXTENDED_HEADERS takes no data");
    return {};
  }
  if (request.negotiated.extended_headers) {
    request.reply.error(wire::reply_error_invalid, "extended headers are negotiated already");
    return {};
  }
  request.negotiated.extended_headers = true;
  request.negotiated.structured_replies = true;
  request.reply.ack();
  return {};
}

}  // namespace cairn::nbd
