#pragma once

#include <cstdint>

namespace cairn::iscsi {

/// Serial number arithmetic (RFC 1982): whether `a` comes before `b`.
constexpr bool comes_before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

/// Command numbers of one session (RFC 7143 section 4.2.2.1).
class CommandSequence {
 public:
  CommandSequence(uint32_t expected, uint32_t window)
      : expected_(expected), maximum_(expected + window - 1), window_(window) {}

  enum class Verdict : uint8_t {
    deliver,
    ignore,   // outside of the window, or there already
    missing,  // the one before it has not come, and will not on the one connection that there is
  };
  /// A request that is not for immediate delivery; delivered, it counts.
  Verdict judge(uint32_t number) {
    if (number == expected_ && !comes_before(maximum_, number)) [[likely]] {
      ++expected_;
      return Verdict::deliver;
    }
    const bool within = !comes_before(number, expected_) && !comes_before(maximum_, number);
    return within ? Verdict::missing : Verdict::ignore;
  }

  uint32_t expected() const { return expected_; }
  /// MaxCmdSN with so many commands under way. It never goes back.
  uint32_t maximum(uint32_t under_way) {
    const uint32_t allowed = under_way < window_ ? window_ - under_way : 0;
    const uint32_t candidate = expected_ - 1 + allowed;
    if (comes_before(maximum_, candidate)) maximum_ = candidate;
    return maximum_;
  }

 private:
  uint32_t expected_;
  uint32_t maximum_;
  uint32_t window_;
};

}  // namespace cairn::iscsi
