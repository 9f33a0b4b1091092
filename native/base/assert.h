// Assertions that stay on in every build: a broken invariant stops the process before it can acknowledge a wrong byte.
#pragma once

namespace cairn {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace cairn

#define CAIRN_ASSERT(expression)                                  \
  do {                                                            \
    if (!(expression)) [[unlikely]]                               \
      ::cairn::assertion_failed(#expression, __FILE__, __LINE__); \
  } while (false)
