// NBD_CMD_CACHE: reads the start of the range and drops what it read, so that it is in whatever cache lies below, and a
// block that cannot be read is found now.
#include <algorithm>

#include "nbd/commands/command.h"
#include "nbd/limits.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const RequestFields& fields) { return check_range(rules, fields, EINVAL); }

size_t buffer_length(const RequestRules& rules, const RequestFields& fields) {
  return std::min<uint64_t>({fields.length, cache_piece, rules.length_max});
}

Task<Status> run(BlockDevice& device, const RequestRules& rules, Request& request) {
  const size_t piece_max = buffer_length(rules, request.fields);
  const uint64_t end = request.fields.offset + std::min(request.fields.length, cache_bytes_max);
  Status status;
  for (uint64_t at = request.fields.offset; at < end && status.ok(); at += piece_max)
    status = co_await device.read(at, request.buffer.first(std::min<uint64_t>(piece_max, end - at)));
  co_return status;
}

}  // namespace

const CommandRow cache_command{
    .type = wire::command_cache,
    .flags_allowed = 0,
    .client_payload = ClientPayload::none,
    .check = check,
    .buffer_length = buffer_length,
    .run = run,
};

}  // namespace cairn::nbd
