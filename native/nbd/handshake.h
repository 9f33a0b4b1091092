#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "nbd/negotiated.h"
#include "nbd/options/option.h"

namespace cairn::nbd {

/// The handshake of one connection as a function over bytes: it knows no socket. Fixed newstyle, the server's side.
class Handshake {
 public:
  /// A connection that has just been accepted.
  Handshake() = default;
  /// One that comes from elsewhere, in the middle of its options.
  explicit Handshake(Negotiated negotiated) : negotiated_(std::move(negotiated)), state_(State::options) {}

  const Negotiated& negotiated() const { return negotiated_; }
  /// Writes what the server says first.
  static void greet(std::vector<std::byte>& output);

  struct Step {
    OptionOutcome outcome;
    size_t consumed = 0;
    bool incomplete = false;  // nothing happens before there is more input
  };
  /// Takes one step over what has been received and not been consumed yet, and appends its answer. Called again until a
  /// step is incomplete or its outcome is not `haggle`; after `describe` and `enter` with the answer to its question.
  Step advance(const HandshakeSite& site, std::span<const std::byte> input, std::vector<std::byte>& output,
               const DescriptionAnswer* answer = nullptr);
  /// After the outcome `transfer`, when the other side cannot be reached: answers the option that is still unconsumed.
  Step decline_transfer(std::span<const std::byte> input, std::vector<std::byte>& output);

 private:
  enum class State : uint8_t { client_flags, options, skipping };

  Step take_client_flags(std::span<const std::byte> input);
  Step take_option(const HandshakeSite& site, std::span<const std::byte> input, std::vector<std::byte>& output,
                   const DescriptionAnswer* answer);
  Step begin_skipping(const wire::OptionHeader& header);
  Step skip(std::span<const std::byte> input, std::vector<std::byte>& output);
  OptionOutcome run_handler(const HandshakeSite& site, uint32_t option, std::span<const std::byte> data,
                            std::vector<std::byte>& output, const DescriptionAnswer* answer);

  Negotiated negotiated_;
  State state_ = State::client_flags;
  uint32_t skipped_option_ = 0;
  size_t left_to_skip_ = 0;
};

}  // namespace cairn::nbd
