// How much a test does: little in `npm test`, as much as its environment says in `npm run test:long`.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace cairn::test {

/// What the variable says, or what there is time for in every run of the tests.
inline uint64_t scale(const char* variable, uint64_t in_every_run) {
  const char* given = std::getenv(variable);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : in_every_run;
}

inline std::chrono::milliseconds scale_seconds(const char* variable, std::chrono::milliseconds in_every_run) {
  const char* given = std::getenv(variable);
  return given != nullptr ? std::chrono::seconds(std::atoi(given)) : in_every_run;
}

/// scripts/testing/long-run.mjs adds these lines up.
inline void print_total(uint64_t count, const char* of_what) {
  std::printf("total: %llu %s\n", static_cast<unsigned long long>(count), of_what);
}

}  // namespace cairn::test
