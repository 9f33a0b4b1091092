#include "iscsi/login/values.h"

#include <algorithm>
#include <charconv>

namespace cairn::iscsi {
namespace {

using Bytes = std::vector<std::byte>;

bool has_prefix(std::string_view text, char letter) {
  return text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == letter;
}

std::optional<unsigned> hexadecimal_digit(char character) {
  if (character >= '0' && character <= '9') return static_cast<unsigned>(character - '0');
  const char small = static_cast<char>(character | 0x20);
  if (small >= 'a' && small <= 'f') return static_cast<unsigned>(small - 'a' + 10);
  return std::nullopt;
}

/// An odd number of digits begins with half a byte.
std::optional<Bytes> parse_hexadecimal(std::string_view digits, size_t length_max) {
  if (digits.size() > 2 * length_max) return std::nullopt;
  Bytes bytes((digits.size() + 1) / 2);
  size_t place = digits.size() % 2;
  for (const char character : digits) {
    const std::optional<unsigned> digit = hexadecimal_digit(character);
    if (!digit) return std::nullopt;
    std::byte& byte = bytes[place++ / 2];
    byte = byte << 4 | static_cast<std::byte>(*digit);
  }
  return bytes;
}

std::optional<unsigned> base64_digit(char character) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t at = digits.find(character);
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned>(at);
}

/// "=" may fill the last four digits up.
std::optional<std::string_view> without_filling(std::string_view digits) {
  for (int filling = 0; filling < 2 && digits.ends_with('=') && (digits.size() + filling) % 4 == 0; ++filling)
    digits.remove_suffix(1);
  if (digits.size() % 4 == 1) return std::nullopt;
  return digits;
}

std::optional<Bytes> parse_base64(std::string_view text, size_t length_max) {
  const std::optional<std::string_view> digits = without_filling(text);
  if (!digits || digits->empty() || digits->size() * 3 / 4 > length_max) return std::nullopt;
  Bytes bytes;
  unsigned held = 0;
  unsigned held_bits = 0;
  for (const char character : *digits) {
    const std::optional<unsigned> digit = base64_digit(character);
    if (!digit) return std::nullopt;
    held = held << 6 | *digit;
    held_bits += 6;
    if (held_bits < 8) continue;
    held_bits -= 8;
    bytes.push_back(static_cast<std::byte>(held >> held_bits));
    held &= (1u << held_bits) - 1;
  }
  return bytes;
}

}  // namespace

std::optional<uint64_t> parse_number(std::string_view text) {
  const bool hexadecimal = has_prefix(text, 'x');
  if (hexadecimal) text.remove_prefix(2);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, hexadecimal ? 16 : 10);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<bool> parse_boolean(std::string_view text) {
  if (text == "Yes") return true;
  if (text == "No") return false;
  return std::nullopt;
}

std::optional<Bytes> parse_binary(std::string_view text, size_t length_max) {
  if (has_prefix(text, 'x')) return parse_hexadecimal(text.substr(2), length_max);
  if (has_prefix(text, 'b')) return parse_base64(text.substr(2), length_max);
  return std::nullopt;
}

std::string format_binary(std::span<const std::byte> bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "0x";
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<size_t>(byte >> 4)];
    text += digits[std::to_integer<size_t>(byte & std::byte{15})];
  }
  return text;
}

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::string_view> choose(std::string_view list, std::span<const std::string_view> admitted) {
  for (const std::string_view part : split_list(list))
    if (std::ranges::find(admitted, part) != admitted.end()) return part;
  return std::nullopt;
}

bool is_reserved_answer(std::string_view value) {
  return value == "Reject" || value == "Irrelevant" || value == "NotUnderstood";
}

}  // namespace cairn::iscsi
