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
  virtual void created(const std::string&, int) {}
  virtual void emptied(int) {}
  virtual void truncated(int, uint64_t) {}
  virtual uint64_t write_begins(int, std::span<const std::byte>, uint64_t) { return 0; }
  virtual uint64_t sync_begins(int) { return 0; }
  /// Not 0: the sync fails so.
  virtual int sync_error(int) { return 0; }
  /// Not 0: the write fails so.
  virtual int write_error(int, uint64_t) { return 0; }
  /// How much of it is read or written at once.
  virtual size_t transfer(size_t length) { return length; }
  virtual void succeeded(uint64_t) {}
  virtual void rename_begins(const std::string&, const std::string&) {}
  virtual void unlink_begins(const std::string&) {}
  /// Done: another name for what the first names.
  virtual void linked(const std::string&, const std::string&) {}
};

/// Null: nobody watches.
void watch_file_calls(FileCallWatch* watch);

}  // namespace cairn::test
