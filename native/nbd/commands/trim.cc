#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const RequestFields& fields) {
  if (const Refusal refusal = check_writable(rules); refusal.error != 0) return refusal;
  if (!rules.geometry.can_trim) return {EINVAL, "the export does not offer trim"};
  return check_range(rules, fields, EINVAL);
}

Task<Status> run(BlockDevice& device, const RequestRules&, Request& request) {
  return device.trim(request.fields.offset, request.fields.length, durability_of(request));
}

}  // namespace

const CommandRow trim_command{
    .type = wire::command_trim,
    .flags_allowed = 0,
    .client_payload = ClientPayload::none,
    .check = check,
    .buffer_length = no_buffer,
    .run = run,
};

}  // namespace cairn::nbd
