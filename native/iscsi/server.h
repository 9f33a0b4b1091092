// The iSCSI server: targets by name, listeners, and the way a connection takes from a listener to the reactor, or the
// process, that holds its volume. A target is one volume, its logical unit 0. docs/protocols/iscsi.md says what is
// supported.
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
#include "block/admission.h"
#include "block/block_device.h"
#include "frontend/completed.h"
#include "frontend/listen.h"
#include "iscsi/access.h"
#include "iscsi/scsi/identity.h"

namespace cairn::iscsi {

/// A device of this process. It lives until remove_target() has completed; it may grow meanwhile.
struct LocalTarget {
  Reactor* reactor = nullptr;  // the one the device belongs to, one of the server's
  BlockDevice* device = nullptr;
  Admission* admission = nullptr;  // to it; null: always
  scsi::Identity identity;
  /// A file that keeps persistent reservations over restarts, beside the device's data; it need not exist yet. Empty:
  /// they cannot be kept.
  std::string reservations_path;
};

/// A device of another process on this host, which serves a target of the same name and listens for hand-overs.
struct RemoteTarget {
  std::string handover_path;
};

/// A device of another host: initiators are sent there (RFC 7143 section 11.13.5, "target moved temporarily").
struct MovedTarget {
  std::string address;  // HOST[:PORT], IPv6 in brackets
};

struct TargetOptions {
  std::string name;   // an iSCSI name: iqn., eui. or naa. (RFC 7143 section 4.2.7)
  std::string alias;  // for people, may be empty; at most 255 bytes
  bool read_only = false;
  Access access;
  std::variant<LocalTarget, RemoteTarget, MovedTarget> target;
};

/// Where initiators are told that targets are (SendTargets). None: at the address that they have connected to.
struct Portal {
  std::string host;  // numeric, or a name that initiators can resolve; IPv6 without brackets
  uint16_t port = 3260;
  uint16_t group_tag = 1;
};

/// How long things may take; tests shorten them. What takes longer ends the connection.
struct TimeLimits {
  using Duration = std::chrono::milliseconds;
  Duration login = std::chrono::seconds(15);       // from accept to the full feature phase
  Duration idle = std::chrono::seconds(20);        // of a session: then the target asks (NOP-In)
  Duration nop_answer = std::chrono::seconds(15);  // to that question
  Duration data = std::chrono::seconds(60);        // from an R2T to its data; from the first byte of a PDU to its last
  Duration send = std::chrono::seconds(60);        // an initiator that takes nothing for so long is disconnected
  Duration close = std::chrono::seconds(5);        // what is in flight, when a server or a target goes
  Duration handover = std::chrono::seconds(5);     // from a hand-over's connection to its message
};

/// What a server takes on at the same time.
struct Limits {
  size_t connections_max = 4096;  // one beyond is closed at once
  size_t logins_max = 256;        // of those, not logged in yet
  TimeLimits times;
};

class ServerCore;

/// All calls come from one control thread, which is none of the reactors'; they do not block on I/O. Errors carry a
/// code of NativeErrorCode in src/engine/native.ts. The shape of nbd::Server.
class Server {
 public:
  /// The reactors run until after this server is destroyed. The first one accepts, and serves discovery sessions.
  explicit Server(std::vector<Reactor*> reactors, const Limits& limits = {});
  /// Closes first, and waits for it, when nobody has called close().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Initiators can log in when it completes. EXPORT_EXISTS, INVALID_ARGUMENT, CLOSED; REPLICA_CORRUPT when the file of
  /// reservations is damaged.
  void add_target(TargetOptions options, Completed done);
  /// Completes when no session uses the device any more. EXPORT_MISSING; VOLUME_IN_USE with sessions unless forced:
  /// then commands in flight are finished and answered, the initiators asked to log out and disconnected.
  void remove_target(const std::string& name, bool force, Completed done);
  /// Of a target that is there: for logins that begin later. EXPORT_MISSING, INVALID_ARGUMENT.
  Result<Unit> set_access(const std::string& name, Access access);
  /// The pool is running out of space, or not any more: sessions of the target are told (SBC-4 4.7.3.8.5).
  void set_space_low(const std::string& name, bool low);
  /// Sessions of this process; 0 for a target that is not here.
  size_t sessions(const std::string& name) const;

  /// Of discovery sessions. INVALID_ARGUMENT.
  Result<Unit> set_discovery_access(Access access);
  /// For discovery sessions that begin later. INVALID_ARGUMENT.
  Result<Unit> set_portals(std::vector<Portal> portals);

  /// `host`: a numeric address or a name of /etc/hosts; port 0: the system chooses. EADDRINUSE, EADDRNOTAVAIL, EACCES,
  /// ...
  Result<TcpAddress> listen_tcp(const std::string& host, uint16_t port);
  /// Ends what listen_tcp() has begun at this address, as it told it. Connections that came in there stay.
  void unlisten_tcp(const TcpAddress& address, Completed done);
  /// Takes connections over that other processes' servers hand to this one.
  Result<Unit> listen_handover(const std::string& path);

  /// Stops accepting, lets commands in flight finish and their answers go out (for a bounded time), then disconnects.
  /// Every later call fails with CLOSED.
  void close(Completed done);

 private:
  std::shared_ptr<ServerCore> core_;
};

}  // namespace cairn::iscsi
