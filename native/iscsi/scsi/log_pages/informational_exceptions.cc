#include "iscsi/scsi/log_pages/table.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t binary_list = 0x03;  // FORMAT AND LINKING
constexpr uint8_t no_temperature = 0xff;

/// The general parameter: nothing is wrong. What is wrong with disks is repaired below, and told to those who run them.
void write(ParameterData& data) {
  data.put16(0);
  data.put8(binary_list);
  data.put8(3);
  data.put16(0);  // ASC and ASCQ
  data.put8(no_temperature);
}

}  // namespace

const LogPage log_informational_exceptions{.code = 0x2f, .write = write};

}  // namespace cairn::scsi
