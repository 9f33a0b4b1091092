// Who may log in: whether it can work at all, and whom it lets in.
#pragma once

#include <string_view>

#include "base/status.h"
#include "iscsi/access.h"

namespace cairn::iscsi {

/// Bytes of a CHAP secret. RFC 7143 section 9.2.1 asks for 96 bits where IPsec does not protect the connection.
inline constexpr size_t chap_secret_min = 12;
inline constexpr size_t chap_secret_max = 255;

/// INVALID_ARGUMENT with a sentence that says what to do.
Result<Unit> check_access(const Access& access);

/// Whether this initiator may log in, once it has proven what it has to. SendTargets tells it of those targets alone.
bool admits(const Access& access, std::string_view initiator_name);

}  // namespace cairn::iscsi
