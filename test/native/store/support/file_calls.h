// The C library's file calls of the whole test program, seen by a test: what the store does to files outside its
// reactor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cairn::test {

/// Called on the thread that makes the call. `fd`s are open. What begins returns a number that comes back when it has
/// succeeded.
class FileCallWatch {
 public:
  virtual ~FileCallWatch() = default;
  virtual void created(const std::string& path, int fd) = 0;
  virtual void emptied(int fd) = 0;
  virtual void truncated(int fd, uint64_t size) = 0;
  virtual uint64_t write_begins(int fd, std::span<const std::byte> data, uint64_t offset) = 0;
  virtual uint64_t sync_begins(int fd) = 0;
  virtual void succeeded(uint64_t number) = 0;
  virtual void rename_begins(const std::string& from, const std::string& to) = 0;
  virtual void unlink_begins(const std::string& path) = 0;
};

/// Null: nobody watches.
void watch_file_calls(FileCallWatch* watch);

}  // namespace cairn::test
