// One command, one handler, one table. A row says what a request of its type may carry, what refuses it, and what it
// does to the device.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "aio/task.h"
#include "block/block_device.h"
#include "nbd/metadata_contexts.h"
#include "nbd/request.h"
#include "nbd/wire.h"

namespace cairn::nbd {

/// What a session's requests are judged and answered by.
struct RequestRules {
  Geometry geometry;
  bool structured_replies = false;
  bool extended_headers = false;  // with structured replies
  std::vector<SelectedContext> contexts;
  uint32_t length_max = 0;  // of a payload
  bool closing = false;     // everything is answered ESHUTDOWN
};

/// Why a request is answered with an error without reaching the device; `error` 0: it is not.
struct Refusal {
  int error = 0;
  std::string_view message;
};

/// What a client sends behind the header. With extended headers a flag says whether it does.
enum class ClientPayload : uint8_t { none, optional, required };

struct CommandRow {
  wire::Command type;
  uint16_t flags_allowed;  // the protocol allows FUA on every command
  ClientPayload client_payload;
  Refusal (*check)(const RequestRules& rules, const RequestFields& fields);
  /// Bytes of the buffer that it needs, at most length_max; 0 for none.
  size_t (*buffer_length)(const RequestRules& rules, const RequestFields& fields);
  /// Sets the request's reply payload, or its chunks, where there are any.
  Task<Status> (*run)(BlockDevice& device, const RequestRules& rules, Request& request);
};

/// Null for a type that this server does not know. Disconnect is not among them: it has no reply.
const CommandRow* find_command(uint16_t type);

/// Judges a request by its header alone.
Refusal check_request(const RequestRules& rules, const CommandRow* command, const RequestFields& fields);
/// Bytes that follow the header, whether the request is granted or not.
uint64_t payload_length(const RequestRules& rules, const RequestFields& fields);

// What several commands check.
Refusal check_range(const RequestRules& rules, const RequestFields& fields, int beyond_end);
Refusal check_payload_length(const RequestRules& rules, const RequestFields& fields);
Refusal check_writable(const RequestRules& rules);

inline size_t no_buffer(const RequestRules&, const RequestFields&) { return 0; }
inline size_t buffer_of_length(const RequestRules&, const RequestFields& fields) { return fields.length; }
inline Durability durability_of(const Request& request) {
  return request.has(wire::command_flag_fua) ? Durability::durable : Durability::buffered;
}

extern const CommandRow read_command;
extern const CommandRow write_command;
extern const CommandRow flush_command;
extern const CommandRow trim_command;
extern const CommandRow cache_command;
extern const CommandRow write_zeroes_command;
extern const CommandRow block_status_command;

}  // namespace cairn::nbd
