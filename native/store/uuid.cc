#include "store/uuid.h"

#include <sys/random.h>

#include "base/assert.h"
#include "store/replica_files.h"

#include <fcntl.h>

namespace cairn::store {
namespace {

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

bool dash_before(size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

}  // namespace

std::string format_uuid(const Uuid& uuid) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (dash_before(i)) text += '-';
    text += digits[uuid[i] >> 4];
    text += digits[uuid[i] & 15];
  }
  return text;
}

std::optional<Uuid> parse_uuid(const std::string& text) {
  Uuid uuid{};
  size_t at = 0;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (dash_before(i) && (at >= text.size() || text[at++] != '-')) return std::nullopt;
    if (at + 2 > text.size()) return std::nullopt;
    const int high = hex_value(text[at]);
    const int low = hex_value(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    uuid[i] = static_cast<uint8_t>(high << 4 | low);
    at += 2;
  }
  if (at != text.size()) return std::nullopt;
  return uuid;
}

Uuid random_uuid() {
  Uuid uuid{};
  CAIRN_ASSERT(::getrandom(uuid.data(), uuid.size(), 0) == static_cast<ssize_t>(uuid.size()));
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x40);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
  return uuid;
}

Uuid current_boot_id() {
  // Files in /proc have no size, so the text is read by its known length.
  std::string text(36, '\0');
  Result<UniqueFd> file = open_file("/proc/sys/kernel/random/boot_id", O_RDONLY);
  if (file.ok() && read_all(file.value().get(), "boot_id", std::as_writable_bytes(std::span(text)), 0).ok())
    if (const auto uuid = parse_uuid(text)) return *uuid;
  return random_uuid();  // unknown: never equal, so that nothing volatile is trusted
}

}  // namespace cairn::store
