#include "nbd/commands/command.h"

#include <array>

namespace cairn::nbd {
namespace {

constexpr std::array<const CommandRow*, 8> table = {
    &read_command,         &write_command,        nullptr, &flush_command, &trim_command, &cache_command,
    &write_zeroes_command, &block_status_command,
};

Refusal check_flags(const RequestRules& rules, const CommandRow& command, const RequestFields& fields) {
  unsigned allowed = unsigned{command.flags_allowed} | wire::command_flag_fua;
  if (rules.extended_headers && command.client_payload != ClientPayload::none)
    allowed |= wire::command_flag_payload_length;
  if ((fields.flags & ~allowed) != 0) return {EINVAL, "flag not valid for this command"};
  const bool payload_missing = rules.extended_headers && command.client_payload == ClientPayload::required &&
                               !fields.has(wire::command_flag_payload_length);
  if (payload_missing) return {EINVAL, "this command needs the flag PAYLOAD_LEN"};
  return {};
}

}  // namespace

const CommandRow* find_command(uint16_t type) { return type < table.size() ? table[type] : nullptr; }

Refusal check_request(const RequestRules& rules, const CommandRow* command, const RequestFields& fields) {
  if (command == nullptr) return {EINVAL, "unknown command"};
  if (rules.closing) return {ESHUTDOWN, "the export is being closed"};
  if (const Refusal refusal = check_flags(rules, *command, fields); refusal.error != 0) return refusal;
  return command->check(rules, fields);
}

uint64_t payload_length(const RequestRules& rules, const RequestFields& fields) {
  const bool payload =
      rules.extended_headers ? fields.has(wire::command_flag_payload_length) : fields.type == wire::command_write;
  return payload ? fields.length : 0;
}

Refusal check_range(const RequestRules& rules, const RequestFields& fields, int beyond_end) {
  const uint64_t offset = fields.offset;
  const uint64_t length = fields.length;
  const uint32_t block = rules.geometry.logical_block_size;
  if (length == 0) return {EINVAL, "the length is zero"};
  if (offset % block != 0 || length % block != 0) return {EINVAL, "not aligned to the minimum block size"};
  if (offset > rules.geometry.size || length > rules.geometry.size - offset)
    return {beyond_end, "beyond the end of the export"};
  return {};
}

Refusal check_payload_length(const RequestRules& rules, const RequestFields& fields) {
  if (fields.length > rules.length_max) return {EINVAL, "longer than the maximum block size"};
  return {};
}

Refusal check_writable(const RequestRules& rules) {
  if (rules.geometry.read_only) return {EPERM, "the export is read-only"};
  return {};
}

}  // namespace cairn::nbd
