// Text of login and text PDUs: "Key=value" pairs, each ended by a zero byte (RFC 7143 section 6.1), that may take
// several PDUs (the C bit).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::iscsi {

/// Of the text of one request, over all of its PDUs. The RFC asks for 8 KiB at least.
inline constexpr size_t text_max = 16 * 1024;
/// Of one request: an answer to an unknown key is longer than the key, and must stay bounded too.
inline constexpr size_t text_pairs_max = 128;
inline constexpr size_t key_name_max = 63;

struct TextPair {
  std::string_view key;
  std::string_view value;
};

/// The pairs, which refer to `text`. Nothing when it is malformed: a key that is none, a pair without "=" or without
/// its end, more than text_pairs_max. Zero bytes after the last pair are taken for padding.
std::optional<std::vector<TextPair>> parse_text(std::string_view text);

void append_pair(std::string& text, std::string_view key, std::string_view value);

/// Puts a text together that comes in several PDUs.
class TextCollector {
 public:
  enum class State { more, whole, too_long };
  /// `continues`: the C bit. After `whole`, text() stays until clear(); nothing is added in between.
  State add(bool continues, std::span<const std::byte> data);
  std::string_view text() const { return text_; }
  void clear();

 private:
  std::string text_;
};

/// Gives a text away in parts that a peer takes.
class TextSender {
 public:
  void add(std::string_view text) { text_ += text; }
  std::string next(size_t length_max);
  bool empty() const { return sent_ == text_.size(); }
  void clear();

 private:
  std::string text_;
  size_t sent_ = 0;
};

}  // namespace cairn::iscsi
