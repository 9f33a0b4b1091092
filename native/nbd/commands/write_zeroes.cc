#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const RequestFields& fields) {
  if (const Refusal refusal = check_writable(rules); refusal.error != 0) return refusal;
  if (!rules.geometry.can_write_zeroes) return {EINVAL, "the export does not offer write zeroes"};
  if (fields.has(wire::command_flag_fast_zero) && fields.has(wire::command_flag_no_hole) && !rules.geometry.fast_zeroes)
    return {ENOTSUP, "zeroes that keep their space are not fast here"};
  return check_range(rules, fields, ENOSPC);
}

Task<Status> run(BlockDevice& device, const RequestRules&, Request& request) {
  const ZeroMode mode = request.has(wire::command_flag_no_hole) ? ZeroMode::keep_space : ZeroMode::may_unmap;
  return device.write_zeroes(request.fields.offset, request.fields.length, mode, durability_of(request));
}

}  // namespace

const CommandRow write_zeroes_command{
    .type = wire::command_write_zeroes,
    .flags_allowed = wire::command_flag_no_hole | wire::command_flag_fast_zero,
    .client_payload = ClientPayload::none,
    .check = check,
    .buffer_length = no_buffer,
    .run = run,
};

}  // namespace cairn::nbd
