#pragma once

#include <string_view>

#include "base/status.h"
#include "iscsi/access.h"

namespace cairn::iscsi {

bool is_iscsi_name(std::string_view name);
Result<Unit> check_access(const Access& access);

}  // namespace cairn::iscsi
