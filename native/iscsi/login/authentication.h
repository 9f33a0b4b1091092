// The security stage: whether an initiator has proven who it is, and the target to it (RFC 7143 section 12.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "iscsi/login/chap_algorithm.h"
#include "iscsi/login/keys.h"
#include "iscsi/login/policy.h"

namespace cairn::iscsi {

class Authentication {
 public:
  Authentication(const Access& access, const Randomize& randomize) : access_(access), randomize_(randomize) {}

  /// What the initiator says, and what is answered to it. False: the authentication has failed, and nothing says why,
  /// for who guesses must not learn whether a user exists.
  bool step(const SecurityText& said, std::string& answer);
  bool required() const { return !access_.chap.empty(); }
  /// A method has been chosen.
  bool begun() const { return state_ != State::begin; }
  /// The security stage may end.
  bool over() const { return state_ == State::over || (state_ == State::begin && !required()); }

 private:
  enum class State : uint8_t { begin, algorithm, response, over };

  bool choose_method(std::string_view methods, std::string& answer);
  bool choose_algorithm(std::string_view algorithms, std::string& answer);
  bool check_response(const SecurityText& said, std::string& answer);
  bool is_proof(std::string_view user, const std::vector<std::byte>& response) const;
  bool prove(const SecurityText& said, std::string& answer) const;

  Access access_;
  Randomize randomize_;
  State state_ = State::begin;
  ChapAlgorithm algorithm_ = ChapAlgorithm::md5;
  uint8_t identifier_ = 0;
  std::vector<std::byte> challenge_;
};

}  // namespace cairn::iscsi
