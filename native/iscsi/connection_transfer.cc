#include "iscsi/connection_transfer.h"

#include "frontend/message_bytes.h"

namespace cairn::iscsi {
namespace {

constexpr uint32_t handover_magic = 0x43414e49;  // "CANI"
constexpr uint16_t handover_version = 1;

/// Followed by the text of the first login request, and the unconsumed bytes.
struct HandoverHeader {
  wire::u32 magic = handover_magic;
  wire::u16 version = handover_version;
  wire::u16 reserved;
  wire::u32 status_sn;
  wire::u32 text_length;
  wire::u32 unconsumed_length;
  wire::LoginRequest request;
};
static_assert(sizeof(HandoverHeader) == 20 + wire::header_size);

}  // namespace

std::vector<std::byte> encode_transfer(const ConnectionTransfer& transfer) {
  HandoverHeader header;
  header.status_sn = transfer.status_sn;
  header.text_length = static_cast<uint32_t>(transfer.text.size());
  header.unconsumed_length = static_cast<uint32_t>(transfer.unconsumed.size());
  header.request = transfer.request;
  MessageWriter message;
  message.add(header);
  message.add_bytes(transfer.text);
  message.add_bytes(transfer.unconsumed);
  return message.finish();
}

std::optional<ConnectionTransfer> decode_transfer(std::span<const std::byte> bytes) {
  MessageReader message(bytes);
  const auto header = message.take<HandoverHeader>();
  if (!header || header->magic != handover_magic || header->version != handover_version) return std::nullopt;
  const std::span<const std::byte> rest = message.rest();
  if (rest.size() != uint64_t{header->text_length} + header->unconsumed_length) return std::nullopt;
  const auto text = rest.first(header->text_length);
  const auto unconsumed = rest.subspan(header->text_length);
  ConnectionTransfer transfer;
  transfer.request = header->request;
  transfer.text.assign(text.begin(), text.end());
  transfer.unconsumed.assign(unconsumed.begin(), unconsumed.end());
  transfer.status_sn = header->status_sn;
  transfer.from_other_process = true;
  return transfer;
}

}  // namespace cairn::iscsi
