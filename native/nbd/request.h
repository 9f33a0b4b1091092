#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "aio/buffer_pool.h"
#include "base/intrusive_list.h"
#include "nbd/wire.h"

namespace cairn::nbd {

struct CommandRow;

/// One request from its header to its reply. Requests are reused: a steady load allocates none.
struct Request : ListLink {
  const CommandRow* command = nullptr;
  uint16_t flags = 0;
  uint64_t cookie = 0;
  uint64_t offset = 0;
  uint32_t length = 0;

  IoBuffer buffer;         // payload, in either direction
  size_t buffer_held = 0;  // bytes of it, for the connection's account

  std::array<std::byte, sizeof(wire::OffsetDataReply)> head;  // the reply: this ...
  size_t head_length = 0;
  std::span<const std::byte> payload;  // ... and then this

  bool has(wire::CommandFlag flag) const { return (flags & flag) != 0; }
  size_t reply_length() const { return head_length + payload.size(); }
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
