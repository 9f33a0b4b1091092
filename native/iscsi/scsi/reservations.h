#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/status.h"
#include "iscsi/scsi/command.h"

namespace cairn::scsi {

class LogicalUnit;
class Nexus;

/// SPC-4 table 168.
enum class ReservationType : uint8_t {
  write_exclusive = 1,
  exclusive_access = 3,
  write_exclusive_registrants_only = 5,
  exclusive_access_registrants_only = 6,
  write_exclusive_all_registrants = 7,
  exclusive_access_all_registrants = 8,
};
bool is_reservation_type(uint8_t code);
/// Every registrant holds it.
bool is_all_registrants(ReservationType type);
/// Registrants may do what others may not.
bool admits_registrants(ReservationType type);

/// An initiator port that has registered a key. It stays registered when its nexus is lost.
struct Registration {
  std::string port;
  uint64_t key = 0;
  friend bool operator==(const Registration&, const Registration&) = default;
};

struct PersistentReservation {
  ReservationType type = ReservationType::write_exclusive;
  std::string holder;  // a port; empty where all registrants hold it
  friend bool operator==(const PersistentReservation&, const PersistentReservation&) = default;
};

/// What PERSISTENT RESERVE OUT changes, as a value: a command makes the next one, which counts when it is kept.
struct ReservationState {
  std::vector<Registration> registrations;
  std::optional<PersistentReservation> reservation;
  uint32_t generation = 0;
  bool through_power_loss = false;  // APTPL

  Registration* find(const std::string& port);
  const Registration* find(const std::string& port) const;
  bool holds(const std::string& port) const;
  /// Takes a registration away, and the reservation with it when nobody holds it any more; whether that was so.
  bool unregister(const std::string& port);
};

/// The file that keeps it: text, with a checksum. Nothing for one that cannot be read.
std::string encode_reservations(const ReservationState& state);
std::optional<ReservationState> decode_reservations(const std::string& text);

/// The reservations and registrations of one logical unit (SPC-4 section 5.12), and RESERVE of SPC-2.
class Reservations {
 public:
  Reservations(LogicalUnit& unit, ReadyQueue& ready) : unit_(unit), changing_(ready) {}

  /// REPLICA_CORRUPT.
  Task<Result<Unit>> load();

  /// Whether a command of this nexus is stopped.
  bool conflicts(const Nexus& nexus, ReservationRule rule) const {
    return (state_.reservation || !reserver_.empty()) && is_stopped(nexus, rule);
  }

  const ReservationState& state() const { return state_; }
  /// One change at a time: held from reading the state to keep().
  AsyncMutex& changing() { return changing_; }
  /// Makes it the state, when it is on stable storage where that is asked for. EIO and the like: nothing has changed.
  Task<Status> keep(ReservationState next);

  /// RESERVE(6) and RESERVE(10): false when somebody else has it, or ports are registered.
  bool reserve(const Nexus& nexus);
  void release(const Nexus& nexus);
  /// By a reset.
  void release_reserve() { reserver_.clear(); }

 private:
  bool is_stopped(const Nexus& nexus, ReservationRule rule) const;
  Status write_file(const std::string& text) const;

  LogicalUnit& unit_;
  AsyncMutex changing_;
  ReservationState state_;
  std::string reserver_;  // a port
};

}  // namespace cairn::scsi
