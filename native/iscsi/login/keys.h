// One key, one row: where it may stand, and how it is answered (RFC 7143 sections 12 and 13).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "iscsi/login/session_parameters.h"

namespace cairn::iscsi {

/// Where a text stands. Bits of a set.
enum Place : uint8_t { security_stage = 1, operational_stage = 2, full_feature_phase = 4 };
inline constexpr uint8_t in_login = security_stage | operational_stage;
inline constexpr uint8_t anywhere = in_login | full_feature_phase;

/// What an initiator says in the security stage, in its own words.
struct SecurityText {
  std::optional<std::string_view> method;      // AuthMethod
  std::optional<std::string_view> algorithms;  // CHAP_A
  std::optional<std::string_view> identifier;  // CHAP_I
  std::optional<std::string_view> challenge;   // CHAP_C
  std::optional<std::string_view> name;        // CHAP_N
  std::optional<std::string_view> response;    // CHAP_R
};

/// A number of a range. The smaller or the larger of both sides', or the initiator's word alone.
struct NumberKey {
  enum class Result : uint8_t { minimum, maximum, declared };
  uint32_t least;
  uint32_t most;
  Result result;
  uint32_t Negotiable::*value;
};
/// Yes when both sides say so, or when either does.
struct BooleanKey {
  enum class Result : uint8_t { both, either };
  Result result;
  bool Negotiable::*value;
};
/// None or CRC32C: the first of the initiator's list that is one of them.
struct DigestKey {
  bool Negotiable::*value;
};
/// A list of which this target knows one value, which is also what holds without the key.
struct OnlyKey {
  std::string_view value;
};
/// Answered so, whatever is proposed.
struct FixedKey {
  std::string_view answer;
};
/// A word about the initiator.
struct DeclaredKey {
  std::string SessionParameters::*value;
};
/// Read from a login's first request before anything is negotiated. It may come again if it says the same, as some
/// initiators repeat themselves in the operational stage.
struct FirstKey {
  bool (*same)(const SessionParameters& parameters, std::string_view value);
};
/// Left to the authentication.
struct SecurityKey {
  std::optional<std::string_view> SecurityText::*value;
};
/// Left to the text negotiation of the full feature phase.
struct SendTargetsKey {};
/// Only a target says it.
struct TargetKey {};

struct KeyRow {
  std::string_view name;
  uint8_t places;
  /// Otherwise it is irrelevant in discovery sessions.
  bool in_discovery;
  std::variant<NumberKey, BooleanKey, DigestKey, OnlyKey, FixedKey, DeclaredKey, FirstKey, SecurityKey, SendTargetsKey,
               TargetKey>
      kind;
};

/// In the order in which keys of one text are answered: what depends on others comes after them.
std::span<const KeyRow> key_table();

}  // namespace cairn::iscsi
