// What the servers of all protocols have in common: their parts, one a reactor, their listeners, and how they end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "frontend/acceptor.h"
#include "frontend/presence.h"

namespace cairn {

/// Calls come from the control thread unless it says otherwise. Its class's parts are given to it once, as long as it
/// lives; the first one listens.
class ServerBase : public std::enable_shared_from_this<ServerBase> {
 public:
  /// Any thread.
  size_t connections() const { return attendance_.connections(); }
  Presence connection_presence() { return Presence(attendance_, Presence::Kind::connection); }
  /// Any thread. One that is not counted as a connection.
  Presence presence() { return Presence(attendance_, Presence::Kind::other); }
  bool owns(const Reactor* reactor) const;

  bool closed() const { return attendance_.closed(); }
  Error closed_error() const { return {"CLOSED", "the " + protocol_ + " server is closed"}; }
  /// On the first reactor, as everything else is told.
  void fail(Completed done, Error error);

  Result<TcpAddress> listen_tcp(const std::string& host, uint16_t port);
  void unlisten_tcp(const TcpAddress& address, Completed done);
  Result<Unit> listen_unix(const std::string& path, ListenerKind kind);

  void close(Completed done);
  /// Of a server whose owner goes: closes it, where nobody has, and waits for that.
  void end();

 protected:
  explicit ServerBase(std::string protocol) : protocol_(std::move(protocol)) {}
  ~ServerBase() = default;
  void add_part(ServerPart& part) { parts_.push_back(&part); }
  /// Any thread. Of the part on this reactor, which there is.
  size_t index_of(const Reactor& reactor) const;

 private:
  ServerPart& first() { return *parts_.front(); }
  void listen(ListeningSocket socket);

  const std::string protocol_;
  std::vector<ServerPart*> parts_;
  Attendance attendance_;
};

}  // namespace cairn
