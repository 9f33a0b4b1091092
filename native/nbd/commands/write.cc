#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const wire::RequestHeader& header) {
  if (const Refusal refusal = check_writable(rules); refusal.error != 0) return refusal;
  if (const Refusal refusal = check_payload_length(rules, header); refusal.error != 0) return refusal;
  return check_range(rules, header, ENOSPC);
}

Task<Status> run(BlockDevice& device, Request& request) {
  return device.write(request.offset, request.buffer.first(request.length), durability_of(request));
}

}  // namespace

const CommandRow write_command{
    .type = wire::command_write,
    .flags_allowed = 0,
    .payload = PayloadDirection::from_client,
    .check = check,
    .buffer_length = buffer_of_length,
    .run = run,
};

}  // namespace cairn::nbd
