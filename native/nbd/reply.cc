#include "nbd/reply.h"

#include <cstring>

#include "nbd/errors.h"
#include "nbd/limits.h"

namespace cairn::nbd {
namespace {

template <typename Structure>
size_t put(std::byte* at, const Structure& structure) {
  std::memcpy(at, &structure, sizeof structure);
  return sizeof structure;
}

struct ChunkHeader {
  wire::ReplyType type;
  size_t length;  // of what follows it
  bool last;
};

/// In the form that was negotiated; its size.
size_t put_chunk_header(std::byte* at, const RequestRules& rules, const RequestFields& fields,
                        const ChunkHeader& header) {
  const uint16_t flags = header.last ? wire::reply_flag_done : 0;
  if (!rules.extended_headers) {
    wire::StructuredReply chunk;
    chunk.flags = flags;
    chunk.type = header.type;
    chunk.cookie = fields.cookie;
    chunk.length = static_cast<uint32_t>(header.length);
    return put(at, chunk);
  }
  wire::ExtendedReply chunk;
  chunk.flags = flags;
  chunk.type = header.type;
  chunk.cookie = fields.cookie;
  chunk.offset = fields.offset;
  chunk.length = header.length;
  return put(at, chunk);
}

void write_simple(Request& request, wire::ErrorNumber error) {
  wire::SimpleReply reply;
  reply.error = error;
  reply.cookie = request.fields.cookie;
  request.head_length = put(request.head.data(), reply);
}

void write_error_chunk(Request& request, const RequestRules& rules, wire::ErrorNumber error, std::string_view message) {
  wire::ErrorReason reason;
  reason.error = error;
  reason.message_length = static_cast<uint16_t>(message.size());
  std::byte* head = request.head.data();
  const size_t start =
      put_chunk_header(head, rules, request.fields, {wire::reply_type_error, sizeof reason + message.size(), true});
  request.head_length = start + put(head + start, reason);
  request.payload = std::as_bytes(std::span(message));
}

void write_data_chunk(Request& request, const RequestRules& rules) {
  const wire::u64 offset = request.fields.offset;
  std::byte* head = request.head.data();
  const size_t start = put_chunk_header(head, rules, request.fields,
                                        {wire::reply_type_offset_data, sizeof offset + request.payload.size(), true});
  request.head_length = start + put(head + start, offset);
}

}  // namespace

void write_reply(Request& request, const RequestRules& rules, Status status, std::string_view message) {
  if (!status.ok()) {
    request.drop_chunks();
    request.payload = {};
    const wire::ErrorNumber error = error_number(status.error());
    return rules.structured_replies ? write_error_chunk(request, rules, error, message) : write_simple(request, error);
  }
  if (!request.chunks.empty()) return;
  if (rules.structured_replies && !request.payload.empty()) return write_data_chunk(request, rules);
  // A success without payload is a simple reply also with structured ones: shorter, and the protocol allows it. With
  // extended headers it does not.
  if (!rules.extended_headers) return write_simple(request, wire::error_none);
  request.head_length = put_chunk_header(request.head.data(), rules, request.fields, {wire::reply_type_none, 0, true});
}

ChunkWriter::ChunkWriter(Request& request, const RequestRules& rules) : request_(request), rules_(rules) {
  request_.drop_chunks();
  // What the chunks point to must not move.
  request_.chunk_heads.reserve(reply_chunks_max * reply_chunk_head_max);
}

void ChunkWriter::add(wire::ReplyType type, std::span<const std::byte> start, std::span<const std::byte> rest,
                      bool last) {
  std::vector<std::byte>& heads = request_.chunk_heads;
  const size_t at = heads.size();
  CAIRN_ASSERT(at + reply_chunk_head_max <= heads.capacity() && start.size() <= sizeof(wire::OffsetHole));
  heads.resize(at + reply_chunk_head_max);
  size_t length = put_chunk_header(&heads[at], rules_, request_.fields, {type, start.size() + rest.size(), last});
  std::memcpy(&heads[at + length], start.data(), start.size());
  length += start.size();
  heads.resize(at + length);
  request_.chunks.push_back({&heads[at], length});
  if (!rest.empty()) request_.chunks.push_back({const_cast<std::byte*>(rest.data()), rest.size()});
  request_.chunks_length += length + rest.size();
}

}  // namespace cairn::nbd
