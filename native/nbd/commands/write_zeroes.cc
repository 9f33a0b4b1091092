#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const RequestFields& fields) {
  if (const Refusal refusal = check_writable(rules); refusal.error != 0) return refusal;
  if (!rules.geometry.can_write_zeroes) return {EINVAL, "the export does not offer write zeroes"};
  return check_range(rules, fields, ENOSPC);
}

Task<Status> too_slow() { co_return Status::from_errno(ENOTSUP); }

Task<Status> run(BlockDevice& device, const RequestRules&, Request& request) {
  const bool whole = request.has(wire::command_flag_no_hole);
  if (request.has(wire::command_flag_fast_zero)) {
    // Asked each time: a device may learn only from the first that its files cannot do it.
    const Geometry geometry = device.geometry();
    if (whole ? !geometry.fast_zeroes : !geometry.fast_unmap) return too_slow();
  }
  const ZeroMode mode = whole ? ZeroMode::keep_space : ZeroMode::may_unmap;
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
