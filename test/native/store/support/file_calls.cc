// Definitions here come before the C library's for the program that they are linked into.
#include "test/native/store/support/file_calls.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

std::atomic<cairn::test::FileCallWatch*> watcher{nullptr};
std::atomic<int> calls_under_way{0};

/// Who watches a call; he stays until it is over.
class Watch {
 public:
  Watch() {
    ++calls_under_way;
    watch_ = watcher;
  }
  ~Watch() { --calls_under_way; }
  Watch(const Watch&) = delete;
  explicit operator bool() const { return watch_ != nullptr; }
  cairn::test::FileCallWatch* operator->() const { return watch_; }

 private:
  cairn::test::FileCallWatch* watch_;
};

template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int sync_with(int (*call)(int), int fd) {
  const Watch watch;
  const uint64_t number = watch ? watch->sync_begins(fd) : 0;
  const int error = watch ? watch->sync_error(fd) : 0;
  const int result = error == 0 ? call(fd) : -1;
  if (error != 0) errno = error;
  if (watch && result == 0) watch->succeeded(number);
  return result;
}

}  // namespace

namespace cairn::test {
void watch_file_calls(FileCallWatch* watch) {
  watcher = watch;
  // Of other threads, which may still tell the former one. One that the kernel keeps for longer is not waited for.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (calls_under_way > 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}
}  // namespace cairn::test

extern "C" {

int open(const char* path, int flags, ...) {
  static auto* const next = real<int(const char*, int, ...)>("open");
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, unsigned)) : 0;
  va_end(arguments);
  const Watch watch;
  const bool creates = watch && (flags & O_CREAT) != 0 && ::access(path, F_OK) != 0;
  const int fd = next(path, flags, mode);
  if (!watch || fd < 0) return fd;
  if (creates)
    watch->created(path, fd);
  else if ((flags & O_TRUNC) != 0)
    watch->emptied(fd);
  return fd;
}

ssize_t pwrite(int fd, const void* data, size_t length, off_t offset) {
  static auto* const next = real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  const Watch watch;
  if (!watch) return next(fd, data, length, offset);
  if (const int error = watch->write_error(fd, static_cast<uint64_t>(offset)); error != 0) {
    errno = error;
    return -1;
  }
  length = watch->transfer(length);
  const uint64_t number =
      watch->write_begins(fd, {static_cast<const std::byte*>(data), length}, static_cast<uint64_t>(offset));
  const ssize_t result = next(fd, data, length, offset);
  if (result == static_cast<ssize_t>(length)) watch->succeeded(number);
  return result;
}

ssize_t pread(int fd, void* data, size_t length, off_t offset) {
  static auto* const next = real<ssize_t(int, void*, size_t, off_t)>("pread");
  const Watch watch;
  return next(fd, data, watch ? watch->transfer(length) : length, offset);
}

ssize_t copy_file_range(int from, off64_t* from_offset, int to, off64_t* to_offset, size_t length, unsigned flags) {
  static auto* const next = real<ssize_t(int, off64_t*, int, off64_t*, size_t, unsigned)>("copy_file_range");
  const Watch watch;
  if (!watch) return next(from, from_offset, to, to_offset, length, flags);
  // What is copied must be seen, so it goes the way of a write.
  std::vector<std::byte> data(std::min(length, size_t{1} << 20));
  const ssize_t got = ::pread(from, data.data(), data.size(), *from_offset);
  if (got <= 0) return got;
  const ssize_t written = pwrite(to, data.data(), static_cast<size_t>(got), *to_offset);
  if (written <= 0) return written;
  *from_offset += written;
  *to_offset += written;
  return written;
}

/// No sharing of blocks, which would not be seen.
int ioctl(int fd, unsigned long request, ...) noexcept {
  static auto* const next = real<int(int, unsigned long, ...)>("ioctl");
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == FICLONE && watcher != nullptr) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return next(fd, request, argument);
}

int link(const char* from, const char* to) noexcept {
  static auto* const next = real<int(const char*, const char*)>("link");
  const int result = next(from, to);
  if (const Watch watch; watch && result == 0) watch->linked(from, to);
  return result;
}

int ftruncate(int fd, off_t size) noexcept {
  static auto* const next = real<int(int, off_t)>("ftruncate");
  if (const Watch watch; watch) watch->truncated(fd, static_cast<uint64_t>(size));
  return next(fd, size);
}

int fdatasync(int fd) {
  static auto* const next = real<int(int)>("fdatasync");
  return sync_with(next, fd);
}

int fsync(int fd) {
  static auto* const next = real<int(int)>("fsync");
  return sync_with(next, fd);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const next = real<int(const char*, const char*)>("rename");
  if (const Watch watch; watch) watch->rename_begins(from, to);
  return next(from, to);
}

int unlink(const char* path) noexcept {
  static auto* const next = real<int(const char*)>("unlink");
  if (const Watch watch; watch) watch->unlink_begins(path);
  return next(path);
}
}
