#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules&, const RequestFields& fields) {
  if (fields.offset != 0 || fields.length != 0) return {EINVAL, "a flush has no offset and no length"};
  return {};
}

Task<Status> run(BlockDevice& device, const RequestRules&, Request&) { return device.flush(); }

}  // namespace

const CommandRow flush_command{
    .type = wire::command_flush,
    .flags_allowed = 0,
    .client_payload = ClientPayload::none,
    .check = check,
    .buffer_length = no_buffer,
    .run = run,
};

}  // namespace cairn::nbd
