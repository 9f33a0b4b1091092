// Listening sockets: made, and cleaned up after, on the control thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace cairn {

/// Where a TCP listener listens: the numeric address and the port the system chose when 0 was asked for.
struct TcpAddress {
  std::string host;
  uint16_t port = 0;
};

enum class ListenerKind : uint8_t { tcp, unix_stream, handover };

/// The socket file of a unix listener, removed with it unless somebody else has put another one there.
class SocketFile {
 public:
  SocketFile() = default;
  explicit SocketFile(std::string path);
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&& other) noexcept;
  ~SocketFile() { remove(); }
  void remove();

 private:
  std::string path_;
  struct stat identity_ {};
};

struct ListeningSocket {
  UniqueFd fd;
  ListenerKind kind = ListenerKind::tcp;
  SocketFile file;     // of a unix socket
  TcpAddress address;  // of a TCP one
};

Result<ListeningSocket> open_tcp_listener(const std::string& host, uint16_t port);
/// `kind`: unix_stream, or handover, which only this user's processes may connect to.
Result<ListeningSocket> open_unix_listener(const std::string& path, ListenerKind kind);

/// Options of an accepted client's socket.
void set_client_options(int fd, ListenerKind kind);

}  // namespace cairn
