#include "nbd/commands/command.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules&, const wire::RequestHeader& header) {
  if (header.offset != 0 || header.length != 0) return {EINVAL, "a flush has no offset and no length"};
  return {};
}

Task<Status> run(BlockDevice& device, Request&) { return device.flush(); }

}  // namespace

const CommandRow flush_command{
    .type = wire::command_flush,
    .flags_allowed = 0,
    .payload = PayloadDirection::none,
    .check = check,
    .buffer_length = no_buffer,
    .run = run,
};

}  // namespace cairn::nbd
