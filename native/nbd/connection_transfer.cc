#include "nbd/connection_transfer.h"

#include <cstring>

#include "nbd/limits.h"
#include "nbd/wire.h"

namespace cairn::nbd {
namespace {

uint16_t flags_of(const Negotiated& negotiated) {
  unsigned flags = 0;
  if (negotiated.fixed_newstyle) flags |= wire::handover_client_fixed_newstyle;
  if (negotiated.no_zeroes) flags |= wire::handover_client_no_zeroes;
  if (negotiated.structured_replies) flags |= wire::handover_structured_replies;
  if (negotiated.base_allocation) flags |= wire::handover_base_allocation;
  return static_cast<uint16_t>(flags);
}

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::vector<std::byte> encode_transfer(const Negotiated& negotiated, std::span<const std::byte> unconsumed) {
  wire::HandoverHeader header;
  header.flags = flags_of(negotiated);
  header.options_seen = negotiated.options_seen;
  header.default_export_length = static_cast<uint32_t>(negotiated.default_export.size());
  header.meta_export_length = static_cast<uint32_t>(negotiated.meta_export.size());
  header.unconsumed_length = static_cast<uint32_t>(unconsumed.size());
  std::vector<std::byte> message;
  const auto append = [&message](std::span<const std::byte> part) {
    message.insert(message.end(), part.begin(), part.end());
  };
  append(wire::bytes_of(header));
  append(std::as_bytes(std::span(negotiated.default_export)));
  append(std::as_bytes(std::span(negotiated.meta_export)));
  append(unconsumed);
  return message;
}

std::optional<ConnectionTransfer> decode_transfer(std::span<const std::byte> message) {
  wire::HandoverHeader header;
  if (message.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, message.data(), sizeof header);
  if (header.magic != wire::handover_magic || header.version != wire::handover_version) return std::nullopt;
  const size_t default_length = header.default_export_length;
  const size_t meta_length = header.meta_export_length;
  const size_t unconsumed_length = header.unconsumed_length;
  if (default_length > name_length_max || meta_length > name_length_max) return std::nullopt;
  if (unconsumed_length > handshake_buffer_max) return std::nullopt;
  const std::span<const std::byte> rest = message.subspan(sizeof header);
  if (rest.size() != default_length + meta_length + unconsumed_length) return std::nullopt;

  ConnectionTransfer transfer;
  transfer.from_other_process = true;
  transfer.negotiated.fixed_newstyle = (header.flags & wire::handover_client_fixed_newstyle) != 0;
  transfer.negotiated.no_zeroes = (header.flags & wire::handover_client_no_zeroes) != 0;
  transfer.negotiated.structured_replies = (header.flags & wire::handover_structured_replies) != 0;
  transfer.negotiated.base_allocation = (header.flags & wire::handover_base_allocation) != 0;
  transfer.negotiated.options_seen = header.options_seen;
  transfer.negotiated.default_export = text(rest.first(default_length));
  transfer.negotiated.meta_export = text(rest.subspan(default_length, meta_length));
  const auto unconsumed = rest.last(unconsumed_length);
  transfer.unconsumed.assign(unconsumed.begin(), unconsumed.end());
  return transfer;
}

}  // namespace cairn::nbd
