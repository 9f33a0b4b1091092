// NBD_OPT_ABORT: acknowledged, whatever data it carries, and the connection closed.
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_abort(OptionRequest& request) {
  request.reply.ack();
  return {OptionOutcome::Next::close, nullptr, {}};
}

}  // namespace cairn::nbd
