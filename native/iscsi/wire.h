// iSCSI's numbers and structures, as RFC 7143 section 11 defines them. The only file of this folder that swaps bytes.
// Every header segment is 48 bytes (BHS), its fields big-endian and without alignment, so that a structure can be laid
// over received bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/big_endian.h"

namespace cairn::iscsi::wire {

using u16 = BigEndian<uint16_t>;
using u32 = BigEndian<uint32_t>;
using u64 = BigEndian<uint64_t>;
using cairn::bytes_of;

inline constexpr size_t header_size = 48;
inline constexpr size_t digest_size = 4;
/// Header and data segments are padded to it (section 11.1).
inline constexpr size_t padding_unit = 4;
inline constexpr uint32_t no_tag = 0xffffffff;
inline constexpr uint8_t protocol_version = 0;

constexpr size_t padded(size_t length) { return (length + padding_unit - 1) & ~(padding_unit - 1); }

// ---- What every PDU begins with (section 11.2) ----------------------------------------------------------------------

enum Opcode : uint8_t {
  nop_out = 0x00,
  scsi_command = 0x01,
  task_request = 0x02,
  login_request = 0x03,
  text_request = 0x04,
  data_out = 0x05,
  logout_request = 0x06,
  snack_request = 0x10,

  nop_in = 0x20,
  scsi_response = 0x21,
  task_response = 0x22,
  login_response = 0x23,
  text_response = 0x24,
  data_in = 0x25,
  logout_response = 0x26,
  ready_to_transfer = 0x31,
  async_message = 0x32,
  reject = 0x3f,
};
inline constexpr uint8_t opcode_mask = 0x3f;
inline constexpr uint8_t immediate_bit = 0x40;
inline constexpr uint8_t final_bit = 0x80;

/// The length of a data segment: three bytes, big-endian.
class u24 {
 public:
  u24& operator=(uint32_t value) {
    bytes_ = {static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
    return *this;
  }
  operator uint32_t() const { return uint32_t{bytes_[0]} << 16 | uint32_t{bytes_[1]} << 8 | bytes_[2]; }

 private:
  std::array<uint8_t, 3> bytes_;
};

struct Header {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t specific[2];
  uint8_t ahs_words;  // of additional header segments, in units of four bytes
  u24 data_length;    // without padding and digest
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 sn_1;  // a request's CmdSN, a response's StatSN
  u32 sn_2;  // a request's ExpStatSN, a response's ExpCmdSN
  u32 sn_3;  // a response's MaxCmdSN
  uint8_t rest[12];

  Opcode opcode() const { return static_cast<Opcode>(opcode_byte & opcode_mask); }
  bool immediate() const { return (opcode_byte & immediate_bit) != 0; }
  bool final() const { return (flags & final_bit) != 0; }
  size_t ahs_length() const { return size_t{ahs_words} * 4; }
};
static_assert(sizeof(Header) == header_size && alignof(Header) == 1);

/// A header seen as the PDU that its opcode says it is.
template <typename Pdu>
Pdu& as(Header& header) {
  static_assert(sizeof(Pdu) == header_size && alignof(Pdu) == 1);
  return reinterpret_cast<Pdu&>(header);
}
template <typename Pdu>
const Pdu& as(const Header& header) {
  static_assert(sizeof(Pdu) == header_size && alignof(Pdu) == 1);
  return reinterpret_cast<const Pdu&>(header);
}

// ---- SCSI (sections 11.3 and 11.4) ----------------------------------------------------------------------------------

enum CommandFlag : uint8_t { command_read = 0x40, command_write = 0x20 };
inline constexpr uint8_t command_attribute_mask = 0x07;
enum TaskAttribute : uint8_t { untagged = 0, simple = 1, ordered = 2, head_of_queue = 3, aca = 4 };

struct ScsiCommand {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 expected_length;
  u32 command_sn;
  u32 expected_status_sn;
  std::array<uint8_t, 16> cdb;
};

enum ResidualFlag : uint8_t { residual_overflow = 0x04, residual_underflow = 0x02 };
enum class CommandResponse : uint8_t { completed = 0x00, target_failure = 0x01 };

struct ScsiResponse {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t response;
  uint8_t status;
  uint8_t ahs_words;
  u24 data_length;
  u64 reserved;
  u32 task_tag;
  u32 snack_tag;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  u32 expected_data_sn;
  u32 bidirectional_residual;
  u32 residual;
};

// ---- Data (sections 11.7 and 11.8) ----------------------------------------------------------------------------------

struct DataOut {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 reserved_2;
  u32 expected_status_sn;
  u32 reserved_3;
  u32 data_sn;
  u32 buffer_offset;
  u32 reserved_4;
};

enum DataInFlag : uint8_t { data_in_acknowledge = 0x40, data_in_status = 0x01 };

struct DataIn {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved;
  uint8_t status;
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  u32 data_sn;
  u32 buffer_offset;
  u32 residual;
};

struct ReadyToTransfer {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  u32 r2t_sn;
  u32 buffer_offset;
  u32 desired_length;
};

// ---- Task management (sections 11.5 and 11.6) -----------------------------------------------------------------------

inline constexpr uint8_t task_function_mask = 0x7f;
enum class TaskFunction : uint8_t {
  abort_task = 1,
  abort_task_set = 2,
  clear_aca = 3,
  clear_task_set = 4,
  logical_unit_reset = 5,
  target_warm_reset = 6,
  target_cold_reset = 7,
  task_reassign = 8,
};
enum class TaskResponseCode : uint8_t {
  complete = 0,
  no_task = 1,
  no_logical_unit = 2,
  still_allegiant = 3,
  reassignment_unsupported = 4,
  unsupported = 5,
  authorization_failed = 6,
  rejected = 255,
};

struct TaskRequest {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 referenced_tag;
  u32 command_sn;
  u32 expected_status_sn;
  u32 referenced_command_sn;
  u32 expected_data_sn;
  u64 reserved_2;
};

struct TaskResponse {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t response;
  uint8_t reserved_1;
  uint8_t ahs_words;
  u24 data_length;
  u64 reserved_2;
  u32 task_tag;
  u32 reserved_3;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  uint8_t reserved_4[12];
};

// ---- Login, text, logout (sections 11.10 to 11.15) ------------------------------------------------------------------

/// Of login and text requests and responses.
inline constexpr uint8_t continue_bit = 0x40;
/// Of login requests and responses: the same bit as final_bit.
inline constexpr uint8_t transit_bit = 0x80;

enum class Stage : uint8_t { security = 0, operational = 1, full_feature = 3 };
constexpr Stage current_stage(uint8_t flags) { return static_cast<Stage>(flags >> 2 & 3); }
constexpr Stage next_stage(uint8_t flags) { return static_cast<Stage>(flags & 3); }
constexpr uint8_t stages(Stage current, Stage next) {
  return static_cast<uint8_t>(static_cast<unsigned>(current) << 2 | static_cast<unsigned>(next));
}

using Isid = std::array<uint8_t, 6>;

struct LoginRequest {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t version_max;
  uint8_t version_min;
  uint8_t ahs_words;
  u24 data_length;
  Isid isid;
  u16 tsih;
  u32 task_tag;
  u16 connection_id;
  u16 reserved_1;
  u32 command_sn;
  u32 expected_status_sn;
  uint8_t reserved_2[16];
};

/// Class in the upper byte, detail in the lower one (section 11.13.5).
enum class LoginStatus : uint16_t {
  success = 0x0000,
  target_moved_temporarily = 0x0101,
  target_moved_permanently = 0x0102,
  initiator_error = 0x0200,
  authentication_failure = 0x0201,
  authorization_failure = 0x0202,
  target_not_found = 0x0203,
  target_removed = 0x0204,
  unsupported_version = 0x0205,
  too_many_connections = 0x0206,
  missing_parameter = 0x0207,
  cannot_include_in_session = 0x0208,
  session_type_unsupported = 0x0209,
  session_does_not_exist = 0x020a,
  invalid_during_login = 0x020b,
  target_error = 0x0300,
  service_unavailable = 0x0301,
  out_of_resources = 0x0302,
};

struct LoginResponse {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t version_max;
  uint8_t version_active;
  uint8_t ahs_words;
  u24 data_length;
  Isid isid;
  u16 tsih;
  u32 task_tag;
  u32 reserved_1;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  u16 status;  // LoginStatus
  uint8_t reserved_2[10];
};

struct TextRequest {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 command_sn;
  u32 expected_status_sn;
  uint8_t reserved_2[16];
};

struct TextResponse {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  uint8_t reserved_2[12];
};

inline constexpr uint8_t logout_reason_mask = 0x7f;
enum class LogoutReason : uint8_t { close_session = 0, close_connection = 1, remove_for_recovery = 2 };
enum class LogoutResponseCode : uint8_t { success = 0, no_connection = 1, recovery_unsupported = 2, failed = 3 };

struct LogoutRequest {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 reserved_2;
  u32 task_tag;
  u16 connection_id;
  u16 reserved_3;
  u32 command_sn;
  u32 expected_status_sn;
  uint8_t reserved_4[16];
};

struct LogoutResponse {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t response;
  uint8_t reserved_1;
  uint8_t ahs_words;
  u24 data_length;
  u64 reserved_2;
  u32 task_tag;
  u32 reserved_3;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  u32 reserved_4;
  u16 time_to_wait;    // seconds
  u16 time_to_retain;  // seconds
  u32 reserved_5;
};

// ---- The rest (sections 11.9 and 11.16 to 11.19) --------------------------------------------------------------------

enum class AsyncEvent : uint8_t {
  scsi_event = 0,
  logout_requested = 1,
  connection_dropped = 2,
  session_dropped = 3,
  negotiation_requested = 4,
  task_termination = 5,
};

struct AsyncMessage {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;  // no_tag
  u32 reserved_2;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  uint8_t event;
  uint8_t vendor_code;
  u16 parameter_1;
  u16 parameter_2;
  u16 parameter_3;
  u32 reserved_3;
};

struct NopOut {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 command_sn;
  u32 expected_status_sn;
  uint8_t reserved_2[16];
};

struct NopIn {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reserved_1[2];
  uint8_t ahs_words;
  u24 data_length;
  u64 lun;
  u32 task_tag;
  u32 transfer_tag;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  uint8_t reserved_2[12];
};

enum class RejectReason : uint8_t {
  data_digest_error = 0x02,
  snack_reject = 0x03,
  protocol_error = 0x04,
  command_unsupported = 0x05,
  too_many_immediate_commands = 0x06,
  task_in_progress = 0x07,
  invalid_data_ack = 0x08,
  invalid_pdu_field = 0x09,
  out_of_resources = 0x0a,
  waiting_for_logout = 0x0c,
};

struct Reject {
  uint8_t opcode_byte;
  uint8_t flags;
  uint8_t reason;
  uint8_t reserved_1;
  uint8_t ahs_words;
  u24 data_length;
  u64 reserved_2;
  u32 task_tag;  // no_tag
  u32 reserved_3;
  u32 status_sn;
  u32 expected_command_sn;
  u32 maximum_command_sn;
  u32 data_sn;
  u64 reserved_4;
};

static_assert(sizeof(ScsiCommand) == header_size && sizeof(ScsiResponse) == header_size);
static_assert(sizeof(DataOut) == header_size && sizeof(DataIn) == header_size);
static_assert(sizeof(ReadyToTransfer) == header_size && sizeof(AsyncMessage) == header_size);
static_assert(sizeof(TaskRequest) == header_size && sizeof(TaskResponse) == header_size);
static_assert(sizeof(LoginRequest) == header_size && sizeof(LoginResponse) == header_size);
static_assert(sizeof(TextRequest) == header_size && sizeof(TextResponse) == header_size);
static_assert(sizeof(LogoutRequest) == header_size && sizeof(LogoutResponse) == header_size);
static_assert(sizeof(NopOut) == header_size && sizeof(NopIn) == header_size && sizeof(Reject) == header_size);

}  // namespace cairn::iscsi::wire
