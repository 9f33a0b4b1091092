#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

constexpr size_t header_length = 4;
constexpr size_t page_length = 0x3c;
constexpr uint8_t task_attributes = 0x07;  // HEADSUP, ORDSUP, SIMPSUP
constexpr uint8_t volatile_cache = 0x01;   // V_SUP

void write(LogicalUnit&, ParameterData& data) {
  const std::span<uint8_t> page = data.append(page_length);
  page[5 - header_length] = task_attributes;
  page[6 - header_length] = volatile_cache;
  page[13 - header_length] = sense_length_max;
}

}  // namespace

const VpdPage vpd_extended_inquiry_data{.code = 0x86, .write = write};

}  // namespace cairn::scsi
