// Text Requests of the full feature phase (RFC 7143 sections 6.4, 11.10, 11.11 and appendix C): keys that may change
// there, and SendTargets. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "iscsi/login/negotiation.h"
#include "iscsi/login/session_parameters.h"
#include "iscsi/text.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

/// Of one Text Response, even where the initiator takes more.
inline constexpr size_t text_part_max = 64 * 1024;

/// A target that an initiator may see, and where.
struct ListedTarget {
  std::string name;
  std::vector<std::string> addresses;  // HOST:PORT,GROUP; IPv6 in brackets
};
/// The targets whose access admits() the initiator in the parameters.
using ListTargets = std::function<std::vector<ListedTarget>(const SessionParameters& asking)>;

class TextNegotiation {
 public:
  struct Reply {
    /// Set: the request is to be answered by a Reject PDU, and nothing below counts.
    std::optional<wire::RejectReason> reject;
    /// All but StatSN, ExpCmdSN and MaxCmdSN.
    wire::TextResponse header;
    std::string text;
  };

  /// `parameters` are the session's, and outlive this; they change when an exchange is over.
  TextNegotiation(SessionParameters& parameters, const Negotiable& offer, ListTargets list_targets);

  /// One whole Text Request.
  Reply handle(const wire::TextRequest& request, std::span<const std::byte> data);
  /// Forgets an exchange that is not over: what it has settled never was.
  void reset();

 private:
  bool enter(const wire::TextRequest& request);
  bool answer(std::string_view text);
  std::string send_targets(std::string_view which) const;
  Reply respond(const wire::TextRequest& request);
  Reply reject();

  SessionParameters& parameters_;
  SessionParameters settled_;  // of the exchange
  Negotiation negotiation_;
  ListTargets list_targets_;
  TextCollector received_;
  TextSender answers_;
  /// Of the exchange that goes on; nothing: there is none.
  std::optional<uint32_t> task_tag_;
  uint32_t transfer_tag_ = 0;
};

}  // namespace cairn::iscsi
