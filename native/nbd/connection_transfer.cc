#include "nbd/connection_transfer.h"

#include "frontend/message_bytes.h"
#include "nbd/limits.h"
#include "nbd/metadata_contexts.h"
#include "nbd/wire.h"

namespace cairn::nbd {
namespace {

bool only_base_allocation(const Negotiated& negotiated) {
  return negotiated.contexts.empty() ||
         (negotiated.contexts.size() == 1 && negotiated.contexts.front() == base_allocation_name);
}

/// The lowest that can say it all: a process of an older version understands as much as possible.
uint16_t version_for(const Negotiated& negotiated) {
  const bool first = !negotiated.extended_headers && !negotiated.tls && only_base_allocation(negotiated);
  return first ? wire::handover_version_first : wire::handover_version;
}

uint16_t flags_of(const Negotiated& negotiated, uint16_t version) {
  unsigned flags = 0;
  if (negotiated.fixed_newstyle) flags |= wire::handover_client_fixed_newstyle;
  if (negotiated.no_zeroes) flags |= wire::handover_client_no_zeroes;
  if (negotiated.structured_replies) flags |= wire::handover_structured_replies;
  if (negotiated.extended_headers) flags |= wire::handover_extended_headers;
  if (negotiated.tls) flags |= wire::handover_tls;
  if (version == wire::handover_version_first && !negotiated.contexts.empty()) flags |= wire::handover_base_allocation;
  return static_cast<uint16_t>(flags);
}

Negotiated negotiated_of(const wire::HandoverHeader& header) {
  const uint16_t flags = header.flags;
  Negotiated negotiated;
  negotiated.fixed_newstyle = (flags & wire::handover_client_fixed_newstyle) != 0;
  negotiated.no_zeroes = (flags & wire::handover_client_no_zeroes) != 0;
  negotiated.structured_replies = (flags & wire::handover_structured_replies) != 0;
  negotiated.options_seen = header.options_seen;
  if (header.version == wire::handover_version_first) {
    if ((flags & wire::handover_base_allocation) != 0) negotiated.contexts.emplace_back(base_allocation_name);
    return negotiated;
  }
  negotiated.extended_headers = (flags & wire::handover_extended_headers) != 0;
  negotiated.tls = (flags & wire::handover_tls) != 0;
  return negotiated;
}

}  // namespace

std::vector<std::byte> encode_transfer(const Negotiated& negotiated, std::span<const std::byte> unconsumed) {
  wire::HandoverHeader header;
  const uint16_t version = version_for(negotiated);
  header.version = version;
  header.flags = flags_of(negotiated, version);
  header.options_seen = negotiated.options_seen;
  header.default_export_length = static_cast<uint32_t>(negotiated.default_export.size());
  header.meta_export_length = static_cast<uint32_t>(negotiated.meta_export.size());
  header.unconsumed_length = static_cast<uint32_t>(unconsumed.size());
  const bool contexts_by_name = version > wire::handover_version_first;
  MessageWriter message;
  message.add(header);
  if (contexts_by_name) message.add(wire::u32(static_cast<uint32_t>(negotiated.contexts.size())));
  message.add_text(negotiated.default_export);
  message.add_text(negotiated.meta_export);
  if (contexts_by_name)
    for (const std::string& context : negotiated.contexts) message.add_counted(context);
  message.add_bytes(unconsumed);
  return message.finish();
}

std::optional<ConnectionTransfer> decode_transfer(std::span<const std::byte> bytes) {
  MessageReader message(bytes);
  const auto header = message.take<wire::HandoverHeader>();
  if (!header || header->magic != wire::handover_magic) return std::nullopt;
  if (header->version < wire::handover_version_first || header->version > wire::handover_version) return std::nullopt;
  std::optional<wire::u32> context_count = wire::u32(0);
  if (header->version > wire::handover_version_first) context_count = message.take<wire::u32>();
  if (!context_count || *context_count > contexts_selected_max) return std::nullopt;
  if (header->default_export_length > name_length_max || header->meta_export_length > name_length_max)
    return std::nullopt;
  auto default_export = message.take_text(header->default_export_length);
  auto meta_export = message.take_text(header->meta_export_length);
  if (!default_export || !meta_export) return std::nullopt;
  auto contexts = message.take_strings(*context_count, context_name_max);
  const auto unconsumed = message.rest();
  if (!contexts || unconsumed.size() != header->unconsumed_length || unconsumed.size() > handshake_buffer_max)
    return std::nullopt;

  ConnectionTransfer transfer;
  transfer.from_other_process = true;
  transfer.negotiated = negotiated_of(*header);
  transfer.negotiated.default_export = std::move(*default_export);
  transfer.negotiated.meta_export = std::move(*meta_export);
  if (!contexts->empty()) transfer.negotiated.contexts = std::move(*contexts);
  transfer.unconsumed.assign(unconsumed.begin(), unconsumed.end());
  return transfer;
}

}  // namespace cairn::nbd
