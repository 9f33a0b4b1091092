#pragma once

#include <cstdint>
#include <string>

#include "base/intrusive_list.h"
#include "iscsi/scsi/copy_results.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {

class LogicalUnit;

/// What an initiator is told with its next command, the most important first (SAM-5 section 5.14).
enum class UnitAttention : uint8_t {
  power_on,
  device_reset,
  nexus_loss,
  commands_cleared,
  registrations_preempted,
  reservations_preempted,
  reservations_released,
  mode_parameters_changed,
  capacity_changed,
  threshold_reached,
};
SenseCode sense_code(UnitAttention attention);

/// An I_T nexus: one initiator port, logged in to the target port. Its commands end before it does.
class Nexus : public ListLink {
 public:
  /// What carries the commands of a nexus.
  class Tasks {
   public:
    /// Every command of the nexus that runs is to end without an answer. Those that touch the medium are counted in the
    /// unit's aborted() from now until they touch it no more.
    virtual void abort_all() = 0;

   protected:
    ~Tasks() = default;
  };

  /// `initiator_port`: its SCSI name, which is the same when the initiator comes again (SPC-4 section 7.6.4).
  Nexus(LogicalUnit& unit, std::string initiator_port, Tasks& tasks);
  ~Nexus();

  LogicalUnit& unit() const { return unit_; }
  const std::string& initiator_port() const { return initiator_port_; }
  Tasks& tasks() const { return tasks_; }
  CopyResults& copy_results() { return copy_results_; }

  void establish(UnitAttention attention) { pending_ |= 1U << static_cast<unsigned>(attention); }
  bool attentive() const { return pending_ != 0; }
  /// The first of those that are pending, which is told now and pending no more.
  UnitAttention take_attention();

 private:
  LogicalUnit& unit_;
  std::string initiator_port_;
  Tasks& tasks_;
  uint32_t pending_ = 0;
  CopyResults copy_results_;
};

}  // namespace cairn::scsi
