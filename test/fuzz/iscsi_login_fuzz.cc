// Login requests over any bytes, to a target that demands CHAP. An input is a sequence of: a byte of flags, a byte that
// changes other fields, two bytes of length, text. Where a text says CHAP_R=!, the right response is put in its place,
// so that the search can get past the proof; who never sent it must never get in.
#include <algorithm>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "iscsi/login/login.h"
#include "iscsi/login/values.h"

namespace {

using namespace cairn;
using namespace cairn::iscsi;
using Outcome = Login::Outcome;

constexpr std::string_view secret = "the secret of the fuzz target";
constexpr std::string_view target_name = "iqn.2026-11.io.cairn:disk";
constexpr std::string_view mark = "CHAP_R=!";

Credential make_credential(std::string_view user, std::string_view text) {
  auto memory = std::make_shared<SecureMemory>(std::move(SecureMemory::create(text.size()).value()));
  std::ranges::copy(std::as_bytes(std::span(text)), memory->span().begin());
  return {std::string(user), memory};
}

LoginPolicy make_policy() {
  Access access;
  access.chap = {make_credential("alice", secret)};
  access.mutual = make_credential("cairn", "another secret");
  LoginPolicy policy;
  policy.discovery_access = access;
  policy.find_target = [access](std::string_view name) -> FoundTarget {
    if (name == target_name) return LoginTarget{std::string(target_name), "alias", access, 1};
    if (name.ends_with("moved")) return TargetMoved{"192.0.2.1"};
    return TargetMissing{};
  };
  policy.find_session = [](const SessionParameters& parameters) {
    return static_cast<FoundSession>(parameters.tsih % 3);
  };
  policy.assign_tsih = [](const SessionParameters&) { return uint16_t{1}; };
  policy.randomize = [](std::span<std::byte> bytes) { std::ranges::fill(bytes, std::byte{0x5a}); };
  return policy;
}

class Initiator {
 public:
  /// Returns false when the login is over.
  bool say(uint8_t flags, uint8_t change, std::string text) {
    const bool proof = put_proof(text);
    wire::LoginRequest request{};
    request.opcode_byte = wire::login_request;
    request.flags = flags;
    if ((change & 0x0f) == 0x0f) request.isid[0] = change;
    if ((change & 0xf0) == 0xf0) request.version_min = 1;
    if ((change & 0xf0) == 0xe0) request.tsih = change & 0x0f;
    const Login::Reply reply = login_.handle(request, std::as_bytes(std::span(text)));
    proven_ |= proof;
    check(request, reply);
    hear(reply.text);
    return reply.outcome == Outcome::go_on;
  }

 private:
  void check(const wire::LoginRequest& request, const Login::Reply& reply) const {
    CAIRN_ASSERT(reply.text.size() <= segment_max_default);
    CAIRN_ASSERT((reply.outcome == Outcome::failed) == (reply.header.status != 0));
    const bool transit = (reply.header.flags & wire::transit_bit) != 0;
    CAIRN_ASSERT(!transit || (request.flags & wire::transit_bit) != 0);
    CAIRN_ASSERT(!transit || proven_);
    if (reply.outcome != Outcome::full_feature) return;
    CAIRN_ASSERT(proven_ && transit && reply.header.tsih != 0);
    CAIRN_ASSERT(login_.parameters().first_burst <= login_.parameters().max_burst);
  }
  bool put_proof(std::string& text) const {
    const size_t at = text.find(mark);
    if (at == std::string::npos || challenge_.empty()) return false;
    const auto digest = chap_digest(algorithm_, identifier_, std::as_bytes(std::span(secret)), challenge_);
    text.replace(at, mark.size(), "CHAP_R=" + format_binary(digest));
    return true;
  }
  void hear(std::string_view text) {
    const auto pairs = parse_text(text);
    if (!pairs) return;
    for (const auto& [key, value] : *pairs) {
      if (key == "CHAP_A") algorithm_ = static_cast<ChapAlgorithm>(parse_number(value).value());
      if (key == "CHAP_I") identifier_ = static_cast<uint8_t>(parse_number(value).value());
      if (key == "CHAP_C") challenge_ = parse_binary(value, 64).value();
    }
  }

  Login login_{make_policy()};
  ChapAlgorithm algorithm_ = ChapAlgorithm::md5;
  uint8_t identifier_ = 0;
  std::vector<std::byte> challenge_;
  bool proven_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Initiator initiator;
  while (size >= 4) {
    const size_t length = std::min<size_t>(size - 4, size_t{data[2]} << 8 | data[3]);
    const std::string text(reinterpret_cast<const char*>(data) + 4, length);
    if (!initiator.say(data[0], data[1], text)) break;
    data += 4 + length;
    size -= 4 + length;
  }
  return 0;
}
