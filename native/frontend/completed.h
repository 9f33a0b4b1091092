#pragma once

#include <functional>

#include "base/status.h"

namespace cairn {

/// Told how something that the control thread asked for has ended: called once, on a reactor's thread.
using Completed = std::function<void(Result<Unit>)>;

}  // namespace cairn
