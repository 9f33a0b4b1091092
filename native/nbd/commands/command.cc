#include "nbd/commands/command.h"

#include <array>

namespace cairn::nbd {
namespace {

constexpr std::array<const CommandRow*, 8> table = {
    &read_command,         &write_command,        nullptr, &flush_command, &trim_command, nullptr,
    &write_zeroes_command, &block_status_command,
};

}  // namespace

const CommandRow* find_command(uint16_t type) { return type < table.size() ? table[type] : nullptr; }

Refusal check_request(const RequestRules& rules, const CommandRow* command, const wire::RequestHeader& header) {
  if (command == nullptr) return {EINVAL, "unknown command"};
  if (rules.closing) return {ESHUTDOWN, "the export is being closed"};
  if ((header.flags & ~(command->flags_allowed | wire::command_flag_fua)) != 0)
    return {EINVAL, "flag not valid for this command"};
  return command->check(rules, header);
}

Refusal check_range(const RequestRules& rules, const wire::RequestHeader& header, int beyond_end) {
  const uint64_t offset = header.offset;
  const uint64_t length = header.length;
  const uint32_t block = rules.geometry.logical_block_size;
  if (length == 0) return {EINVAL, "the length is zero"};
  if (offset % block != 0 || length % block != 0) return {EINVAL, "not aligned to the minimum block size"};
  if (offset > rules.geometry.size || length > rules.geometry.size - offset)
    return {beyond_end, "beyond the end of the export"};
  return {};
}

Refusal check_payload_length(const RequestRules& rules, const wire::RequestHeader& header) {
  if (header.length > rules.length_max) return {EINVAL, "longer than the maximum block size"};
  return {};
}

Refusal check_writable(const RequestRules& rules) {
  if (rules.geometry.read_only) return {EPERM, "the export is read-only"};
  return {};
}

}  // namespace cairn::nbd
