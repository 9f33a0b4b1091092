#include <algorithm>
#include <array>
#include <cstring>

#include "frontend/message_bytes.h"
#include "nbd/commands/command.h"
#include "nbd/limits.h"
#include "nbd/reply.h"

namespace cairn::nbd {
namespace {

constexpr size_t payload_start = sizeof(wire::BlockStatusPayload);

/// Of the payload that limits the request to some contexts.
Refusal check_payload(const RequestRules& rules, const RequestFields& fields) {
  const bool whole = fields.length > payload_start && fields.length % sizeof(wire::u32) == 0;
  if (!whole || fields.length > payload_start + rules.contexts.size() * sizeof(wire::u32))
    return {EINVAL, "the payload is no list of selected contexts"};
  return {};
}

Refusal check(const RequestRules& rules, const RequestFields& fields) {
  if (rules.contexts.empty()) return {EINVAL, "no metadata context was selected"};
  if (fields.has(wire::command_flag_payload_length)) return check_payload(rules, fields);
  return check_range(rules, fields, EINVAL);
}

size_t buffer_length(const RequestRules& rules, const RequestFields&) {
  const size_t wanted = std::min(rules.contexts.size() * block_status_context_bytes, block_status_bytes_max);
  return std::min<size_t>(wanted, rules.length_max);
}

using NamedContexts = std::array<SelectedContext, contexts_selected_max>;

/// What is asked for: everything selected, or what a payload names, each once; those are put into `named`.
std::span<const SelectedContext> take_wanted(const RequestRules& rules, Request& request, NamedContexts& named,
                                             Status& status) {
  if (!request.has(wire::command_flag_payload_length)) return rules.contexts;
  MessageReader payload(request.buffer.first(request.fields.length));
  request.fields.length = payload.take<wire::BlockStatusPayload>()->length;
  size_t count = 0;
  while (!payload.at_end()) {
    const uint32_t id = *payload.take<wire::u32>();
    const auto selected = std::ranges::find(rules.contexts, id, &SelectedContext::id);
    const auto before = std::span(named).first(count);
    const bool again = std::ranges::find(before, id, &SelectedContext::id) != before.end();
    if (selected == rules.contexts.end() || again) status = Status::from_errno(EINVAL);
    if (!status.ok()) break;
    named[count++] = *selected;  // no more than were selected, for each comes once
  }
  return std::span(named).first(count);
}

/// A range that came in a payload, against the size that the device has by now.
Status check_effect(const BlockDevice& device, RequestRules rules, const Request& request) {
  rules.geometry.size = device.geometry().size;
  return Status::from_errno(check_range(rules, request.fields, EINVAL).error);
}

uint32_t state_of(const Extent& extent, const StatusQuery& query) {
  if (query.since) return extent.changed ? uint32_t{wire::state_changed} : 0;
  return (extent.hole ? uint32_t{wire::state_hole} : 0) | (extent.zero ? uint32_t{wire::state_zero} : 0);
}

/// Extents as descriptors: neighbours of one state become one, nothing reaches beyond the request. The bytes that they
/// take.
template <typename Descriptor>
size_t write_descriptors(std::span<std::byte> into, const Request& request, const StatusQuery& query) {
  using Length = typename decltype(Descriptor::length)::Value;
  auto* descriptors = reinterpret_cast<Descriptor*>(into.data());
  size_t count = 0;
  uint64_t left = request.fields.length;
  for (const Extent& extent : request.extents) {
    if (left == 0) break;
    const uint64_t length = std::min(extent.length, left);
    const uint32_t state = state_of(extent, query);
    left -= length;
    if (count > 0 && descriptors[count - 1].flags == state) {
      descriptors[count - 1].length = static_cast<Length>(descriptors[count - 1].length + length);
      continue;
    }
    descriptors[count].length = static_cast<Length>(length);
    descriptors[count].flags = state;
    ++count;
  }
  return count * sizeof(Descriptor);
}

void add_chunk(ChunkWriter& chunks, const RequestRules& rules, const Request& request, const SelectedContext& context,
               std::span<std::byte> room, bool last) {
  if (!rules.extended_headers) {
    const wire::u32 id = context.id;
    const size_t length = write_descriptors<wire::BlockDescriptor>(room, request, *context.query);
    chunks.add(wire::reply_type_block_status, wire::bytes_of(id), room.first(length), last);
    return;
  }
  const size_t length = write_descriptors<wire::ExtendedDescriptor>(room, request, *context.query);
  wire::ExtendedStatus start;
  start.context = context.id;
  start.count = static_cast<uint32_t>(length / sizeof(wire::ExtendedDescriptor));
  chunks.add(wire::reply_type_block_status_extended, wire::bytes_of(start), room.first(length), last);
}

Task<Status> run(BlockDevice& device, const RequestRules& rules, Request& request) {
  Status status;
  const bool from_payload = request.has(wire::command_flag_payload_length);
  NamedContexts named;
  const std::span<const SelectedContext> wanted = take_wanted(rules, request, named, status);
  if (status.ok() && from_payload) status = check_effect(device, rules, request);
  const size_t room = buffer_length(rules, request.fields) / rules.contexts.size();
  const size_t extents_max = std::min(block_status_extents_max, room / sizeof(wire::ExtendedDescriptor));
  ChunkWriter chunks(request, rules);
  for (size_t i = 0; i < wanted.size() && status.ok(); ++i) {
    // What it was about is gone.
    if (!wanted[i].query) co_return Status::from_errno(EINVAL);
    request.extents.clear();
    status = co_await device.block_status(request.fields.offset, request.fields.length, *wanted[i].query,
                                          request.has(wire::command_flag_req_one) ? 1 : extents_max, request.extents);
    if (!status.ok()) break;
    CAIRN_ASSERT(!request.extents.empty() && request.extents.size() <= extents_max);
    add_chunk(chunks, rules, request, wanted[i], {request.buffer.data() + i * room, room}, i + 1 == wanted.size());
  }
  co_return status;
}

}  // namespace

const CommandRow block_status_command{
    .type = wire::command_block_status,
    .flags_allowed = wire::command_flag_req_one,
    .client_payload = ClientPayload::optional,
    .check = check,
    .buffer_length = buffer_length,
    .run = run,
};

}  // namespace cairn::nbd
