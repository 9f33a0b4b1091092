// Memory for direct I/O that is not to be had, for the whole test program.
#pragma once

namespace cairn::test {

/// While it lives, there is none.
class NoAlignedMemory {
 public:
  NoAlignedMemory();
  ~NoAlignedMemory();
  NoAlignedMemory(const NoAlignedMemory&) = delete;
  NoAlignedMemory& operator=(const NoAlignedMemory&) = delete;
};

}  // namespace cairn::test
