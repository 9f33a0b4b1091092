#pragma once

#include <cstdint>
#include <string>

#include "aio/offload.h"
#include "aio/range_lock.h"
#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "block/block_device.h"
#include "iscsi/scsi/command.h"
#include "iscsi/scsi/identity.h"
#include "iscsi/scsi/mode_parameters.h"
#include "iscsi/scsi/nexus.h"
#include "iscsi/scsi/reservations.h"
#include "iscsi/scsi/task_set.h"

namespace cairn::scsi {

/// The relative port identifier and the target port group of the one target port.
inline constexpr uint16_t relative_port = 1;
inline constexpr uint16_t port_group = 1;

struct LogicalUnitOptions {
  Reactor& reactor;
  BlockDevice& device;
  BlockingThread& blocking;
  Identity identity;
  bool read_only = false;
  std::string reservations_path;  // empty: they are not kept
};

/// A CDB with what it needs, or why it is refused.
struct Demand {
  const CommandRow* row = nullptr;
  std::optional<Outcome> refusal;
  Needs needs;
  bool unit_exists = true;  // false: of a LUN that is none
};

/// One device as a SCSI logical unit. Belongs to the device's reactor.
class LogicalUnit {
 public:
  explicit LogicalUnit(LogicalUnitOptions options);
  ~LogicalUnit();
  /// Takes up what is kept of its reservations. REPLICA_CORRUPT.
  Task<Result<Unit>> open();

  Reactor& reactor() { return options_.reactor; }
  BlockDevice& device() { return options_.device; }
  BlockingThread& blocking() { return options_.blocking; }
  const Identity& identity() const { return options_.identity; }
  const std::string& reservations_path() const { return options_.reservations_path; }
  Reservations& reservations() { return reservations_; }
  IntrusiveList<Nexus>& nexuses() { return nexuses_; }
  /// Writes share it; what must be one step with what it has read excludes. In logical blocks.
  RangeLock& ranges() { return ranges_; }

  /// As it was when the last command came.
  const Geometry& geometry() const { return geometry_; }
  uint32_t block_size() const { return geometry_.logical_block_size; }
  uint64_t block_count() const { return geometry_.size / block_size(); }
  /// Bytes that one command reads or writes at most.
  uint32_t transfer_max() const { return transfer_max_; }

  const ModeParameters& mode() const { return mode_; }
  /// Those who did not ask for the change are told. What had been written is durable when the write cache is off.
  Task<Outcome> set_mode(ModeParameters parameters, const Nexus* asked_by);

  /// Told to every nexus but one.
  void establish(UnitAttention attention, const Nexus* except = nullptr);
  /// The pool is running out of space, or not any more.
  void set_space_low(bool low);
  bool space_low() const { return space_low_; }
  /// Commands that have been aborted and still touch the medium. A command that waits for them touches it not itself
  /// (its rule is neither `reads` nor `writes`), so that two of them do not wait for each other.
  InFlight& aborted() { return aborted_; }
  TaskSet& task_set() { return task_set_; }
  /// LOGICAL UNIT RESET: every command of every nexus is aborted, RESERVE released, mode parameters are their defaults.
  /// Resumes when all is quiet.
  Task<> reset();

  /// Whether a LUN (as SAM-5 section 4.7 writes it) is this unit's.
  static bool is_at(uint64_t lun);
  /// A command for `lun` of a nexus.
  Demand judge(Nexus& nexus, uint64_t lun, const Cdb& cdb);
  /// Runs what was judged and not refused.
  Task<Outcome> run(const CommandRow& row, Command command);

 private:
  /// A device that has grown is told to every nexus.
  void look_at_device();
  std::optional<Outcome> refuse(Nexus& nexus, const CommandRow& row, const Cdb& cdb);
  Task<Outcome> run_write_through(const CommandRow& row, Command command);

  LogicalUnitOptions options_;
  Geometry geometry_;
  uint32_t transfer_max_;
  ModeParameters mode_;
  bool space_low_ = false;
  RangeLock ranges_;
  InFlight aborted_;
  TaskSet task_set_;
  Reservations reservations_;
  IntrusiveList<Nexus> nexuses_;
};

}  // namespace cairn::scsi
