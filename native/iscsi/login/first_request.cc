#include "iscsi/login/first_request.h"

#include <algorithm>

namespace cairn::iscsi {

FirstRequest peek(const wire::LoginRequest& request, std::span<const std::byte> data) {
  FirstRequest about;
  about.whole = (request.flags & wire::continue_bit) == 0;
  std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
  if (!about.whole) text = text.substr(0, text.rfind('\0') + 1);
  const auto pairs = data.size() <= text_max ? parse_text(text) : std::nullopt;
  about.malformed = !pairs;
  if (about.malformed) return about;
  about.initiator_name = find_value(*pairs, "InitiatorName").value_or("");
  about.target_name = find_value(*pairs, "TargetName").value_or("");
  about.discovery = find_value(*pairs, "SessionType") == "Discovery";
  return about;
}

std::optional<std::string_view> find_value(std::span<const TextPair> pairs, std::string_view key) {
  const auto pair = std::ranges::find(pairs, key, &TextPair::key);
  if (pair == pairs.end()) return std::nullopt;
  return pair->value;
}

}  // namespace cairn::iscsi
