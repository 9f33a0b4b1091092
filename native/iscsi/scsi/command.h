// One SCSI command, one handler, one table. A row says which bits of its CDB mean something, what a reservation of
// somebody else's does to it, what memory it needs, and what it does.
//
// A command comes as a CDB; judge() refuses it or says what it needs; whoever carries it (iSCSI) gets that memory,
// receives the data-out into it, and calls run(). What run() leaves in the data-in goes to the initiator.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "aio/task.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {

class LogicalUnit;
class Nexus;

/// Shorter ones are padded with zeros. Longer ones are not known here.
using Cdb = std::array<uint8_t, 16>;

/// Memory that a command works with, in bytes.
struct Needs {
  size_t data_out = 0;  // comes from the initiator; an initiator may send less
  size_t data_in = 0;   // what it may give back at most
  size_t scratch = 0;
  /// An initiator that offers more or less data-out than that is refused with wrong_data_length() before any comes. Of
  /// commands that are done as far as the data go, it is not asked.
  bool exact_data_out = false;
};

/// What a reservation of another nexus does to a command (SPC-4 table 66, SBC-3 table 13; SPC-2 for RESERVE).
enum class ReservationRule : uint8_t {
  exempt,         // always allowed
  registrations,  // stopped by RESERVE(6) and RESERVE(10) of anybody, the nexus itself too (SPC-2 section 5.5.1)
  persistent,     // stopped only by RESERVE(6) and RESERVE(10)
  reads,          // the medium, or what is stopped like that
  writes,
};

struct Command {
  const Cdb& cdb;
  Nexus& nexus;
  bool unit_exists = true;              // false: of a LUN that is none, which a few commands answer
  std::span<const std::byte> data_out;  // as much as came, at most Needs::data_out
  std::span<std::byte> data_in;         // Needs::data_in
  std::span<std::byte> scratch;         // Needs::scratch
};

/// What a row says of a CDB.
struct Judgement {
  std::optional<Outcome> refusal;
  Needs needs;

  Judgement(Outcome refused) : refusal(refused) {}
  Judgement(Needs needed) : needs(needed) {}
};

inline constexpr int no_service_action = -1;

struct CommandRow {
  uint8_t opcode;
  int service_action = no_service_action;  // CDB byte 1, bits 4 to 0
  /// The CDB usage data of REPORT SUPPORTED OPERATION CODES (SPC-4 section 6.35.3): bits that are looked at. A bit
  /// outside of them makes the CDB invalid. The first byte is the opcode.
  Cdb usage;
  ReservationRule reservation;
  Judgement (*judge)(LogicalUnit& unit, const Cdb& cdb);
  Task<Outcome> (*run)(LogicalUnit& unit, Command command);
};

/// 6, 10, 12 or 16 (SPC-4 section 4.3.4.1).
size_t cdb_length(uint8_t opcode);
/// A row, or null with how far the CDB is known: `opcode_known` when only its service action is not.
const CommandRow* find_command(const Cdb& cdb, bool& opcode_known);
/// All rows, by opcode and service action.
std::span<const CommandRow* const> all_commands();
/// INVALID FIELD IN CDB when a bit is set that the row does not look at.
std::optional<Outcome> check_reserved(const CommandRow& row, const Cdb& cdb);

/// For rows whose commands need nothing.
Judgement needs_nothing(LogicalUnit&, const Cdb&);

}  // namespace cairn::scsi
