// The NBD server: exports by name, listeners, and the way a connection takes from a listener to the reactor, or the
// process, that holds its volume. docs/protocols/nbd.md says what is supported; architecture.md why it is cut this way.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "aio/reactor.h"
#include "base/status.h"
#include "block/block_device.h"
#include "block/snapshot_set.h"

namespace cairn::nbd {

/// A device of this process. It lives until remove_export() has completed; it may grow meanwhile.
struct LocalTarget {
  Reactor* reactor = nullptr;  // the one the device belongs to, one of the server's
  BlockDevice* device = nullptr;
};

/// A device of another process on this host, which serves an export of the same name and listens for hand-overs.
struct RemoteTarget {
  std::string handover_path;
};

struct ExportOptions {
  std::string name;         // 1 to 4096 bytes
  std::string description;  // for people, may be empty; at most 4096 bytes
  bool read_only = false;
  std::variant<LocalTarget, RemoteTarget> target;
  /// Of the device, and on its reactor; lives as long. Clients reach them as NAME@SNAPSHOT. Null: none.
  SnapshotSet* snapshots = nullptr;
};

/// Where a TCP listener listens: the numeric address and the port the system chose when 0 was asked for.
struct TcpAddress {
  std::string host;
  uint16_t port = 0;
};

/// How long things may take; tests shorten them.
struct TimeLimits {
  using Duration = std::chrono::milliseconds;
  Duration handshake = std::chrono::seconds(30);    // from accept to the start of transmission
  Duration close = std::chrono::seconds(5);         // what is in flight, when a server or an export goes
  Duration handover = std::chrono::seconds(5);      // from a hand-over's connection to its message
  Duration stall_check = std::chrono::seconds(10);  // a client that takes no reply for three of these is disconnected
};

/// Called once, on a reactor's thread.
using Completed = std::function<void(Result<Unit>)>;

class ServerCore;

/// All calls come from one control thread, which is none of the reactors'; they do not block on I/O. Errors carry a
/// code of NativeErrorCode in src/engine/native.ts.
class Server {
 public:
  /// The reactors run until after this server is destroyed. The first one accepts and negotiates.
  explicit Server(std::vector<Reactor*> reactors, const TimeLimits& times = {});
  /// Closes first, and waits for it, when nobody has called close().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Visible to clients when it returns. EXPORT_EXISTS, INVALID_ARGUMENT, CLOSED.
  Result<Unit> add_export(ExportOptions options);
  /// Completes when no connection uses the device any more. EXPORT_MISSING; VOLUME_IN_USE with connected clients unless
  /// forced: then requests in flight are finished and answered, and the clients disconnected.
  void remove_export(const std::string& name, bool force, Completed done);
  /// Connections of this process in the transmission phase; 0 for an export that is not here.
  size_t connections(const std::string& name) const;

  /// `host`: a numeric address or a name of /etc/hosts; port 0: the system chooses. EADDRINUSE, EADDRNOTAVAIL, EACCES,
  /// ...
  Result<TcpAddress> listen_tcp(const std::string& host, uint16_t port);
  /// Replaces the socket file of a process that is gone; EADDRINUSE where one is listening.
  Result<Unit> listen_unix(const std::string& path);
  /// Takes connections over that other processes' servers hand to this one. As listen_unix().
  Result<Unit> listen_handover(const std::string& path);

  /// Stops accepting, lets requests in flight finish and their replies go out (for a bounded time), then disconnects.
  /// Removes the socket files. Every later call fails with CLOSED.
  void close(Completed done);

 private:
  std::shared_ptr<ServerCore> core_;
};

}  // namespace cairn::nbd
