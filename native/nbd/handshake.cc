#include "nbd/handshake.h"

#include <algorithm>
#include <cstring>

#include "nbd/limits.h"

namespace cairn::nbd {
namespace {

using Next = OptionOutcome::Next;

Handshake::Step incomplete_step() { return {.outcome = {}, .consumed = 0, .incomplete = true}; }

Handshake::Step closing_step(size_t consumed) { return {.outcome = {Next::close, nullptr, {}}, .consumed = consumed}; }

wire::OptionHeader header_at(std::span<const std::byte> input) {
  wire::OptionHeader header;
  std::memcpy(&header, input.data(), sizeof header);
  return header;
}

}  // namespace

void Handshake::greet(std::vector<std::byte>& output) {
  const wire::Greeting greeting;
  const auto bytes = wire::bytes_of(greeting);
  output.insert(output.end(), bytes.begin(), bytes.end());
}

Handshake::Step Handshake::advance(const HandshakeSite& site, std::span<const std::byte> input,
                                   std::vector<std::byte>& output, const DescriptionAnswer* answer) {
  switch (state_) {
    case State::client_flags:
      return take_client_flags(input);
    case State::options:
      return take_option(site, input, output, answer);
    case State::skipping:
      return skip(input, output);
  }
  CAIRN_ASSERT(false);
}

Handshake::Step Handshake::take_client_flags(std::span<const std::byte> input) {
  wire::u32 field;
  if (input.size() < sizeof field) return incomplete_step();
  std::memcpy(&field, input.data(), sizeof field);
  const uint32_t flags = field;
  // "the server MUST drop the TCP connection if the client sets an unknown flag"
  if ((flags & ~wire::client_flags_known) != 0) return closing_step(sizeof field);
  negotiated_.fixed_newstyle = (flags & wire::client_fixed_newstyle) != 0;
  negotiated_.no_zeroes = (flags & wire::client_no_zeroes) != 0;
  state_ = State::options;
  return {.outcome = {}, .consumed = sizeof field};
}

Handshake::Step Handshake::take_option(const HandshakeSite& site, std::span<const std::byte> input,
                                       std::vector<std::byte>& output, const DescriptionAnswer* answer) {
  if (input.size() < sizeof(wire::OptionHeader)) return incomplete_step();
  const wire::OptionHeader header = header_at(input);
  if (header.magic != wire::option_magic) return closing_step(sizeof header);
  if (negotiated_.options_seen >= options_per_connection_max) return closing_step(sizeof header);
  // The only option of a client that does not speak the fixed protocol; it could not read an answer to another.
  if (!negotiated_.fixed_newstyle && header.option != wire::option_export_name) return closing_step(sizeof header);
  if (header.length > option_length_max) return begin_skipping(header);

  const size_t size = sizeof header + header.length;
  if (input.size() < size) return incomplete_step();
  const std::span<const std::byte> data = input.subspan(sizeof header, header.length);
  OptionOutcome outcome = run_handler(site, header.option, data, output, answer);
  CAIRN_ASSERT(answer == nullptr || (outcome.next != Next::describe && outcome.next != Next::enter));
  if (outcome.next == Next::transfer || outcome.next == Next::describe || outcome.next == Next::enter)
    return {.outcome = std::move(outcome), .consumed = 0};
  ++negotiated_.options_seen;
  return {.outcome = std::move(outcome), .consumed = size};
}

OptionOutcome Handshake::run_handler(const HandshakeSite& site, uint32_t option, std::span<const std::byte> data,
                                     std::vector<std::byte>& output, const DescriptionAnswer* answer) {
  OptionReply reply(output, option);
  if (site.closing && option != wire::option_abort) {
    if (option == wire::option_export_name) return {Next::close, nullptr, {}};
    reply.error(wire::reply_error_shutdown, "the server is shutting down");
    return {};
  }
  const bool always = option == wire::option_starttls || option == wire::option_abort;
  if (site.tls_required && !negotiated_.tls && !always) {
    if (option == wire::option_export_name) return {Next::close, nullptr, {}};
    reply.error(wire::reply_error_tls_required, "start TLS first");
    return {};
  }
  const OptionHandler handler = find_option_handler(option);
  if (handler == nullptr) {
    reply.error(wire::reply_error_unsupported, "the server does not know this option");
    return {};
  }
  OptionRequest request{site, negotiated_, reply, data, answer};
  return handler(request);
}

Handshake::Step Handshake::begin_skipping(const wire::OptionHeader& header) {
  if (header.option == wire::option_export_name || header.length > option_skipped_max)
    return closing_step(sizeof header);
  state_ = State::skipping;
  skipped_option_ = header.option;
  left_to_skip_ = header.length;
  ++negotiated_.options_seen;
  return {.outcome = {}, .consumed = sizeof header};
}

Handshake::Step Handshake::skip(std::span<const std::byte> input, std::vector<std::byte>& output) {
  if (input.empty()) return incomplete_step();
  const size_t consumed = std::min(input.size(), left_to_skip_);
  left_to_skip_ -= consumed;
  if (left_to_skip_ == 0) {
    state_ = State::options;
    OptionReply(output, skipped_option_).error(wire::reply_error_too_big, "the option's data is too long");
  }
  return {.outcome = {}, .consumed = consumed};
}

Handshake::Step Handshake::decline_transfer(std::span<const std::byte> input, std::vector<std::byte>& output) {
  const wire::OptionHeader header = header_at(input);
  const size_t size = sizeof header + header.length;
  ++negotiated_.options_seen;
  if (header.option == wire::option_export_name) return closing_step(size);
  OptionReply(output, header.option)
      .error(wire::reply_error_unknown, "the process that serves this export cannot be reached");
  return {.outcome = {}, .consumed = size};
}

}  // namespace cairn::nbd
