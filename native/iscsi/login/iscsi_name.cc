#include "iscsi/login/iscsi_name.h"

#include <algorithm>

namespace cairn::iscsi {
namespace {

bool is_digit(char character) { return character >= '0' && character <= '9'; }

bool are_digits(std::string_view text) { return std::ranges::all_of(text, is_digit); }

char lower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

bool is_hexadecimal(std::string_view text) {
  return std::ranges::all_of(
      text, [](char character) { return is_digit(character) || (lower(character) >= 'a' && lower(character) <= 'f'); });
}

/// Beyond ASCII is left to stringprep, which the one who chose the name has used.
bool may_be_in_name(char character) {
  const char small = lower(character);
  return is_digit(character) || (small >= 'a' && small <= 'z') || static_cast<unsigned char>(character) >= 0x80 ||
         std::string_view("-.:_").find(character) != std::string_view::npos;
}

/// YYYY-MM.authority[:anything], after "iqn.".
bool is_qualified(std::string_view rest) {
  if (rest.size() < 9 || !are_digits(rest.substr(0, 4)) || rest[4] != '-' || !are_digits(rest.substr(5, 2)))
    return false;
  const std::string_view month = rest.substr(5, 2);
  return month >= "01" && month <= "12" && rest[7] == '.' && rest[8] != ':' &&
         std::ranges::all_of(rest, may_be_in_name);
}

}  // namespace

bool is_iscsi_name(std::string_view name) {
  if (name.size() <= 4 || name.size() > name_length_max) return false;
  const std::string kind = lower_case(name.substr(0, 4));
  const std::string_view rest = name.substr(4);
  if (kind == "iqn.") return is_qualified(rest);
  if (kind == "eui.") return rest.size() == 16 && is_hexadecimal(rest);
  if (kind == "naa.") return (rest.size() == 16 || rest.size() == 32) && is_hexadecimal(rest);
  return false;
}

std::string lower_case(std::string_view text) {
  std::string lowered(text);
  std::ranges::transform(lowered, lowered.begin(), lower);
  return lowered;
}

bool same_name(std::string_view one, std::string_view other) { return lower_case(one) == lower_case(other); }

}  // namespace cairn::iscsi
