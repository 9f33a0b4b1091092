#pragma once

#include <optional>
#include <string>

#include "store/format.h"

namespace cairn::store {

/// The 8-4-4-4-12 form, lower case (RFC 9562 section 4).
std::string format_uuid(const Uuid& uuid);
std::optional<Uuid> parse_uuid(const std::string& text);
Uuid random_uuid();
/// /proc/sys/kernel/random/boot_id: another one after every start of the machine.
Uuid current_boot_id();

}  // namespace cairn::store
