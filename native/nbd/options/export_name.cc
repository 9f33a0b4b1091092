// NBD_OPT_EXPORT_NAME: the old way into the transmission phase. It has no error reply: what cannot be granted ends the
// connection.
#include "nbd/limits.h"
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_export_name(OptionRequest& request) {
  using Next = OptionOutcome::Next;
  if (request.data.size() > name_length_max) return {Next::close, nullptr};
  const std::string name(reinterpret_cast<const char*>(request.data.data()), request.data.size());
  std::shared_ptr<Export> chosen = find_export(request, name);
  if (chosen == nullptr) return {Next::close, nullptr};
  const Whereabouts where = locate(request.site, *chosen);
  if (where == Whereabouts::elsewhere) return {Next::transfer, chosen};
  if (where == Whereabouts::unreachable || chosen->removed()) return {Next::close, nullptr};
  if (chosen->connections() >= connections_per_export_max) return {Next::close, nullptr};

  if (request.negotiated.meta_export != name) request.negotiated.base_allocation = false;
  wire::ExportNameReply reply;
  reply.size = chosen->geometry().size;
  reply.flags = chosen->transmission_flags(request.negotiated.structured_replies);
  request.reply.raw(wire::bytes_of(reply));
  if (!request.negotiated.no_zeroes) request.reply.zeroes(wire::export_name_zeroes);
  return {Next::transmit, chosen};
}

}  // namespace cairn::nbd
