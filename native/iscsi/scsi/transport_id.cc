#include "iscsi/scsi/transport_id.h"

#include <algorithm>

namespace cairn::scsi {
namespace {

constexpr uint8_t iscsi_protocol = 0x05;
constexpr uint8_t format_port = 0x40;
constexpr uint8_t format_mask = 0xc0;
constexpr size_t header_length = 4;
constexpr size_t additional_min = 20;
constexpr size_t name_max = 256;
constexpr const char* port_separator = ",i,0x";

}  // namespace

void put_transport_id(ParameterData& data, const std::string& port) {
  const size_t padded = std::max<size_t>((port.size() + 1 + 3) & ~size_t{3}, additional_min);
  data.put8(format_port | iscsi_protocol);
  data.put8(0);
  data.put16(static_cast<uint16_t>(padded));
  std::ranges::copy(port, data.append(padded).begin());
}

std::optional<TransportId> take_transport_id(std::span<const std::byte> bytes) {
  if (bytes.size() < header_length) return std::nullopt;
  const auto kind = static_cast<uint8_t>(bytes[0]);
  const size_t additional = load_be16(&bytes[2]);
  const bool is_port = (kind & format_mask) == format_port;
  if ((kind & 0x0f) != iscsi_protocol || (!is_port && (kind & format_mask) != 0)) return std::nullopt;
  if (additional < additional_min || additional % 4 != 0 || additional > bytes.size() - header_length)
    return std::nullopt;
  const auto* text = reinterpret_cast<const char*>(&bytes[header_length]);
  std::string name(text, std::find(text, text + additional, '\0'));
  // Names have no large letters (RFC 7143 section 4.2.7), and the digits of an ISID are compared as if they had none.
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const bool is_printable = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; });
  if (name.empty() || name.size() > name_max || name.size() == additional || !is_printable) return std::nullopt;
  if (is_port != (name.find(port_separator) != std::string::npos)) return std::nullopt;
  return TransportId{name, is_port, header_length + additional};
}

}  // namespace cairn::scsi
