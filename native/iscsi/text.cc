#include "iscsi/text.h"

#include <algorithm>

namespace cairn::iscsi {
namespace {

bool is_letter_or_digit(char character) {
  return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z') ||
         (character >= '0' && character <= '9');
}

/// A standard-label of section 6.1, but for "#", which private digests' and methods' names have.
bool is_key(std::string_view name) {
  if (name.empty() || name.size() > key_name_max || name[0] < 'A' || name[0] > 'Z') return false;
  return std::ranges::all_of(name, [](char character) {
    return is_letter_or_digit(character) || std::string_view("-.+@_#").find(character) != std::string_view::npos;
  });
}

}  // namespace

std::optional<std::vector<TextPair>> parse_text(std::string_view text) {
  std::vector<TextPair> pairs;
  while (!text.empty()) {
    if (text.find_first_not_of('\0') == std::string_view::npos) break;
    const size_t end = text.find('\0');
    if (end == std::string_view::npos || pairs.size() == text_pairs_max) return std::nullopt;
    const std::string_view pair = text.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !is_key(pair.substr(0, equals))) return std::nullopt;
    pairs.push_back({pair.substr(0, equals), pair.substr(equals + 1)});
    text.remove_prefix(end + 1);
  }
  return pairs;
}

void append_pair(std::string& text, std::string_view key, std::string_view value) {
  text.append(key).append("=").append(value).push_back('\0');
}

TextCollector::State TextCollector::add(bool continues, std::span<const std::byte> data) {
  if (data.size() > text_max - text_.size()) return State::too_long;
  text_.append(reinterpret_cast<const char*>(data.data()), data.size());
  return continues ? State::more : State::whole;
}

void TextCollector::clear() {
  text_.clear();
  text_.shrink_to_fit();
}

std::string TextSender::next(size_t length_max) {
  std::string part = text_.substr(sent_, length_max);
  sent_ += part.size();
  if (empty()) clear();
  return part;
}

void TextSender::clear() {
  text_.clear();
  text_.shrink_to_fit();
  sent_ = 0;
}

}  // namespace cairn::iscsi
