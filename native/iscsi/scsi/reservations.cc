#include "iscsi/scsi/reservations.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "aio/offload.h"
#include "base/unique_fd.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

bool excludes_readers(ReservationType type) {
  return type == ReservationType::exclusive_access || type == ReservationType::exclusive_access_registrants_only ||
         type == ReservationType::exclusive_access_all_registrants;
}

Status sync_path(const std::string& path, int flags) {
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return Status::from_errno(errno);
  return Status();
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1) + '.'; }

Status replace_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  {
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) return Status::from_errno(errno);
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written != static_cast<ssize_t>(text.size())) return Status::from_errno(written < 0 ? errno : ENOSPC);
    if (::fsync(fd.get()) != 0) return Status::from_errno(errno);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return Status::from_errno(errno);
  return sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return errno == ENOENT ? Status() : Status::from_errno(errno);
  return sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
}

struct ReadFile {
  int error = 0;
  std::string text;
};

ReadFile read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {errno, {}};
  std::ostringstream text;
  text << file.rdbuf();
  return {0, text.str()};
}

}  // namespace

// ---- Types and states -----------------------------------------------------------------------------------------------

bool is_reservation_type(uint8_t code) { return code == 1 || code == 3 || (code >= 5 && code <= 8); }

bool is_all_registrants(ReservationType type) {
  return type == ReservationType::write_exclusive_all_registrants ||
         type == ReservationType::exclusive_access_all_registrants;
}

bool admits_registrants(ReservationType type) {
  return type != ReservationType::write_exclusive && type != ReservationType::exclusive_access;
}

Registration* ReservationState::find(const std::string& port) {
  const auto found = std::ranges::find(registrations, port, &Registration::port);
  return found == registrations.end() ? nullptr : &*found;
}

const Registration* ReservationState::find(const std::string& port) const {
  return const_cast<ReservationState*>(this)->find(port);
}

bool ReservationState::holds(const std::string& port) const {
  if (!reservation) return false;
  return is_all_registrants(reservation->type) ? find(port) != nullptr : reservation->holder == port;
}

bool ReservationState::unregister(const std::string& port) {
  std::erase_if(registrations, [&port](const Registration& each) { return each.port == port; });
  if (!reservation) return false;
  const bool ends = is_all_registrants(reservation->type) ? registrations.empty() : reservation->holder == port;
  if (ends) reservation.reset();
  return ends;
}

// ---- Conflicts ------------------------------------------------------------------------------------------------------

bool Reservations::is_stopped(const Nexus& nexus, ReservationRule rule) const {
  if (rule == ReservationRule::exempt) return false;
  if (rule == ReservationRule::registrations) return !reserver_.empty();
  if (!reserver_.empty() && reserver_ != nexus.initiator_port()) return true;
  if (!state_.reservation || rule == ReservationRule::persistent) return false;
  const ReservationType type = state_.reservation->type;
  if (rule == ReservationRule::reads && !excludes_readers(type)) return false;
  if (admits_registrants(type) && state_.find(nexus.initiator_port()) != nullptr) return false;
  return !state_.holds(nexus.initiator_port());
}

bool Reservations::reserve(const Nexus& nexus) {
  if (!state_.registrations.empty()) return false;
  if (!reserver_.empty() && reserver_ != nexus.initiator_port()) return false;
  reserver_ = nexus.initiator_port();
  return true;
}

void Reservations::release(const Nexus& nexus) {
  if (reserver_ == nexus.initiator_port()) reserver_.clear();
}

// ---- Keeping --------------------------------------------------------------------------------------------------------

Status Reservations::write_file(const std::string& text) const {
  const std::string& path = unit_.reservations_path();
  return text.empty() ? remove_file(path) : replace_file(path, text);
}

Task<Status> Reservations::keep(ReservationState next) {
  CAIRN_ASSERT(changing_.locked());
  const bool is_kept = next.through_power_loss && !next.registrations.empty();
  if (is_kept || state_.through_power_loss) {
    const std::string text = is_kept ? encode_reservations(next) : std::string();
    const Status written =
        co_await Offload(unit_.blocking(), unit_.reactor(), [this, &text] { return write_file(text); });
    if (!written.ok()) co_return written;
  }
  state_ = std::move(next);
  co_return Status();
}

Task<Result<Unit>> Reservations::load() {
  const std::string& path = unit_.reservations_path();
  if (path.empty()) co_return Unit{};
  const ReadFile file = co_await Offload(unit_.blocking(), unit_.reactor(), [&path] { return read_file(path); });
  if (file.error == ENOENT) co_return Unit{};
  if (file.error != 0) co_return system_error("open", path, file.error);
  std::optional<ReservationState> state = decode_reservations(file.text);
  if (!state)
    co_return Error{"REPLICA_CORRUPT", "The reservations in " + path +
                                           " cannot be read. Make sure that no initiator relies on them, remove the "
                                           "file, and attach the volume again: then nobody has a reservation."};
  state_ = std::move(*state);
  co_return Unit{};
}

}  // namespace cairn::scsi
