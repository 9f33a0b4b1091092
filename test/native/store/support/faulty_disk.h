// A disk that fails as a test says, by kind of operation and by file.
#pragma once

#include <functional>

#include "test/native/store/store_fixture.h"

namespace cairn::test {

class FaultyDisk final : public IoTap {
 public:
  explicit FaultyDisk(StoreFixture& fixture) : fixture_(fixture) { fixture_.loop().reactor().set_tap(this); }
  ~FaultyDisk() override { fixture_.loop().reactor().set_tap(nullptr); }

  /// From now on, operations of this kind on files whose name ends so fail.
  void fail(Kind kind, const std::string& file, int error) { faults_.push_back({kind, file, error}); }
  void heal() { faults_.clear(); }
  size_t failed() const { return failed_; }

  Status before(const Event& event) override {
    const std::string path = path_of(event.fd);
    for (const Fault& fault : faults_) {
      if (fault.kind != event.kind || !path.ends_with(fault.file)) continue;
      ++failed_;
      return Status::from_errno(fault.error);
    }
    return Status();
  }
  void after(const Event&) override {}

 private:
  struct Fault {
    Kind kind;
    std::string file;
    int error;
  };
  static std::string path_of(int fd) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
  }
  StoreFixture& fixture_;
  std::vector<Fault> faults_;
  size_t failed_ = 0;
};

}  // namespace cairn::test
