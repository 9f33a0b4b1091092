#include "nbd/errors.h"

namespace cairn::nbd {

wire::ErrorNumber error_number(int error) {
  switch (error) {
    case 0:
      return wire::error_none;
    case EPERM:
    case EROFS:
    case EACCES:
      return wire::error_not_permitted;
    case ENOMEM:
      return wire::error_no_memory;
    case EINVAL:
      return wire::error_invalid;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return wire::error_no_space;
    case EOVERFLOW:
      return wire::error_overflow;
    case ENOTSUP:
      return wire::error_not_supported;
    case ESHUTDOWN:
      return wire::error_shutdown;
    default:
      return wire::error_io;
  }
}

}  // namespace cairn::nbd
