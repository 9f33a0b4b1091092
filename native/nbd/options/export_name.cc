// NBD_OPT_EXPORT_NAME: the old way into the transmission phase. It has no error reply: what cannot be granted ends the
// connection.
#include "nbd/limits.h"
#include "nbd/options/option.h"

namespace cairn::nbd {

OptionOutcome answer_export_name(OptionRequest& request) {
  using Next = OptionOutcome::Next;
  // "A client that has negotiated extended headers MUST use NBD_OPT_GO."
  if (request.data.size() > name_length_max || request.negotiated.extended_headers) return {Next::close, nullptr, {}};
  const std::string name(reinterpret_cast<const char*>(request.data.data()), request.data.size());
  const ExportName chosen = find_export(request, name);
  if (chosen.exported == nullptr) return {Next::close, nullptr, {}};
  const Whereabouts where = locate(request.site, *chosen.exported);
  if (where == Whereabouts::elsewhere) return {Next::transfer, chosen.exported, {}};
  if (where == Whereabouts::unreachable) return {Next::close, nullptr, {}};
  if (request.answer == nullptr) return ask(Next::enter, chosen);
  if (!request.answer->found()) return {Next::close, nullptr, {}};

  request.negotiated.enter(name);
  wire::ExportNameReply reply;
  reply.size = request.answer->description.geometry.size;
  reply.flags = transmission_flags(request.answer->description, request.negotiated);
  request.reply.raw(wire::bytes_of(reply));
  if (!request.negotiated.no_zeroes) request.reply.zeroes(wire::export_name_zeroes);
  return {Next::transmit, chosen.exported, {}};
}

}  // namespace cairn::nbd
