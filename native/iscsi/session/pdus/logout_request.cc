// Logout (RFC 7143 section 11.14): answered when every command has been.
#include "iscsi/session/session.h"

namespace cairn::iscsi {
namespace {

Landing accept(Session&, const wire::Header&) { return {.wanted = true, .into = {}, .task = nullptr}; }

void act(Session& session, const wire::Header& header, const Landing&, bool) {
  session.log_out(wire::as<wire::LogoutRequest>(header));
}

wire::LogoutResponseCode judge(const wire::LogoutRequest& request, const SessionParameters& parameters) {
  using Code = wire::LogoutResponseCode;
  const auto reason = static_cast<wire::LogoutReason>(request.flags & wire::logout_reason_mask);
  if (reason == wire::LogoutReason::remove_for_recovery) return Code::recovery_unsupported;
  if (reason == wire::LogoutReason::close_connection && request.connection_id != parameters.connection_id)
    return Code::no_connection;
  return Code::success;
}

}  // namespace

const PduRow logout_request_pdu{
    .opcode = wire::logout_request, .sequenced = true, .in_discovery = true, .accept = accept, .act = act};

Detached Session::log_out(wire::LogoutRequest request) {
  const InFlightScope alive(alive_);
  const wire::LogoutResponseCode code = judge(request, parameters_);
  if (code == wire::LogoutResponseCode::success) {
    logging_out_ = true;
    while (tasks_.count() > 0 && !stopping()) co_await room_.wait();
  }
  Message* message = new_message();
  auto& pdu = message->frame.begin<wire::LogoutResponse>(wire::logout_response);
  pdu.flags = wire::final_bit;
  pdu.response = static_cast<uint8_t>(code);
  pdu.task_tag = request.task_tag;
  pdu.time_to_wait = parameters_.time_to_wait;
  pdu.time_to_retain = parameters_.time_to_retain;
  message->ends_session = code == wire::LogoutResponseCode::success;
  push(message);
}

}  // namespace cairn::iscsi
