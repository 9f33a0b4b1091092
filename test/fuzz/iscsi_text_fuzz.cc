// The text parser, the values and the negotiation of every key, over any text: what is read lies within what was given,
// answers stay bounded, and numbers within their ranges.
#include "base/assert.h"
#include "iscsi/login/first_request.h"
#include "iscsi/login/iscsi_name.h"
#include "iscsi/login/negotiation.h"
#include "iscsi/login/policy.h"
#include "iscsi/login/values.h"

namespace {

using namespace cairn;
using namespace cairn::iscsi;

void read_values(std::string_view text) {
  const auto binary = parse_binary(text, 64);
  CAIRN_ASSERT(!binary || (!binary->empty() && binary->size() <= 64));
  if (binary) CAIRN_ASSERT(parse_binary(format_binary(*binary), 64) == *binary);
  size_t length = 0;
  for (const std::string_view part : split_list(text)) length += part.size() + 1;
  CAIRN_ASSERT(length == text.size() + 1);
  CAIRN_ASSERT(!is_iscsi_name(text) || is_iscsi_name(lower_case(text)));
}

void check_ranges(const Negotiable& settled) {
  for (const uint32_t length : {settled.send_segment_max, settled.max_burst, settled.first_burst})
    CAIRN_ASSERT(length >= 512 && length < 1 << 24);
  CAIRN_ASSERT(settled.connections_max == 1 && settled.error_recovery_level == 0);
  CAIRN_ASSERT(settled.outstanding_r2t_max >= 1 && settled.time_to_wait <= 3600 && settled.time_to_retain <= 3600);
}

void negotiate(std::span<const TextPair> pairs, uint8_t place) {
  SessionParameters parameters;
  const TargetOffer offer;
  Negotiation negotiation(offer);
  const TextAnswer answer = negotiation.answer(pairs, place, parameters);
  CAIRN_ASSERT(answer.text.size() <= text_pairs_max * (key_name_max + sizeof("=NotUnderstood")));
  CAIRN_ASSERT(parse_text(answer.text).has_value());
  check_ranges(parameters);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  read_values(text);
  wire::LoginRequest request{};
  request.flags = data[0];
  peek(request, std::as_bytes(std::span(text)));
  const auto pairs = parse_text(text);
  if (!pairs) return 0;
  for (const auto& [key, value] : *pairs) CAIRN_ASSERT(key.data() >= text.data() && value.end() < text.end());
  for (const auto& [key, value] : *pairs) read_values(value);
  negotiate(*pairs, data[0] & anywhere);
  return 0;
}
