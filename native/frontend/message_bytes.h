#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/big_endian.h"

namespace cairn {

/// Builds a message from structures and strings.
class MessageWriter {
 public:
  template <typename Structure>
  void add(const Structure& structure) {
    add_bytes(bytes_of(structure));
  }
  void add_text(std::string_view text) { add_bytes(std::as_bytes(std::span(text))); }
  /// After its 32-bit length.
  void add_counted(std::string_view text) {
    add(BigEndian<uint32_t>(static_cast<uint32_t>(text.size())));
    add_text(text);
  }
  void add_bytes(std::span<const std::byte> bytes) { message_.insert(message_.end(), bytes.begin(), bytes.end()); }
  std::vector<std::byte> finish() { return std::move(message_); }

 private:
  std::vector<std::byte> message_;
};

/// Reads received bytes from their start. Each call yields nothing when they end before.
class MessageReader {
 public:
  explicit MessageReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  /// A structure of big-endian fields, or one of them.
  template <typename Structure>
  std::optional<Structure> take() {
    Structure structure;
    if (rest_.size() < sizeof structure) return std::nullopt;
    std::memcpy(static_cast<void*>(&structure), rest_.data(), sizeof structure);
    rest_ = rest_.subspan(sizeof structure);
    return structure;
  }
  std::optional<std::string> take_text(size_t length) {
    if (length > rest_.size()) return std::nullopt;
    std::string text(reinterpret_cast<const char*>(rest_.data()), length);
    rest_ = rest_.subspan(length);
    return text;
  }
  /// A string after its 32-bit length.
  std::optional<std::string> take_counted() {
    const std::optional<BigEndian<uint32_t>> length = take<BigEndian<uint32_t>>();
    if (!length) return std::nullopt;
    return take_text(*length);
  }
  /// `count` strings after their lengths. Nothing, and no memory taken, for more than there can be.
  std::optional<std::vector<std::string>> take_strings(size_t count, size_t length_max) {
    if (count > rest_.size() / sizeof(BigEndian<uint32_t>)) return std::nullopt;
    std::vector<std::string> strings;
    for (size_t i = 0; i < count; ++i) {
      std::optional<std::string> text = take_counted();
      if (!text || text->size() > length_max) return std::nullopt;
      strings.push_back(std::move(*text));
    }
    return strings;
  }
  std::span<const std::byte> rest() const { return rest_; }
  bool at_end() const { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace cairn
