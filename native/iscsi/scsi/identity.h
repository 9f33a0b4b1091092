#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::scsi {

/// What every volume says of its maker: ASCII, filled up with spaces to their widths (SPC-4 section 6.6.2).
inline constexpr std::string_view vendor = "CAIRN";
inline constexpr size_t vendor_width = 8;
inline constexpr std::string_view product = "VOLUME";
inline constexpr size_t product_width = 16;
/// Of what a volume says and does as a SCSI device. The same on every node of a cluster, whatever release it runs.
inline constexpr std::string_view revision = "1";
inline constexpr size_t revision_width = 4;

/// What tells a logical unit from every other one, derived from the volume's UUID alone: the same on every node, over
/// restarts and restores, so that multipath software recognises paths to one volume.
struct Identity {
  std::array<uint8_t, 16> uuid{};  // of the volume
  std::string target_name;         // the iSCSI name of its target
  std::string volume_name;         // for people

  /// 32 hexadecimal digits, for VPD page 80h.
  std::string serial() const;
  /// NAA "locally assigned" (3h): its first four bits, and 60 bits of a hash of the UUID (SPC-4 7.8.6.6.4).
  std::array<uint8_t, 8> naa() const;
  /// The SCSI name of its target port (RFC 7143 section 4.4.2).
  std::string target_port_name() const;
};

}  // namespace cairn::scsi
