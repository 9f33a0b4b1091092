#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const wire::RequestHeader& header) {
  if ((header.flags & wire::command_flag_df) != 0 && !rules.structured_replies)
    return {EINVAL, "the flag DF needs structured replies"};
  if (const Refusal refusal = check_payload_length(rules, header); refusal.error != 0) return refusal;
  return check_range(rules, header, EINVAL);
}

// Every reply has one content chunk, so the flag DF asks for nothing special.
Task<Status> run(BlockDevice& device, Request& request) {
  request.payload = request.buffer.first(request.length);
  return device.read(request.offset, request.buffer.first(request.length));
}

}  // namespace

const CommandRow read_command{
    .type = wire::command_read,
    .flags_allowed = wire::command_flag_df,
    .payload = PayloadDirection::to_client,
    .check = check,
    .buffer_length = buffer_of_length,
    .run = run,
};

}  // namespace cairn::nbd
