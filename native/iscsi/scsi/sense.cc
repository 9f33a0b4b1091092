#include "iscsi/scsi/sense.h"

#include <algorithm>
#include <cstring>

#include "base/byte_order.h"

namespace cairn::scsi {
namespace {

constexpr size_t fixed_length = 18;
constexpr uint8_t fixed_current = 0x70;
constexpr uint8_t descriptor_current = 0x72;
constexpr uint8_t valid_bit = 0x80;

/// The three sense-key specific bytes.
void write_field_pointer(const FieldPointer& field, uint8_t* out) {
  out[0] = 0x80 | (field.in_cdb ? 0x40 : 0) | (field.bit >= 0 ? 0x08 | field.bit : 0);
  store_be16(out + 1, field.byte);
}

size_t write_fixed(const Sense& sense, uint8_t* out) {
  out[0] = fixed_current;
  if (sense.information && *sense.information <= UINT32_MAX) {
    out[0] |= valid_bit;
    store_be32(out + 3, static_cast<uint32_t>(*sense.information));
  }
  out[2] = static_cast<uint8_t>(sense.key);
  out[7] = fixed_length - 8;
  store_be16(out + 12, static_cast<uint16_t>(sense.code));
  if (sense.field) write_field_pointer(*sense.field, out + 15);
  return fixed_length;
}

size_t write_descriptors(const Sense& sense, uint8_t* out) {
  size_t at = 8;
  if (sense.information) {  // type 00h
    out[at + 1] = 0x0a;
    out[at + 2] = valid_bit;
    store_be64(out + at + 4, *sense.information);
    at += 12;
  }
  if (sense.field) {  // type 02h
    out[at] = 0x02;
    out[at + 1] = 0x06;
    write_field_pointer(*sense.field, out + at + 4);
    at += 8;
  }
  out[0] = descriptor_current;
  out[1] = static_cast<uint8_t>(sense.key);
  store_be16(out + 2, static_cast<uint16_t>(sense.code));
  out[7] = static_cast<uint8_t>(at - 8);
  return at;
}

Outcome with_field(SenseCode code, FieldPointer field) {
  Outcome outcome = illegal_request(code);
  outcome.sense.field = field;
  return outcome;
}

Outcome failed(int error, Access access) {
  switch (error) {
    case EPERM:
    case EROFS:
    case EACCES:
      return check_condition(SenseKey::data_protect, SenseCode::write_protected);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return check_condition(SenseKey::data_protect, SenseCode::space_allocation_failed);
    case ESHUTDOWN:
      return check_condition(SenseKey::not_ready, SenseCode::not_ready_cause_not_reportable);
    case ENOMEM:
      return {StatusCode::busy, {}, 0};
    case ENOTSUP:
    case EINVAL:
      return check_condition(SenseKey::hardware_error, SenseCode::internal_target_failure);
    default:
      return check_condition(SenseKey::medium_error,
                             access == Access::reading ? SenseCode::unrecovered_read_error : SenseCode::write_error);
  }
}

}  // namespace

size_t write_sense(const Sense& sense, SenseFormat format, std::span<std::byte, sense_length_max> out) {
  std::memset(out.data(), 0, out.size());
  auto* bytes = reinterpret_cast<uint8_t*>(out.data());
  return format == SenseFormat::fixed ? write_fixed(sense, bytes) : write_descriptors(sense, bytes);
}

Outcome invalid_field(uint16_t byte, int8_t bit) {
  return with_field(SenseCode::invalid_field_in_cdb, {.in_cdb = true, .byte = byte, .bit = bit});
}

Outcome invalid_parameter(uint16_t byte, int8_t bit) {
  return with_field(SenseCode::invalid_field_in_parameter_list, {.in_cdb = false, .byte = byte, .bit = bit});
}

Outcome miscompare(uint64_t offset) {
  Outcome outcome = check_condition(SenseKey::miscompare, SenseCode::miscompare_during_verify);
  outcome.sense.information = offset;
  return outcome;
}

Outcome wrong_data_length() { return illegal_request(SenseCode::invalid_field_in_cdb); }

Outcome outcome_of(Status status, Access access, size_t data_in_length) {
  return status.ok() ? good(data_in_length) : failed(status.error(), access);
}

}  // namespace cairn::scsi
