#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

constexpr size_t page_length = 0x3c;
constexpr uint16_t not_rotating = 1;

void write(LogicalUnit&, ParameterData& data) {
  data.put16(not_rotating);
  data.put_zeros(page_length - sizeof not_rotating);
}

}  // namespace

const VpdPage vpd_block_device_characteristics{.code = 0xb1, .write = write};

}  // namespace cairn::scsi
