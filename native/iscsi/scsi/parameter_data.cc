#include "iscsi/scsi/parameter_data.h"

#include <algorithm>
#include <cstring>

namespace cairn::scsi {

void ParameterData::put_text(std::string_view text, size_t width) {
  const size_t at = grow(width);
  std::fill_n(&bytes_[at], width, ' ');
  std::copy_n(text.data(), std::min(text.size(), width), &bytes_[at]);
}

size_t ParameterData::grow(size_t count) {
  const size_t at = bytes_.size();
  bytes_.resize(at + count);
  return at;
}

Outcome ParameterData::give(std::span<std::byte> room) const {
  const size_t given = std::min(room.size(), bytes_.size());
  if (given > 0) std::memcpy(room.data(), bytes_.data(), given);
  return good(given);
}

}  // namespace cairn::scsi
