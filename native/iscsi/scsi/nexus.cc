#include "iscsi/scsi/nexus.h"

#include <bit>

#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {

SenseCode sense_code(UnitAttention attention) {
  switch (attention) {
    case UnitAttention::power_on:
      return SenseCode::power_on_or_reset;
    case UnitAttention::device_reset:
      return SenseCode::device_reset;
    case UnitAttention::nexus_loss:
      return SenseCode::nexus_loss;
    case UnitAttention::commands_cleared:
      return SenseCode::commands_cleared;
    case UnitAttention::registrations_preempted:
      return SenseCode::registrations_preempted;
    case UnitAttention::reservations_preempted:
      return SenseCode::reservations_preempted;
    case UnitAttention::reservations_released:
      return SenseCode::reservations_released;
    case UnitAttention::mode_parameters_changed:
      return SenseCode::mode_parameters_changed;
    case UnitAttention::capacity_changed:
      return SenseCode::capacity_changed;
    case UnitAttention::threshold_reached:
      return SenseCode::threshold_reached;
  }
  CAIRN_ASSERT(false);
}

Nexus::Nexus(LogicalUnit& unit, std::string initiator_port, Tasks& tasks)
    : unit_(unit), initiator_port_(std::move(initiator_port)), tasks_(tasks) {
  establish(UnitAttention::power_on);
  if (unit_.space_low()) establish(UnitAttention::threshold_reached);
  unit_.nexuses().push_back(this);
}

Nexus::~Nexus() {
  unit_.reservations().release(*this);  // what RESERVE holds goes with its nexus
  unlink();
}

UnitAttention Nexus::take_attention() {
  const int first = std::countr_zero(pending_);
  pending_ &= pending_ - 1;
  return static_cast<UnitAttention>(first);
}

}  // namespace cairn::scsi
