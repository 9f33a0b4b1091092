#include "iscsi/login/names.h"

namespace cairn::iscsi {

bool is_iscsi_name(std::string_view name) { return !name.empty() && name.size() <= 223; }
Result<Unit> check_access(const Access&) { return Unit{}; }

}  // namespace cairn::iscsi
