// What a login goes by: who may log in, to what, and what the target agrees to. The answers come from whoever knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "iscsi/access.h"
#include "iscsi/limits.h"
#include "iscsi/login/session_parameters.h"

namespace cairn::iscsi {

/// The target of a normal session, served here.
struct LoginTarget {
  std::string name;  // as it is told
  std::string alias;
  Access access;
  uint16_t portal_group = 1;
};
struct TargetMissing {};
/// It was here, and will not come back.
struct TargetRemoved {};
/// It is here, but cannot be served now.
struct TargetUnavailable {};
struct TargetMoved {
  std::string address;  // HOST[:PORT], IPv6 in brackets
};
using FoundTarget = std::variant<TargetMissing, TargetRemoved, TargetUnavailable, TargetMoved, LoginTarget>;

/// What a login finds that asks to join a session (a TSIH that is not zero).
enum class FoundSession : uint8_t {
  none,
  without_connection,  // it is there, and has no connection with this CID
  with_connection,     // it has
};

/// Fills with bytes that nobody can guess.
using Randomize = std::function<void(std::span<std::byte>)>;

/// The most, or the best, that this target agrees to.
struct TargetOffer : Negotiable {
  TargetOffer() {
    receive_segment_max = iscsi::receive_segment_max;
    max_burst = burst_max;
    first_burst = first_burst_max;
    initial_r2t = false;
    outstanding_r2t_max = iscsi::outstanding_r2t_max;
    time_to_retain = 0;  // at error recovery level 0 nothing is kept for a connection that is gone
  }
};

struct LoginPolicy {
  TargetOffer offer;
  /// Of discovery sessions.
  Access discovery_access;
  /// By the name as the initiator has written it; iSCSI names are the same in either case.
  std::function<FoundTarget(std::string_view name)> find_target;
  /// Of the initiator, target, ISID and TSIH in the parameters. Asked when the initiator has proven who it is.
  std::function<FoundSession(const SessionParameters& parameters)> find_session;
  /// Of a new session, at the end of its login: the moment to end the one that it takes the place of. 0: there are too
  /// many sessions.
  std::function<uint16_t(const SessionParameters& parameters)> assign_tsih;
  Randomize randomize;
};

}  // namespace cairn::iscsi
