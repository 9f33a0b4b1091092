// The message that carries a connection between processes: any bytes are refused or are exactly what was encoded.
#include <algorithm>

#include "base/assert.h"
#include "nbd/connection_transfer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::nbd;
  const auto message = std::as_bytes(std::span(data, size));
  const std::optional<ConnectionTransfer> transfer = decode_transfer(message);
  if (!transfer) return 0;
  const auto again = decode_transfer(encode_transfer(transfer->negotiated, transfer->unconsumed));
  CAIRN_ASSERT(again.has_value() && again->negotiated == transfer->negotiated);
  CAIRN_ASSERT(again->unconsumed == transfer->unconsumed);
  return 0;
}
