#include "nbd/option_reply.h"

namespace cairn::nbd {
namespace {

std::span<const std::byte> text_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

void OptionReply::raw(std::span<const std::byte> bytes) { append(output_, bytes); }

void OptionReply::reply(wire::OptionReply type, std::span<const std::byte> payload) {
  wire::OptionReplyHeader header;
  header.option = option_;
  header.type = type;
  header.length = static_cast<uint32_t>(payload.size());
  raw(wire::bytes_of(header));
  raw(payload);
}

void OptionReply::error(wire::OptionReply type, std::string_view message) { reply(type, text_bytes(message)); }

void OptionReply::server(std::string_view name, std::string_view description) {
  std::vector<std::byte> payload;
  append(payload, wire::bytes_of(wire::u32(static_cast<uint32_t>(name.size()))));
  append(payload, text_bytes(name));
  append(payload, text_bytes(description));
  reply(wire::reply_server, payload);
}

void OptionReply::info_string(wire::Info type, std::string_view text) {
  std::vector<std::byte> payload;
  append(payload, wire::bytes_of(wire::u16(type)));
  append(payload, text_bytes(text));
  info(payload);
}

void OptionReply::meta_context(uint32_t id, std::string_view name) {
  std::vector<std::byte> payload;
  append(payload, wire::bytes_of(wire::u32(id)));
  append(payload, text_bytes(name));
  reply(wire::reply_meta_context, payload);
}

}  // namespace cairn::nbd
