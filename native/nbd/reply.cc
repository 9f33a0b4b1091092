#include "nbd/reply.h"

#include <cstring>

#include "nbd/commands/command.h"
#include "nbd/errors.h"
#include "nbd/options/meta_context.h"

namespace cairn::nbd {
namespace {

template <typename Head>
void set_head(Request& request, const Head& head) {
  static_assert(sizeof(Head) <= sizeof request.head);
  std::memcpy(request.head.data(), &head, sizeof head);
  request.head_length = sizeof head;
}

void write_simple(Request& request, wire::ErrorNumber error) {
  wire::SimpleReply reply;
  reply.error = error;
  reply.cookie = request.cookie;
  set_head(request, reply);
}

/// Every reply of this server has one chunk.
wire::StructuredReply only_chunk(const Request& request, wire::ReplyType type, size_t length) {
  wire::StructuredReply chunk;
  chunk.flags = wire::reply_flag_done;
  chunk.type = type;
  chunk.cookie = request.cookie;
  chunk.length = static_cast<uint32_t>(length);
  return chunk;
}

void write_error_chunk(Request& request, wire::ErrorNumber error, std::string_view message) {
  wire::ErrorReply reply;
  reply.header = only_chunk(request, wire::reply_type_error, sizeof reply - sizeof reply.header + message.size());
  reply.error = error;
  reply.message_length = static_cast<uint16_t>(message.size());
  set_head(request, reply);
  request.payload = std::as_bytes(std::span(message));
}

void write_data_chunk(Request& request) {
  wire::OffsetDataReply reply;
  reply.header = only_chunk(request, wire::reply_type_offset_data, sizeof reply.offset + request.payload.size());
  reply.offset = request.offset;
  set_head(request, reply);
}

void write_block_status_chunk(Request& request) {
  wire::BlockStatusReply reply;
  reply.header = only_chunk(request, wire::reply_type_block_status, sizeof reply.context + request.payload.size());
  reply.context = base_allocation_id;
  set_head(request, reply);
}

}  // namespace

void write_reply(Request& request, bool structured_replies, Status status, std::string_view message) {
  if (!status.ok()) {
    request.payload = {};
    const wire::ErrorNumber error = error_number(status.error());
    return structured_replies ? write_error_chunk(request, error, message) : write_simple(request, error);
  }
  // A success without payload is a simple reply in either case: shorter, and the protocol allows it.
  if (!structured_replies || request.payload.empty()) return write_simple(request, wire::error_none);
  if (request.command == &block_status_command) return write_block_status_chunk(request);
  write_data_chunk(request);
}

}  // namespace cairn::nbd
