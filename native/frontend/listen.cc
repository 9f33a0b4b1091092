#include "frontend/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "frontend/limits.h"

namespace cairn {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<TcpAddress> bound_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  std::array<char, NI_MAXHOST> host;
  std::array<char, NI_MAXSERV> port;
  const int error = ::getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host.data(), host.size(), port.data(),
                                  port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return Error{"EIO", std::string("getnameinfo: ") + ::gai_strerror(error)};
  return TcpAddress{host.data(), static_cast<uint16_t>(std::stoi(port.data()))};
}

Result<UniqueFd> bind_tcp(const addrinfo& address, const std::string& where) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return system_error("listen on", where, errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ai_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || ::listen(fd.get(), listen_backlog) != 0)
    return system_error("listen on", where, errno);
  return fd;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

int bind_unix(int fd, const sockaddr_un& address) {
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

/// Whether `path` is a socket file that nobody listens on.
bool stale(const sockaddr_un& address, int type) {
  struct stat identity {};
  if (::lstat(address.sun_path, &identity) != 0 || !S_ISSOCK(identity.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool connected = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  return !connected && errno == ECONNREFUSED;
}

}  // namespace

SocketFile::SocketFile(std::string path) : path_(std::move(path)) { ::lstat(path_.c_str(), &identity_); }

SocketFile::SocketFile(SocketFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), identity_(other.identity_) {}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
  remove();
  path_ = std::exchange(other.path_, {});
  identity_ = other.identity_;
  return *this;
}

void SocketFile::remove() {
  if (path_.empty()) return;
  struct stat now {};
  const bool ours =
      ::lstat(path_.c_str(), &now) == 0 && now.st_ino == identity_.st_ino && now.st_dev == identity_.st_dev;
  if (ours) ::unlink(path_.c_str());
  path_.clear();
}

Result<ListeningSocket> open_tcp_listener(const std::string& host, uint16_t port) {
  const std::string where = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return Error{"EADDRNOTAVAIL", "listen on " + where + ": " + ::gai_strerror(error)};
  const Addresses addresses(found, &::freeaddrinfo);
  Result<UniqueFd> fd = bind_tcp(*addresses, where);
  if (!fd.ok()) return fd.error();
  Result<TcpAddress> address = bound_address(fd.value().get());
  if (!address.ok()) return address.error();
  return ListeningSocket{std::move(fd.value()), ListenerKind::tcp, {}, std::move(address.value())};
}

Result<ListeningSocket> open_unix_listener(const std::string& path, ListenerKind kind) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path) || path.find('\0') != std::string::npos)
    return system_error("listen on", path, ENAMETOOLONG);
  const int type = kind == ListenerKind::handover ? SOCK_SEQPACKET : SOCK_STREAM;
  const sockaddr_un address = unix_address(path);
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return system_error("listen on", path, errno);
  int error = bind_unix(fd.get(), address);
  if (error == EADDRINUSE && stale(address, type)) {
    ::unlink(path.c_str());
    error = bind_unix(fd.get(), address);
  }
  if (error != 0) return system_error("listen on", path, error);
  SocketFile file(path);
  if (kind == ListenerKind::handover && ::chmod(path.c_str(), 0600) != 0) return system_error("listen on", path, errno);
  if (::listen(fd.get(), listen_backlog) != 0) return system_error("listen on", path, errno);
  return ListeningSocket{std::move(fd), kind, std::move(file), {}};
}

void set_client_options(int fd, ListenerKind kind) {
  const int on = 1;
  if (kind == ListenerKind::tcp) {
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_idle_seconds, sizeof(int));
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &keepalive_interval_seconds, sizeof(int));
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &keepalive_count, sizeof(int));
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_milliseconds, sizeof(unsigned));
  } else {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unix_socket_buffer, sizeof unix_socket_buffer);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &unix_socket_buffer, sizeof unix_socket_buffer);
  }
}

}  // namespace cairn
