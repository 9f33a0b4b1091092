#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace cairn::test {

/// A directory that goes with the object. CAIRN_TEST_DIRECTORY moves them, e.g. to a file system with direct I/O.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = std::getenv("CAIRN_TEST_DIRECTORY");
    std::string pattern = std::string(base != nullptr ? base : "/var/tmp") + "/cairn-test-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace cairn::test
