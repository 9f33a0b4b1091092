// Values as text writes them (RFC 7143 section 6.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::iscsi {

/// Of a value that is not binary, without the zero byte.
inline constexpr size_t text_value_max = 255;

/// Decimal, or hexadecimal after 0x.
std::optional<uint64_t> parse_number(std::string_view text);
/// Yes or No.
std::optional<bool> parse_boolean(std::string_view text);
/// Hexadecimal after 0x, base64 after 0b; nothing when it is neither, empty, or longer than `length_max`.
std::optional<std::vector<std::byte>> parse_binary(std::string_view text, size_t length_max);
std::string format_binary(std::span<const std::byte> bytes);

/// The parts between commas.
std::vector<std::string_view> split_list(std::string_view text);
/// The first of the list that is admitted: the sender has ordered it by preference.
std::optional<std::string_view> choose(std::string_view list, std::span<const std::string_view> admitted);

/// Answers, never proposals (section 6.2).
bool is_reserved_answer(std::string_view value);

}  // namespace cairn::iscsi
