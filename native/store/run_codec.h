// Numbers of the lists of runs (saved_index.h, run_list.h): seven bits a byte, the low ones first, the high bit set in
// all but the last.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cairn::store {

inline void put_number(std::vector<std::byte>& into, uint64_t number) {
  for (; number >= 0x80; number >>= 7) into.push_back(static_cast<std::byte>(number | 0x80));
  into.push_back(static_cast<std::byte>(number));
}

class NumberReader {
 public:
  explicit NumberReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool at_end() const { return at_ == bytes_.size(); }
  /// Nothing behind the end, and of a number that is longer than 63 bits.
  std::optional<uint64_t> take() {
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 63 && at_ < bytes_.size(); shift += 7) {
      const auto byte = static_cast<uint64_t>(bytes_[at_++]);
      number |= (byte & 0x7f) << shift;
      if (byte < 0x80) return number;
    }
    return std::nullopt;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

}  // namespace cairn::store
