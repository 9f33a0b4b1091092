#pragma once

#include <utility>

namespace cairn::nbd {

class ServerCore;

/// Keeps a server from having closed: every listener, connection and removal holds one.
class Presence {
 public:
  enum class Kind : bool { other, connection };  // connections are counted

  Presence() = default;
  Presence(ServerCore& core, Kind kind);
  Presence(Presence&& other) noexcept : core_(std::exchange(other.core_, nullptr)), kind_(other.kind_) {}
  Presence& operator=(Presence&& other) noexcept {
    release();
    core_ = std::exchange(other.core_, nullptr);
    kind_ = other.kind_;
    return *this;
  }
  ~Presence() { release(); }
  void release();

 private:
  ServerCore* core_ = nullptr;
  Kind kind_ = Kind::other;
};

}  // namespace cairn::nbd
