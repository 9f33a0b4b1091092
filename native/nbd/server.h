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
#include "block/admission.h"
#include "block/block_device.h"
#include "block/snapshot_set.h"
#include "frontend/completed.h"
#include "frontend/listen.h"

namespace cairn::nbd {

/// A device of this process. It lives until remove_export() has completed; it may grow meanwhile.
struct LocalTarget {
  Reactor* reactor = nullptr;  // the one the device belongs to, one of the server's
  BlockDevice* device = nullptr;
  Admission* admission = nullptr;  // to it; null: always
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

/// How long things may take; tests shorten them. What takes longer ends the connection.
struct TimeLimits {
  using Duration = std::chrono::milliseconds;
  Duration first_byte = std::chrono::seconds(10);     // from accept to the client's flags
  Duration handshake = std::chrono::seconds(30);      // from there to the start of transmission, and again elsewhere
  Duration tls_handshake = std::chrono::seconds(10);  // of it
  Duration request = std::chrono::seconds(120);       // from a request's first byte to its last; the sending of replies
  Duration close = std::chrono::seconds(5);           // what is in flight, when a server or an export goes
  Duration handover = std::chrono::seconds(5);        // from a hand-over's connection to its message
  Duration stall_check = std::chrono::seconds(10);    // a client that takes no reply for three of these is disconnected
  Duration tls_goodbye = std::chrono::seconds(1);     // for a client's own end of TLS after the server's
};

/// What a server takes on at the same time.
struct Limits {
  size_t connections_max = 4096;   // one beyond is closed at once
  size_t negotiations_max = 1024;  // of those, in the handshake
  TimeLimits times;
};

/// The names and files are those of qemu and nbdkit.
struct TlsSettings {
  enum class Mode : uint8_t {
    off,      // NBD_OPT_STARTTLS is refused
    on,       // the client decides
    require,  // nothing goes without
  };
  Mode mode = Mode::off;
  /// Of server-cert.pem and server-key.pem, and for clients' certificates ca-cert.pem and maybe ca-crl.pem. Empty:
  /// none.
  std::string certificate_directory;
  /// Clients must have a certificate that the ca-cert.pem has signed. Those with a pre-shared key need none.
  bool verify_peer = false;
  /// Lines USER:KEY, the key in hexadecimal, as psktool writes them. Empty: no pre-shared keys.
  std::string psk_file;
};

class ServerCore;

/// All calls come from one control thread, which is none of the reactors'; they do not block on I/O. Errors carry a
/// code of NativeErrorCode in src/engine/native.ts.
class Server {
 public:
  /// The reactors run until after this server is destroyed. The first one accepts and negotiates.
  explicit Server(std::vector<Reactor*> reactors, const Limits& limits = {});
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

  /// Reads the files, which blocks. Connections that are accepted later use them; those that exist go on as they are.
  /// INVALID_ARGUMENT, with a sentence that names the file: then the settings before stay.
  Result<Unit> set_tls(const TlsSettings& settings);

  /// `host`: a numeric address or a name of /etc/hosts; port 0: the system chooses. EADDRINUSE, EADDRNOTAVAIL, EACCES,
  /// ...
  Result<TcpAddress> listen_tcp(const std::string& host, uint16_t port);
  /// Ends what listen_tcp() has begun at this address, as it told it. Connections that came in there stay.
  void unlisten_tcp(const TcpAddress& address, Completed done);
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
