#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const wire::RequestHeader& header) {
  if (const Refusal refusal = check_writable(rules); refusal.error != 0) return refusal;
  if (!rules.geometry.can_write_zeroes) return {EINVAL, "the export does not offer write zeroes"};
  return check_range(rules, header, ENOSPC);
}

Task<Status> run(BlockDevice& device, Request& request) {
  const ZeroMode mode = request.has(wire::command_flag_no_hole) ? ZeroMode::keep_space : ZeroMode::may_unmap;
  return device.write_zeroes(request.offset, request.length, mode, durability_of(request));
}

}  // namespace

const CommandRow write_zeroes_command{
    .type = wire::command_write_zeroes,
    .flags_allowed = wire::command_flag_no_hole,
    .payload = PayloadDirection::none,
    .check = check,
    .buffer_length = no_buffer,
    .run = run,
};

}  // namespace cairn::nbd
