// One command, one handler, one table. A row says what a request of its type may carry, what refuses it, and what it
// does to the device.
#pragma once

#include <cstdint>
#include <string_view>

#include "aio/task.h"
#include "block/block_device.h"
#include "nbd/request.h"
#include "nbd/wire.h"

namespace cairn::nbd {

/// What a session's requests are judged by.
struct RequestRules {
  Geometry geometry;
  bool structured_replies = false;
  bool base_allocation = false;
  uint32_t length_max = 0;  // of a payload
  bool closing = false;     // everything is answered ESHUTDOWN
};

/// Why a request is answered with an error without reaching the device; `error` 0: it is not.
struct Refusal {
  int error = 0;
  std::string_view message;
};

enum class PayloadDirection : uint8_t { none, from_client, to_client };

struct CommandRow {
  wire::Command type;
  uint16_t flags_allowed;  // the protocol allows FUA on every command
  PayloadDirection payload;
  Refusal (*check)(const RequestRules& rules, const wire::RequestHeader& header);
  /// Bytes of the buffer that it needs, at most length_max; 0 for none.
  size_t (*buffer_length)(const wire::RequestHeader& header);
  /// Sets the request's reply payload where there is one.
  Task<Status> (*run)(BlockDevice& device, Request& request);
};

/// Null for a type that this server does not know. Disconnect is not among them: it has no reply.
const CommandRow* find_command(uint16_t type);

/// Judges a request by its header alone.
Refusal check_request(const RequestRules& rules, const CommandRow* command, const wire::RequestHeader& header);

// What several commands check.
Refusal check_range(const RequestRules& rules, const wire::RequestHeader& header, int beyond_end);
Refusal check_payload_length(const RequestRules& rules, const wire::RequestHeader& header);
Refusal check_writable(const RequestRules& rules);

inline size_t no_buffer(const wire::RequestHeader&) { return 0; }
inline size_t buffer_of_length(const wire::RequestHeader& header) { return header.length; }
inline Durability durability_of(const Request& request) {
  return request.has(wire::command_flag_fua) ? Durability::durable : Durability::buffered;
}

extern const CommandRow read_command;
extern const CommandRow write_command;
extern const CommandRow flush_command;
extern const CommandRow trim_command;
extern const CommandRow write_zeroes_command;
extern const CommandRow block_status_command;

}  // namespace cairn::nbd
