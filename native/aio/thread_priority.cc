#include "aio/thread_priority.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace cairn {
namespace {

/// Enough for a batch of I/O. A short slice (Linux 6.12) is an early deadline, which also decides who goes first.
constexpr uint64_t slice_ns = 100'000;
constexpr int32_t nice_level = -10;

/// sched_setattr(2), which the C library does not declare.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = nice_level;
  uint32_t priority = 0;
  uint64_t runtime = slice_ns;
  uint64_t deadline = 0;
  uint64_t period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

}  // namespace

void run_when_woken() {
  SchedulingAttributes attributes;
  (void)::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace cairn
