// The initiator's side of a login, and a small world of targets for the target's.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "iscsi/login/login.h"

namespace cairn::test {

inline constexpr const char* test_initiator = "iqn.2001-04.com.example:host";
inline constexpr const char* test_target = "iqn.2026-11.io.cairn:disk";

/// "A=1" and "B=2" as they are sent.
std::string text_of(std::initializer_list<std::string_view> pairs);
/// Of received text; a key that comes twice fails the test.
std::map<std::string, std::string> pairs_of(std::string_view text);

iscsi::Credential credential(std::string_view user, std::string_view secret);

/// Targets by name: `disk`, with the access that a test sets; `moved`, `removed`, `busy`. A session with TSIH 7 exists
/// and has connection 3. New sessions get TSIH 42. Random bytes count up from 1.
struct LoginWorld {
  iscsi::LoginPolicy policy();

  iscsi::Access access;
  iscsi::Access discovery_access;
  std::string alias = "a disk";
  uint16_t next_tsih = 42;
};

struct LoginClient {
  explicit LoginClient(iscsi::LoginPolicy policy) : login(std::move(policy)) {}

  /// One request. `next`: with the T bit.
  iscsi::Login::Reply say(iscsi::wire::Stage stage, std::optional<iscsi::wire::Stage> next, std::string_view text);
  /// The same with the C bit.
  iscsi::Login::Reply begin_to_say(iscsi::wire::Stage stage, std::string_view text);
  iscsi::Login::Reply send(const iscsi::wire::LoginRequest& request, std::string_view text);

  iscsi::Login login;
  iscsi::wire::LoginRequest header = default_header();

 private:
  static iscsi::wire::LoginRequest default_header();
};

inline iscsi::wire::LoginStatus status_of(const iscsi::Login::Reply& reply) {
  return static_cast<iscsi::wire::LoginStatus>(uint16_t{reply.header.status});
}

/// InitiatorName and TargetName, with which a normal login begins.
std::string names();

}  // namespace cairn::test
