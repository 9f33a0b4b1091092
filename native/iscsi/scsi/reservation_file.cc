// How reservations are kept: lines of text, the last one a checksum of those before it.
//   cairn-reservations 1
//   key 0123456789abcdef iqn.2026-11.io.example:one,i,0x400001370000
//   reservation 5 iqn.2026-11.io.example:one,i,0x400001370000
//   crc32c 89abcdef
#include <charconv>
#include <sstream>

#include "base/crc32c.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/reservations.h"

namespace cairn::scsi {
namespace {

constexpr const char* first_line = "cairn-reservations 1\n";
constexpr const char* crc_word = "crc32c ";
constexpr const char* nobody = "-";  // where all registrants hold it

std::string hexadecimal(uint64_t value, int digits) {
  char text[17];
  std::snprintf(text, sizeof text, "%0*llx", digits, static_cast<unsigned long long>(value));
  return text;
}

template <typename Integer>
std::optional<Integer> parse(const std::string& text, int base) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool take_key(std::istringstream& line, ReservationState& state) {
  std::string key;
  std::string port;
  if (!(line >> key >> port) || state.registrations.size() >= registrations_max) return false;
  const std::optional<uint64_t> value = parse<uint64_t>(key, 16);
  if (!value || *value == 0 || state.find(port) != nullptr) return false;
  state.registrations.push_back({port, *value});
  return true;
}

bool take_reservation(std::istringstream& line, ReservationState& state) {
  std::string code;
  std::string holder;
  if (!(line >> code >> holder) || state.reservation) return false;
  const std::optional<unsigned> value = parse<unsigned>(code, 10);
  if (!value || *value > 8 || !is_reservation_type(static_cast<uint8_t>(*value))) return false;
  const auto type = static_cast<ReservationType>(*value);
  if (is_all_registrants(type) != (holder == nobody)) return false;
  if (holder != nobody && state.find(holder) == nullptr) return false;
  state.reservation = {type, holder == nobody ? std::string() : holder};
  return true;
}

}  // namespace

std::string encode_reservations(const ReservationState& state) {
  std::string text = first_line;
  for (const Registration& each : state.registrations)
    text += "key " + hexadecimal(each.key, 16) + ' ' + each.port + '\n';
  if (state.reservation) {
    const std::string& holder = state.reservation->holder;
    text += "reservation " + std::to_string(static_cast<unsigned>(state.reservation->type)) + ' ' +
            (holder.empty() ? nobody : holder) + '\n';
  }
  return text + crc_word + hexadecimal(crc32c(text.data(), text.size()), 8) + '\n';
}

std::optional<ReservationState> decode_reservations(const std::string& text) {
  const size_t last = text.rfind(crc_word);
  if (!text.starts_with(first_line) || last == std::string::npos) return std::nullopt;
  if (text.substr(last) != crc_word + hexadecimal(crc32c(text.data(), last), 8) + '\n') return std::nullopt;
  ReservationState state;
  state.through_power_loss = true;
  std::istringstream lines(text.substr(0, last));
  std::string content;
  std::getline(lines, content);
  while (std::getline(lines, content)) {
    std::istringstream line(content);
    std::string word;
    line >> word;
    const bool taken =
        (word == "key" && take_key(line, state)) || (word == "reservation" && take_reservation(line, state));
    if (!taken) return std::nullopt;
  }
  return state;
}

}  // namespace cairn::scsi
