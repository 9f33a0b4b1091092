#include <algorithm>
#include <cstring>

#include "nbd/commands/command.h"
#include "nbd/limits.h"
#include "nbd/options/meta_context.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const wire::RequestHeader& header) {
  if (!rules.base_allocation) return {EINVAL, "no metadata context was selected"};
  return check_range(rules, header, EINVAL);
}

size_t buffer_length(const wire::RequestHeader&) { return io_buffer_min; }

uint32_t state_of(const Extent& extent) {
  return (extent.hole ? uint32_t{wire::state_hole} : 0) | (extent.zero ? uint32_t{wire::state_zero} : 0);
}

/// Extents as descriptors in the request's buffer: neighbours of one state become one, nothing reaches beyond the
/// request.
void write_descriptors(Request& request, const std::vector<Extent>& extents) {
  auto* descriptors = reinterpret_cast<wire::BlockDescriptor*>(request.buffer.data());
  size_t count = 0;
  uint64_t left = request.length;
  for (const Extent& extent : extents) {
    if (left == 0) break;
    const auto length = static_cast<uint32_t>(std::min(extent.length, left));
    left -= length;
    if (count > 0 && descriptors[count - 1].flags == state_of(extent)) {
      descriptors[count - 1].length = descriptors[count - 1].length + length;
      continue;
    }
    descriptors[count].length = length;
    descriptors[count].flags = state_of(extent);
    ++count;
  }
  request.payload = request.buffer.first(count * sizeof(wire::BlockDescriptor));
}

Task<Status> run(BlockDevice& device, Request& request) {
  const size_t extents_max = request.has(wire::command_flag_req_one) ? 1 : block_status_extents_max;
  std::vector<Extent> extents;
  const Status status =
      co_await device.block_status(request.offset, request.length, StatusQuery{}, extents_max, extents);
  if (!status.ok()) co_return status;
  CAIRN_ASSERT(!extents.empty() && extents.size() <= extents_max);
  write_descriptors(request, extents);
  co_return status;
}

}  // namespace

const CommandRow block_status_command{
    .type = wire::command_block_status,
    .flags_allowed = wire::command_flag_req_one,
    .payload = PayloadDirection::none,
    .check = check,
    .buffer_length = buffer_length,
    .run = run,
};

}  // namespace cairn::nbd
