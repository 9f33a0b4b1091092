#include "base/secure_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace cairn {
namespace {

size_t whole_pages(size_t size) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

}  // namespace

Result<SecureMemory> SecureMemory::create(size_t size) {
  const size_t mapped = whole_pages(size);
  void* memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error{errno_code(errno), std::string("no memory for a key: ") + strerror(errno)};
  if (::mlock(memory, mapped) != 0 || ::madvise(memory, mapped, MADV_DONTDUMP) != 0 ||
      ::madvise(memory, mapped, MADV_DONTFORK) != 0) {
    const int error = errno;
    ::munmap(memory, mapped);
    return Error{errno_code(error), std::string("memory for a key cannot be locked: ") + strerror(error) +
                                        ". Raise the limit of locked memory (LimitMEMLOCK of the service, ulimit -l)"};
  }
  return SecureMemory(static_cast<std::byte*>(memory), size);
}

SecureMemory::~SecureMemory() {
  if (data_ == nullptr) return;
  wipe(span());
  ::munmap(data_, whole_pages(size_));
}

void wipe(std::span<std::byte> memory) { ::explicit_bzero(memory.data(), memory.size()); }

}  // namespace cairn
