#pragma once

#include <cstdint>

namespace cairn::nbd {

/// The id under which block status replies refer to base:allocation.
inline constexpr uint32_t base_allocation_id = 1;

}  // namespace cairn::nbd
