#include "iscsi/login/check_access.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include "iscsi/login/iscsi_name.h"
#include "iscsi/login/values.h"

namespace cairn::iscsi {
namespace {

using Complaint = std::optional<std::string>;

Complaint check_user(const std::string& user) {
  if (user.empty()) return "A CHAP user has no name: give every secret a user name.";
  if (user.size() > text_value_max)
    return "The name of a CHAP user is " + std::to_string(user.size()) + " bytes long: choose one of at most " +
           std::to_string(text_value_max) + ".";
  if (user.find('\0') != std::string::npos) return "The name of a CHAP user contains a zero byte: choose one without.";
  return std::nullopt;
}

Complaint check_credential(const Credential& credential) {
  if (Complaint complaint = check_user(credential.user)) return complaint;
  const size_t length = credential.secret == nullptr ? 0 : credential.secret->span().size();
  if (length >= chap_secret_min && length <= chap_secret_max) return std::nullopt;
  return "The secret of CHAP user " + credential.user + " is " + std::to_string(length) +
         " bytes long: choose one of " + std::to_string(chap_secret_min) + " to " + std::to_string(chap_secret_max) +
         ".";
}

bool same_secret(const Credential& one, const Credential& other) {
  const auto a = one.secret->span();
  const auto b = other.secret->span();
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

/// An initiator that knows the target's secret could pose as it.
Complaint check_mutual(const Access& access) {
  if (!access.mutual) return std::nullopt;
  if (access.chap.empty())
    return "Mutual CHAP is set, but initiators prove nothing: add a CHAP user for them, or take the mutual one away.";
  if (Complaint complaint = check_credential(*access.mutual)) return complaint;
  for (const Credential& credential : access.chap)
    if (same_secret(credential, *access.mutual))
      return "CHAP user " + credential.user + " has the same secret as the mutual one: choose another for one of them.";
  return std::nullopt;
}

Complaint check_users(const Access& access) {
  std::set<std::string_view> users;
  for (const Credential& credential : access.chap) {
    if (Complaint complaint = check_credential(credential)) return complaint;
    if (!users.insert(credential.user).second)
      return "CHAP user " + credential.user + " is there twice: keep one of them.";
  }
  return std::nullopt;
}

Complaint check_initiators(const Access& access) {
  for (const std::string& name : access.initiators)
    if (!is_iscsi_name(name))
      return "\"" + name +
             "\" is no iSCSI name of an initiator: write it as in iqn.2001-04.com.example:host, or as eui. " +
             "or naa. with 16 hexadecimal digits.";
  return std::nullopt;
}

}  // namespace

Result<Unit> check_access(const Access& access) {
  for (const auto check : {check_initiators, check_users, check_mutual})
    if (Complaint complaint = check(access)) return Error{"INVALID_ARGUMENT", *complaint};
  return Unit{};
}

bool admits(const Access& access, std::string_view initiator_name) {
  const auto is_this = [&](const std::string& name) { return same_name(name, initiator_name); };
  return access.initiators.empty() || std::ranges::any_of(access.initiators, is_this);
}

}  // namespace cairn::iscsi
