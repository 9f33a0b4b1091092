#pragma once

#include "base/status.h"
#include "nbd/wire.h"

namespace cairn::nbd {

/// The protocol's number for an errno; everything it has no number for is an I/O error to the client.
wire::ErrorNumber error_number(int error);

}  // namespace cairn::nbd
