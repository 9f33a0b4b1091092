#include "iscsi/scsi/mode_pages/table.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t write_cache_enabled = 0x04;  // WCE

void write(const ModeParameters& parameters, std::span<uint8_t> page) {
  page[2] = parameters.write_cache ? write_cache_enabled : 0;
}

void read(std::span<const uint8_t> page, ModeParameters& parameters) {
  parameters.write_cache = (page[2] & write_cache_enabled) != 0;
}

}  // namespace

const ModePage caching_page{
    .code = 0x08,
    .size = 20,
    .write = write,
    .changeable = {.byte = 2, .bits = write_cache_enabled},
    .read = read,
};

}  // namespace cairn::scsi
