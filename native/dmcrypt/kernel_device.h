// Block devices that the kernel's dm-crypt encrypts: formatted, opened and closed by libcryptsetup. They need
// device-mapper and CAP_SYS_ADMIN. All of it blocks: it runs on threads that may.
#pragma once

#include <string>

#include "dmcrypt/luks.h"

namespace cairn::dmcrypt {

// Errors, besides those of an errno: WRONG_KEY; HEADER_DAMAGED; DEVICE_IN_USE when somebody else has the device or its
// mapping; DEVICE_MISSING when the device is not the one with this UUID; DEVICE_MAPPER_MISSING when the kernel lacks
// device-mapper or what it needs for this.

/// Makes the block device a LUKS2 one with this UUID, a new volume key and one key slot, as volumes are:
/// aes-xts-plain64 with 512 bits, Argon2id, discards allowed. Sectors are as large as the device's physical ones, 512
/// or 4096 bytes. What it held cannot be read any more; whoever calls has made sure that nobody misses it.
Result<Unit> format_kernel_device(const std::string& device, const std::string& uuid, Passphrase passphrase);
/// From then on /dev/mapper/`mapping` is its plaintext.
Result<Unit> open_kernel_device(const std::string& device, const std::string& uuid, const std::string& mapping,
                                Passphrase passphrase);
/// Nothing to do when there is no such mapping.
Result<Unit> close_kernel_device(const std::string& mapping);

}  // namespace cairn::dmcrypt
