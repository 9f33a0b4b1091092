// NBD_OPT_STARTTLS: this server runs without TLS (NOTLS mode), for which the protocol prescribes an error.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_starttls(OptionRequest& request) {
  if (!request.data.empty())
    request.reply.error(wire::reply_error_invalid, "NBD_OPT_STARTTLS takes no data");
  else
    request.reply.error(wire::reply_error_unsupported, "TLS is not available");
  return {};
}

}  // namespace cairn::nbd
