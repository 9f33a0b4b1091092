// The beginning of an encrypted device, where its LUKS2 header is: copied into memory to be worked on there, and what
// has changed written back in an order that no crash harms.
#pragma once

#include <string>

#include "aio/task.h"
#include "block/block_device.h"
#include "dmcrypt/luks.h"

namespace cairn::dmcrypt {

/// A copy of the header and its keyslots, as far as the device has them.
Task<Result<HeaderFile>> read_header_area(BlockDevice& device);
/// Makes the device's beginning what the file says, durably. Keyslots before the header that names them, and of its two
/// copies one after the other: after a crash one of them is whole, and what it names is there. `changed` tells whether
/// there was a difference.
Task<Result<bool>> write_header_area(BlockDevice& device, const HeaderFile& file);

/// Which volume key the device has, as LuksInfo::key_id, from the first copy of its header. HEADER_DAMAGED when that
/// does not say.
Task<Result<std::string>> read_key_id(BlockDevice& device);

}  // namespace cairn::dmcrypt
