#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "aio/buffer_pool.h"
#include "base/intrusive_list.h"
#include "block/block_device.h"
#include "nbd/wire.h"

namespace cairn::nbd {

struct CommandRow;

/// A request's header, whichever of its two forms it came in.
struct RequestFields {
  uint16_t flags = 0;
  uint16_t type = 0;
  uint64_t cookie = 0;
  uint64_t offset = 0;
  uint64_t length = 0;  // of its effect, or of the payload that follows

  bool has(wire::CommandFlag flag) const { return (flags & flag) != 0; }
};

/// One request from its header to its reply. Requests are reused, with the memory of their vectors: a steady load
/// allocates nothing.
struct Request : ListLink {
  const CommandRow* command = nullptr;
  RequestFields fields;

  IoBuffer buffer;         // payload, in either direction
  size_t buffer_held = 0;  // bytes of it, for the connection's account

  // The reply is a head and a payload, or, where there are any, chunks.
  std::array<std::byte, sizeof(wire::ExtendedReply) + sizeof(wire::u64)> head;
  size_t head_length = 0;
  std::span<const std::byte> payload;
  std::vector<std::byte> chunk_heads;
  std::vector<iovec> chunks;
  size_t chunks_length = 0;

  std::vector<Extent> extents;  // what the device says while the reply is made

  bool has(wire::CommandFlag flag) const { return fields.has(flag); }
  size_t send_length() const { return chunks.empty() ? head_length + payload.size() : chunks_length; }
  size_t send_pieces() const { return chunks.empty() ? 2 : chunks.size(); }
  template <typename Visit>
  void for_each_piece(Visit visit) const {
    if (chunks.empty()) [[likely]] {
      visit(head.data(), head_length);
      if (!payload.empty()) visit(payload.data(), payload.size());
    } else {
      for (const iovec& chunk : chunks) visit(chunk.iov_base, chunk.iov_len);
    }
  }
  void drop_chunks() {
    chunk_heads.clear();
    chunks.clear();
    chunks_length = 0;
  }
};

/// Requests of one reactor that are not in use.
class RequestPool {
 public:
  RequestPool() = default;
  ~RequestPool();
  Request* take();
  /// Its buffer has been given back.
  void put_back(Request* request);

 private:
  IntrusiveList<Request> free_;
  size_t free_count_ = 0;
};

}  // namespace cairn::nbd
