#include "base/status.h"

namespace cairn {

std::string errno_code(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "EIO";
}

Error system_error(const std::string& action, const std::string& path, int error) {
  return Error{errno_code(error), action + " " + path + ": " + std::strerror(error)};
}

}  // namespace cairn
