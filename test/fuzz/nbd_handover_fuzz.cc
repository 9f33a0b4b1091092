// The messages between processes: any bytes are refused, or are exactly what was encoded.
#include <algorithm>

#include "base/assert.h"
#include "nbd/connection_transfer.h"
#include "nbd/description.h"

namespace {

using namespace cairn::nbd;

void check_transfer(std::span<const std::byte> message) {
  const std::optional<ConnectionTransfer> transfer = decode_transfer(message);
  if (!transfer) return;
  const auto again = decode_transfer(encode_transfer(transfer->negotiated, transfer->unconsumed));
  CAIRN_ASSERT(again.has_value() && again->negotiated == transfer->negotiated);
  CAIRN_ASSERT(again->unconsumed == transfer->unconsumed);
}

void check_question(std::span<const std::byte> message) {
  const std::optional<DescriptionQuestion> question = decode_question(message);
  if (!question) return;
  CAIRN_ASSERT(std::ranges::equal(encode_question(*question), message));
}

void check_answer(std::span<const std::byte> message) {
  const std::optional<DescriptionAnswer> answer = decode_answer(message);
  if (!answer) return;
  const auto encoded = encode_answer(*answer);
  const auto again = decode_answer(encoded);
  CAIRN_ASSERT(encoded.size() == message.size() && again.has_value() && encode_answer(*again) == encoded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto message = std::as_bytes(std::span(data, size));
  check_transfer(message);
  check_question(message);
  check_answer(message);
  return 0;
}
