#include "iscsi/scsi/vpd/designator.h"

#include <string>

#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

enum class CodeSet : uint8_t { binary = 1, ascii = 2, utf8 = 3 };
enum class Association : uint8_t { logical_unit = 0x00, target_port = 0x10, target_device = 0x20 };
enum class Type : uint8_t {
  t10_vendor = 0x1,
  naa = 0x3,
  relative_target_port = 0x4,
  target_port_group = 0x5,
  scsi_name = 0x8,
  uuid = 0xa,
};

constexpr uint8_t protocol_iscsi = 0x50;
constexpr uint8_t protocol_valid = 0x80;  // PIV: only of what belongs to a port or a device (SPC-4 section 7.8.6.1)

void begin(ParameterData& data, CodeSet code_set, Association association, Type type, uint8_t length) {
  const bool of_unit = association == Association::logical_unit;
  data.put8(static_cast<uint8_t>(code_set) | (of_unit ? 0 : protocol_iscsi));
  data.put8((of_unit ? 0 : protocol_valid) | static_cast<uint8_t>(association) | static_cast<uint8_t>(type));
  data.put8(0);
  data.put8(length);
}

/// It ends with a zero and has a multiple of four bytes (SPC-4 section 7.8.6.11).
void put_scsi_name(ParameterData& data, Association association, const std::string& name) {
  const size_t padded = (name.size() + 4) & ~size_t{3};
  begin(data, CodeSet::utf8, association, Type::scsi_name, static_cast<uint8_t>(padded));
  data.put_text(name, name.size());
  data.put_zeros(padded - name.size());
}

}  // namespace

void put_naa(const Identity& identity, ParameterData& data) {
  const auto naa = identity.naa();
  begin(data, CodeSet::binary, Association::logical_unit, Type::naa, naa.size());
  data.put(naa);
}

void put_t10_vendor_identification(const Identity& identity, ParameterData& data) {
  const std::string serial = identity.serial();
  const size_t length = vendor_width + serial.size();
  begin(data, CodeSet::ascii, Association::logical_unit, Type::t10_vendor, static_cast<uint8_t>(length));
  data.put_text(vendor, vendor_width);
  data.put_text(serial, serial.size());
}

void put_uuid(const Identity& identity, ParameterData& data) {
  constexpr uint8_t rfc_4122 = 0x10;  // SPC-5, UUID designator format
  begin(data, CodeSet::binary, Association::logical_unit, Type::uuid, 2 + identity.uuid.size());
  data.put8(rfc_4122);
  data.put8(0);
  data.put(identity.uuid);
}

void put_relative_target_port(ParameterData& data) {
  begin(data, CodeSet::binary, Association::target_port, Type::relative_target_port, 4);
  data.put16(0);
  data.put16(relative_port);
}

void put_target_port_group(ParameterData& data) {
  begin(data, CodeSet::binary, Association::target_port, Type::target_port_group, 4);
  data.put16(0);
  data.put16(port_group);
}

void put_target_port_name(const Identity& identity, ParameterData& data) {
  put_scsi_name(data, Association::target_port, identity.target_port_name());
}

void put_target_device_name(const Identity& identity, ParameterData& data) {
  put_scsi_name(data, Association::target_device, identity.target_name);
}

}  // namespace cairn::scsi
