#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const RequestFields& fields) {
  if (const Refusal refusal = check_writable(rules); refusal.error != 0) return refusal;
  if (const Refusal refusal = check_payload_length(rules, fields); refusal.error != 0) return refusal;
  return check_range(rules, fields, ENOSPC);
}

Task<Status> run(BlockDevice& device, const RequestRules&, Request& request) {
  return device.write(request.fields.offset, request.buffer.first(request.fields.length), durability_of(request));
}

}  // namespace

const CommandRow write_command{
    .type = wire::command_write,
    .flags_allowed = 0,
    .client_payload = ClientPayload::required,
    .check = check,
    .buffer_length = buffer_of_length,
    .run = run,
};

}  // namespace cairn::nbd
