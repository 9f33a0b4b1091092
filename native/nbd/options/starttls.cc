// NBD_OPT_STARTTLS: what follows the acknowledgement is TLS, and what was agreed on before in the clear is forgotten.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_starttls(OptionRequest& request) {
  if (!request.data.empty()) {
    request.reply.error(wire::reply_error_invalid, "NBD_OPT_STARTTLS takes no data");
  } else if (request.negotiated.tls) {
    request.reply.error(wire::reply_error_invalid, "TLS has been started already");
  } else if (!request.site.tls_available) {
    request.reply.error(wire::reply_error_policy, "the server is set to run without TLS");
  } else {
    request.negotiated.start_tls();
    request.reply.ack();
    return {OptionOutcome::Next::start_tls, nullptr, {}};
  }
  return {};
}

}  // namespace cairn::nbd
