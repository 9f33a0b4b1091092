// How the volumes of a process share it: what each may have under way while several are busy. A device, and the reactor
// above it, serves what it is given in turn, so that who has more under way gets more; with as much each, they get as
// much each.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

namespace cairn::qos {

/// Safe from every thread; volumes ask it a few times a second, never for a request.
class FairShare {
 public:
  struct Allotment {
    bool contended = false;  // others are busy too
    uint64_t window = 0;     // work that may be under way; 0: as much as is asked for
  };

  /// A busy volume says how much work it would have under way if it could; 0: it does not know yet.
  Allotment update(const void* volume, uint64_t demand);
  /// It has nothing to do.
  void leave(const void* volume);

 private:
  struct Entry {
    const void* volume;
    uint64_t demand;
  };
  uint64_t window() const;

  std::mutex mutex_;
  std::vector<Entry> busy_;
};

}  // namespace cairn::qos
