#pragma once

#include <memory>

#include "aio/task.h"
#include "nbd/description.h"

namespace cairn::nbd {

class Branch;
class Export;

/// Asks an export, wherever it is: on this reactor, on another one, or in another process. `asking` is of the reactor
/// that the caller is on.
Task<DescriptionAnswer> describe(Branch& asking, std::shared_ptr<Export> exported, DescriptionQuestion question);

}  // namespace cairn::nbd
