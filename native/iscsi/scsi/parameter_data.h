// Parameter data as they are written: what a command gives back beside the medium's data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/byte_order.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {

/// Bytes that are appended, integers big-endian. Commands that use it are rare, and may allocate.
class ParameterData {
 public:
  size_t size() const { return bytes_.size(); }
  uint8_t& operator[](size_t at) { return bytes_[at]; }

  void put8(uint8_t value) { bytes_.push_back(value); }
  void put16(uint16_t value) { store_be16(&bytes_[grow(sizeof value)], value); }
  void put32(uint32_t value) { store_be32(&bytes_[grow(sizeof value)], value); }
  void put64(uint64_t value) { store_be64(&bytes_[grow(sizeof value)], value); }
  void put_zeros(size_t count) { grow(count); }
  void put(std::span<const uint8_t> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  /// ASCII, filled up with spaces.
  void put_text(std::string_view text, size_t width);
  /// As many bytes of zeros, to be written by the caller before anything else is appended.
  std::span<uint8_t> append(size_t count) {
    const size_t at = grow(count);
    return std::span(bytes_).subspan(at);
  }

  /// How many bytes follow a field, written into it.
  void set_length16(size_t at) { store_be16(&bytes_[at], static_cast<uint16_t>(size() - at - 2)); }
  void set_length32(size_t at) { store_be32(&bytes_[at], static_cast<uint32_t>(size() - at - 4)); }

  /// GOOD, with as much of them as there is room for.
  Outcome give(std::span<std::byte> room) const;

 private:
  size_t grow(size_t count);

  std::vector<uint8_t> bytes_;
};

}  // namespace cairn::scsi
