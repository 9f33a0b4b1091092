#include "dmcrypt/luks_metadata.h"

#include <algorithm>
#include <charconv>

namespace cairn::dmcrypt {
namespace {

constexpr std::string_view token_type = "cairn-key-change";
constexpr std::string_view first_segment = "0";

/// -1 when it is none.
int number_of(const std::string& name) {
  int number = -1;
  std::from_chars(name.data(), name.data() + name.size(), number);
  return number;
}

std::string text_of(const nlohmann::json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// The field if it is an object, else an empty one.
const nlohmann::json& object_of(const nlohmann::json& object, const char* field) {
  static const nlohmann::json none = nlohmann::json::object();
  if (!object.is_object()) return none;
  const auto found = object.find(field);
  return found != object.end() && found->is_object() ? *found : none;
}

}  // namespace

std::string key_id_of(const nlohmann::json& metadata) {
  for (const nlohmann::json& digest : object_of(metadata, "digests")) {
    if (!digest.is_object()) continue;
    const auto segments = digest.find("segments");
    if (segments == digest.end() || !segments->is_array()) continue;
    if (std::find(segments->begin(), segments->end(), first_segment) != segments->end())
      return text_of(digest, "digest");
  }
  return "";
}

std::vector<int> slots_of_key(const nlohmann::json& metadata, const std::string& key_id) {
  std::vector<int> found;
  for (const nlohmann::json& digest : object_of(metadata, "digests")) {
    if (!digest.is_object() || key_id.empty() || text_of(digest, "digest") != key_id) continue;
    const auto slots = digest.find("keyslots");
    if (slots == digest.end() || !slots->is_array()) continue;
    for (const nlohmann::json& slot : *slots)
      if (slot.is_string()) found.push_back(number_of(slot.get<std::string>()));
  }
  return found;
}

std::optional<KeyChangeToken> key_change_of(const nlohmann::json& metadata) {
  for (const auto& [name, token] : object_of(metadata, "tokens").items()) {
    if (!token.is_object() || text_of(token, "type") != token_type) continue;
    return KeyChangeToken{number_of(name), {text_of(token, "id"), text_of(token, "snapshot"), text_of(token, "older")}};
  }
  return std::nullopt;
}

std::string key_change_json(const KeyChange& change) {
  nlohmann::json token{
      {"type", token_type}, {"keyslots", nlohmann::json::array()}, {"id", change.id}, {"older", change.older}};
  if (!change.snapshot.empty()) token["snapshot"] = change.snapshot;
  return token.dump();
}

}  // namespace cairn::dmcrypt
