#include "nbd/handover_socket.h"

namespace cairn::nbd {

Result<HandoverMessage> receive_handover_message(int connection) {
  Result<HandoverPacket> received = receive_packet(connection);
  if (!received.ok()) return received.error();
  HandoverPacket& packet = received.value();
  if (std::optional<DescriptionQuestion> question = decode_question(packet.message)) return HandoverMessage(*question);
  std::optional<ConnectionTransfer> transfer = decode_transfer(packet.message);
  if (!transfer || !packet.descriptor.valid()) return Error{"EPROTO", "a hand-over message could not be read"};
  transfer->socket = std::move(packet.descriptor);
  return HandoverMessage(std::move(*transfer));
}

}  // namespace cairn::nbd
