// The beginning of an encrypted device, where its LUKS2 header is: copied into memory to be worked on there, and what
// has changed written back in an order that no crash harms.
#pragma once

#include <string>

#include "aio/task.h"
#include "block/block_device.h"
#include "dmcrypt/luks.h"

namespace cairn::dmcrypt {

/// A copy of the header and its keyslots, as far as the device has them. Blocks that cannot be read are zeros in it:
/// one copy of the header or the other will do, and a key slot whose place is damaged does not open.
Task<Result<HeaderFile>> read_header_area(BlockDevice& device);
/// Makes the two copies of the header what the file says, one after the other, durably. False: they were.
Task<Result<bool>> mend_header(BlockDevice& device, const HeaderFile& file);
/// Makes the device's beginning what the file says, durably. Keyslots before the header that names them, and of its two
/// copies one after the other: after a crash one of them is whole, and what it names is there. `changed` tells whether
/// there was a difference.
Task<Result<bool>> write_header_area(BlockDevice& device, const HeaderFile& file);

/// A backup as cryptsetup luksHeaderBackup writes it: the header and its keyslots, in a new file that only its owner
/// can read, durable. EEXIST when there is one already. It blocks.
Result<Unit> save_header(const HeaderFile& file, const std::string& path);
/// What such a file holds, as the beginning of a device of `device_size` bytes. It blocks.
Result<HeaderFile> load_header(const std::string& path, uint64_t device_size);

/// Which volume key the device has, as LuksInfo::key_id, from the first copy of its header. HEADER_DAMAGED when that
/// does not say.
Task<Result<std::string>> read_key_id(BlockDevice& device);

}  // namespace cairn::dmcrypt
