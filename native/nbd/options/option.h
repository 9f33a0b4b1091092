// One option, one handler, one table: how the handshake answers what a client asks for.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "frontend/message_bytes.h"
#include "nbd/description.h"
#include "nbd/export.h"
#include "nbd/negotiated.h"
#include "nbd/option_reply.h"
#include "nbd/wire.h"

namespace cairn::nbd {

/// Where a handshake takes place, and with what it answers.
struct HandshakeSite {
  const ExportTable& exports;
  /// Its volumes are entered here; a connection for another's moves.
  const Reactor* reactor = nullptr;
  /// False when the connection comes from another process already: it does not go on to a third.
  bool may_leave_process = true;
  /// The server is closing: options are answered NBD_REP_ERR_SHUTDOWN.
  bool closing = false;
  bool tls_available = false;
  /// Before TLS, everything but NBD_OPT_STARTTLS and NBD_OPT_ABORT is answered NBD_REP_ERR_TLS_REQD.
  bool tls_required = false;
};

/// What an option leads to.
struct OptionOutcome {
  enum class Next : uint8_t {
    haggle,     // more options
    close,      // after what has been written is sent
    describe,   // the option is answered when `chosen` has been asked `question`; nothing has been written
    enter,      // as describe, and from now on the export is held for this connection
    start_tls,  // after what has been written is sent; nothing the client sent before counts
    transmit,   // to the transmission phase with `chosen`, which is entered and whose answer has been written
    transfer,   // the option is answered where `chosen` is served; nothing has been written
  };
  Next next = Next::haggle;
  std::shared_ptr<Export> chosen;
  DescriptionQuestion question;
};

struct OptionRequest {
  const HandshakeSite& site;
  Negotiated& negotiated;
  OptionReply& reply;
  std::span<const std::byte> data;
  /// To the question that this option asked before; null when it has not asked.
  const DescriptionAnswer* answer = nullptr;
};

using OptionHandler = OptionOutcome (*)(OptionRequest& request);

OptionOutcome answer_export_name(OptionRequest& request);
OptionOutcome answer_abort(OptionRequest& request);
OptionOutcome answer_list(OptionRequest& request);
OptionOutcome answer_starttls(OptionRequest& request);
OptionOutcome answer_info(OptionRequest& request);
OptionOutcome answer_go(OptionRequest& request);
OptionOutcome answer_structured_reply(OptionRequest& request);
OptionOutcome answer_list_meta_context(OptionRequest& request);
OptionOutcome answer_set_meta_context(OptionRequest& request);
OptionOutcome answer_extended_headers(OptionRequest& request);

/// Null for an option that this server does not know.
OptionHandler find_option_handler(uint32_t option);

/// What a client means by a name; `exported` is null when the site has no such export. The empty name is the default
/// export's. Whether the snapshot exists is not known here.
ExportName find_export(const OptionRequest& request, const std::string& name);

enum class Whereabouts : uint8_t { here, elsewhere, unreachable };
/// Whether the export is served at the site, where the connection can go, or neither.
Whereabouts locate(const HandshakeSite& site, const Export& exported);

/// The outcome that asks about an export.
OptionOutcome ask(OptionOutcome::Next next, const ExportName& name, DescriptionQuestion::Contexts contexts = {},
                  std::vector<std::string> queries = {});
/// Writes the error that an answer without a description stands for.
void refuse(OptionReply& reply, const DescriptionAnswer& answer);

}  // namespace cairn::nbd
