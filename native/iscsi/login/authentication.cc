#include "iscsi/login/authentication.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "iscsi/login/values.h"
#include "iscsi/text.h"

namespace cairn::iscsi {
namespace {

constexpr size_t challenge_max = 1024;  // of a peer (section 12.1.3)

bool contains(std::string_view list, std::string_view value) { return choose(list, std::span(&value, 1)).has_value(); }

bool equal(const std::vector<std::byte>& one, const std::vector<std::byte>& other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace

bool Authentication::step(const SecurityText& said, std::string& answer) {
  if (said.method && !choose_method(*said.method, answer)) return false;
  if (said.algorithms && !choose_algorithm(*said.algorithms, answer)) return false;
  if (said.name || said.response || said.identifier || said.challenge) return check_response(said, answer);
  return true;
}

bool Authentication::choose_method(std::string_view methods, std::string& answer) {
  const std::string_view method = required() ? "CHAP" : "None";
  if (state_ != State::begin || !contains(methods, method)) return false;
  state_ = required() ? State::algorithm : State::over;
  append_pair(answer, "AuthMethod", method);
  return true;
}

bool Authentication::choose_algorithm(std::string_view algorithms, std::string& answer) {
  const std::optional<ChapAlgorithm> chosen = choose_chap_algorithm(algorithms);
  if (state_ != State::algorithm || !chosen) return false;
  algorithm_ = *chosen;
  challenge_.resize(chap_digest_size(algorithm_));
  randomize_(challenge_);
  randomize_(std::as_writable_bytes(std::span(&identifier_, 1)));
  append_pair(answer, "CHAP_A", std::to_string(static_cast<unsigned>(algorithm_)));
  append_pair(answer, "CHAP_I", std::to_string(identifier_));
  append_pair(answer, "CHAP_C", format_binary(challenge_));
  state_ = State::response;
  return true;
}

bool Authentication::check_response(const SecurityText& said, std::string& answer) {
  if (state_ != State::response || !said.name || !said.response) return false;
  const auto response = parse_binary(*said.response, chap_digest_size(algorithm_));
  if (!response || !is_proof(*said.name, *response)) return false;
  if ((said.identifier || said.challenge) && !prove(said, answer)) return false;
  state_ = State::over;
  return true;
}

/// An unknown user costs a digest too, so that time does not tell it from a wrong secret.
bool Authentication::is_proof(std::string_view user, const std::vector<std::byte>& response) const {
  const auto known = std::ranges::find(access_.chap, user, &Credential::user);
  const Credential& credential = known == access_.chap.end() ? access_.chap.front() : *known;
  const auto expected = chap_digest(algorithm_, identifier_, credential.secret->span(), challenge_);
  return !expected.empty() && equal(expected, response) && known != access_.chap.end();
}

bool Authentication::prove(const SecurityText& said, std::string& answer) const {
  if (!access_.mutual || !said.identifier || !said.challenge) return false;
  const auto identifier = parse_number(*said.identifier);
  const auto challenge = parse_binary(*said.challenge, challenge_max);
  if (!identifier || *identifier > 255 || !challenge) return false;
  // Who sends our own challenge back wants us to answer it for them.
  if (*challenge == challenge_) return false;
  const auto proof =
      chap_digest(algorithm_, static_cast<uint8_t>(*identifier), access_.mutual->secret->span(), *challenge);
  if (proof.empty()) return false;
  append_pair(answer, "CHAP_N", access_.mutual->user);
  append_pair(answer, "CHAP_R", format_binary(proof));
  return true;
}

}  // namespace cairn::iscsi
