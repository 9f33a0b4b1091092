// Designation descriptors (SPC-4 section 7.8.6).
#pragma once

#include <cstdint>

#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {

struct Identity;

void put_naa(const Identity& identity, ParameterData& data);
void put_t10_vendor_identification(const Identity& identity, ParameterData& data);
void put_uuid(const Identity& identity, ParameterData& data);
void put_relative_target_port(ParameterData& data);
void put_target_port_group(ParameterData& data);
/// SCSI name strings.
void put_target_port_name(const Identity& identity, ParameterData& data);
void put_target_device_name(const Identity& identity, ParameterData& data);

}  // namespace cairn::scsi
