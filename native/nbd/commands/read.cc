#include <algorithm>

#include "nbd/commands/command.h"
#include "nbd/limits.h"
#include "nbd/reply.h"

namespace cairn::nbd {
namespace {

Refusal check(const RequestRules& rules, const RequestFields& fields) {
  if (fields.has(wire::command_flag_df) && !rules.structured_replies)
    return {EINVAL, "the flag DF needs structured replies"};
  if (const Refusal refusal = check_payload_length(rules, fields); refusal.error != 0) return refusal;
  return check_range(rules, fields, EINVAL);
}

/// Extents become runs of zeros that are worth leaving out, and data between them; all together as long as the request.
void make_runs(std::vector<Extent>& extents, uint64_t length) {
  size_t count = 0;
  uint64_t left = length;
  for (const Extent& extent : extents) {
    if (left == 0) break;
    const uint64_t run = std::min(extent.length, left);
    const bool zero = extent.zero && run >= sparse_run_min;
    left -= run;
    if (count > 0 && extents[count - 1].zero == zero) {
      extents[count - 1].length += run;
    } else {
      extents[count++] = {run, false, zero};
    }
  }
  extents.resize(count);
  if (left == 0) return;
  // The device told less than it was asked for: the rest is data.
  if (count > 0 && !extents.back().zero) {
    extents.back().length += left;
  } else {
    extents.push_back({left, false, false});
  }
}

void add_data(ChunkWriter& chunks, const Request& request, uint64_t at, uint64_t length, bool last) {
  const wire::u64 offset = request.fields.offset + at;
  chunks.add(wire::reply_type_offset_data, wire::bytes_of(offset),
             request.buffer.first(request.fields.length).subspan(at, length), last);
}

void add_hole(ChunkWriter& chunks, const Request& request, uint64_t at, uint64_t length, bool last) {
  wire::OffsetHole hole;
  hole.offset = request.fields.offset + at;
  hole.length = static_cast<uint32_t>(length);
  chunks.add(wire::reply_type_offset_hole, wire::bytes_of(hole), {}, last);
}

void write_runs(const RequestRules& rules, Request& request) {
  ChunkWriter chunks(request, rules);
  uint64_t at = 0;
  for (const Extent& run : request.extents) {
    const bool last = at + run.length == request.fields.length;
    if (run.zero) {
      add_hole(chunks, request, at, run.length, last);
    } else {
      add_data(chunks, request, at, run.length, last);
    }
    at += run.length;
  }
}

/// Runs of zeros are left out of the reply. A write that comes between the question and the read may be in the data and
/// not in the holes: it is in flight with this read, so that both are allowed.
Task<Status> read_sparsely(BlockDevice& device, const RequestRules& rules, Request& request) {
  const uint64_t length = request.fields.length;
  request.extents.clear();
  const Status known = co_await device.block_status(request.fields.offset, length, StatusQuery{.for_read = true},
                                                    sparse_runs_max - 1, request.extents);
  if (!known.ok()) request.extents.clear();
  make_runs(request.extents, length);
  const bool holes = std::ranges::any_of(request.extents, &Extent::zero);
  const bool data = request.extents.size() > 1 || !holes;
  request.payload = request.buffer.first(length);
  Status status;
  if (data) status = co_await device.read(request.fields.offset, request.buffer.first(length));
  if (status.ok() && holes) write_runs(rules, request);
  co_return status;
}

Task<Status> run(BlockDevice& device, const RequestRules& rules, Request& request) {
  const bool may_split = rules.structured_replies && !request.has(wire::command_flag_df);
  if (may_split && request.fields.length >= sparse_read_min) return read_sparsely(device, rules, request);
  request.payload = request.buffer.first(request.fields.length);
  return device.read(request.fields.offset, request.buffer.first(request.fields.length));
}

}  // namespace

const CommandRow read_command{
    .type = wire::command_read,
    .flags_allowed = wire::command_flag_df,
    .client_payload = ClientPayload::none,
    .check = check,
    .buffer_length = buffer_of_length,
    .run = run,
};

}  // namespace cairn::nbd
