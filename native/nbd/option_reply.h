#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "nbd/wire.h"

namespace cairn::nbd {

/// Writes what the server says during the handshake into a buffer that the connection sends.
class OptionReply {
 public:
  OptionReply(std::vector<std::byte>& output, uint32_t option) : output_(output), option_(option) {}

  void ack() { reply(wire::reply_ack, {}); }
  /// `message` is shown to people.
  void error(wire::OptionReply type, std::string_view message);
  void server(std::string_view name, std::string_view description);
  void info(std::span<const std::byte> payload) { reply(wire::reply_info, payload); }
  void info_string(wire::Info type, std::string_view text);
  void meta_context(uint32_t id, std::string_view name);
  /// Bytes without a reply header: the answer to NBD_OPT_EXPORT_NAME.
  void raw(std::span<const std::byte> bytes);
  void zeroes(size_t count) { output_.resize(output_.size() + count); }

 private:
  void reply(wire::OptionReply type, std::span<const std::byte> payload);

  std::vector<std::byte>& output_;
  uint32_t option_;
};

}  // namespace cairn::nbd
