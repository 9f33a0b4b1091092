// Answers to the keys of one login, or of one exchange of texts in the full feature phase.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "iscsi/login/keys.h"
#include "iscsi/text.h"

namespace cairn::iscsi {

struct TextAnswer {
  /// A key in a place where it must not stand, or one that has been negotiated before: the login fails (section 6.3), a
  /// text request is rejected.
  bool violation = false;
  std::string text;
  SecurityText security;
  std::optional<std::string_view> send_targets;
};

class Negotiation {
 public:
  explicit Negotiation(const Negotiable& offer) : offer_(offer) {}

  /// Answers a whole text that stands at `places`, and writes into `parameters` what it settles. The answer refers to
  /// the pairs.
  TextAnswer answer(std::span<const TextPair> pairs, uint8_t places, SessionParameters& parameters);
  /// Keys may be negotiated anew.
  void reset() { seen_.clear(); }

 private:
  Negotiable offer_;
  std::set<const KeyRow*> seen_;
};

}  // namespace cairn::iscsi
