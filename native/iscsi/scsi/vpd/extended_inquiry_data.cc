#include "iscsi/scsi/vpd/table.h"

namespace cairn::scsi {
namespace {

constexpr size_t header_length = 4;
constexpr size_t page_length = 0x3c;
// Commands of every task attribute are taken, but not ordered: HEADSUP and ORDSUP are zero.
constexpr uint8_t simple_tasks = 0x01;    // SIMPSUP
constexpr uint8_t volatile_cache = 0x01;  // V_SUP

void write(LogicalUnit&, ParameterData& data) {
  const std::span<uint8_t> page = data.append(page_length);
  page[5 - header_length] = simple_tasks;
  page[6 - header_length] = volatile_cache;
  page[13 - header_length] = sense_length_max;
}

}  // namespace

const VpdPage vpd_extended_inquiry_data{.code = 0x86, .write = write};

}  // namespace cairn::scsi
