// The login phase of one connection (RFC 7143 section 6.3): requests in, responses out, no I/O.
//
//   Login login(policy);
//   for (each Login Request, whole: `request` and its data segment `data`) {
//     Login::Reply reply = login.handle(request, data);
//     reply.header.status_sn = ...;  expected_command_sn, maximum_command_sn
//     send reply.header, then reply.text padded
//     if (reply.outcome == Login::Outcome::full_feature) begin the session with login.parameters();
//     if (reply.outcome == Login::Outcome::failed) close once it is sent;
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "iscsi/login/authentication.h"
#include "iscsi/login/first_request.h"
#include "iscsi/login/negotiation.h"
#include "iscsi/login/policy.h"
#include "iscsi/text.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

/// Of one login: none needs so many, and one that never ends is ended.
inline constexpr unsigned login_requests_max = 64;

class Login {
 public:
  enum class Outcome : uint8_t { go_on, full_feature, failed };
  struct Reply {
    /// All but StatSN, ExpCmdSN and MaxCmdSN.
    wire::LoginResponse header;
    std::string text;
    Outcome outcome = Outcome::go_on;
  };

  explicit Login(LoginPolicy policy);

  /// One whole Login Request. After full_feature or failed there is none any more: it is answered "invalid during
  /// login".
  Reply handle(const wire::LoginRequest& request, std::span<const std::byte> data);
  /// Final when the outcome is full_feature.
  const SessionParameters& parameters() const { return parameters_; }

  /// What a request is answered with whose text goes on in the next one. For who collects a first text himself.
  static Reply ask_for_more(const wire::LoginRequest& request);
  /// The response of a login that fails, for any reason.
  static Reply fail(const wire::LoginRequest& request, wire::LoginStatus status);

 private:
  using Status = wire::LoginStatus;

  Reply take(const wire::LoginRequest& request, std::span<const std::byte> data);
  Status check(const wire::LoginRequest& request);
  bool are_stages_right(const wire::LoginRequest& request) const;
  Status take_text();
  Status begin(std::span<const TextPair> pairs);
  Status begin_normal(std::string_view target_name);
  Status begin_with(const Access& access);
  Status negotiate(std::span<const TextPair> pairs);
  Reply respond(const wire::LoginRequest& request);
  Status enter_session();
  Status join_session() const;

  LoginPolicy policy_;
  SessionParameters parameters_;
  Negotiation negotiation_;
  std::optional<Authentication> authentication_;  // once it is known who is to be reached
  std::string moved_to_;
  wire::Stage stage_ = wire::Stage::security;
  unsigned requests_ = 0;
  bool begun_ = false;
  bool declared_ = false;  // our MaxRecvDataSegmentLength, which belongs to the operational stage
  bool over_ = false;
  TextCollector received_;
  TextSender answers_;
};

}  // namespace cairn::iscsi
