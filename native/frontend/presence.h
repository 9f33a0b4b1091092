#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "aio/reactor.h"
#include "frontend/completed.h"

namespace cairn {

class Acceptor;
class Presence;

/// A server's part on one reactor.
class ServerPart {
 public:
  virtual Reactor& reactor() = 0;
  virtual Acceptor& acceptor() = 0;
  /// No new connections; those there are end when what is in flight has ended, or the time for that is up.
  virtual void close() = 0;
  /// After everything has ended: what still runs on this reactor is taken back.
  virtual void finish() = 0;

 protected:
  ~ServerPart() = default;
};

/// Who keeps a server from having closed, and how it ends.
class Attendance {
 public:
  ~Attendance();
  /// Connections of all reactors.
  size_t connections() const { return connections_; }
  bool closed() const { return closed_; }
  /// On the control thread, once: closes every part, and tells when nobody is present any more. `keep`: what the parts
  /// belong to.
  void close(std::vector<ServerPart*> parts, std::shared_ptr<void> keep, Completed done);

 private:
  friend class Presence;
  void enter(bool connection);
  void leave(bool connection);
  void all_left();

  bool closed_ = false;
  std::vector<ServerPart*> parts_;
  std::shared_ptr<void> keep_;
  Completed done_;
  std::atomic<size_t> connections_ = 0;
  std::atomic<size_t> present_ = 1;  // the server itself, until it is closed
  std::atomic<size_t> unfinished_ = 0;
};

/// Keeps a server from having closed: every listener, connection and removal holds one.
class Presence {
 public:
  enum class Kind : bool { other, connection };  // connections are counted

  Presence() = default;
  Presence(Attendance& attendance, Kind kind) : attendance_(&attendance), kind_(kind) {
    attendance_->enter(kind_ == Kind::connection);
  }
  Presence(Presence&& other) noexcept : attendance_(std::exchange(other.attendance_, nullptr)), kind_(other.kind_) {}
  Presence& operator=(Presence&& other) noexcept {
    release();
    attendance_ = std::exchange(other.attendance_, nullptr);
    kind_ = other.kind_;
    return *this;
  }
  ~Presence() { release(); }
  void release() {
    if (attendance_ != nullptr) std::exchange(attendance_, nullptr)->leave(kind_ == Kind::connection);
  }

 private:
  Attendance* attendance_ = nullptr;
  Kind kind_ = Kind::other;
};

}  // namespace cairn
