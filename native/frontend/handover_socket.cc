#include "frontend/handover_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "frontend/limits.h"

namespace cairn {
namespace {

union DescriptorMessage {
  cmsghdr align;
  std::array<char, CMSG_SPACE(sizeof(int))> bytes;
};

Error protocol_error() { return {"EPROTO", "a hand-over message could not be read"}; }

bool same_user(int connection) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         (peer.uid == ::geteuid() || peer.uid == 0);
}

/// Closes every descriptor that the message carries but one.
UniqueFd take_descriptor(msghdr& message) {
  UniqueFd taken;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
    taken = UniqueFd(fd);
  }
  return taken;
}

}  // namespace

Status connect_handover(const std::string& path, UniqueFd& connection) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Status::from_errno(ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  connection = UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection.valid()) return Status::from_errno(errno);
  if (::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Status::from_errno(errno);
  return Status();
}

Status send_descriptor(const std::string& path, int carried, std::span<const std::byte> message) {
  UniqueFd connection;
  if (const Status connected = connect_handover(path, connection); !connected.ok()) return connected;
  iovec body{const_cast<std::byte*>(message.data()), message.size()};
  DescriptorMessage descriptor{};
  msghdr header{};
  header.msg_iov = &body;
  header.msg_iovlen = 1;
  header.msg_control = &descriptor;
  header.msg_controllen = sizeof descriptor.bytes;
  cmsghdr* control = CMSG_FIRSTHDR(&header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof carried);
  std::memcpy(CMSG_DATA(control), &carried, sizeof carried);
  return ::sendmsg(connection.get(), &header, MSG_NOSIGNAL) < 0 ? Status::from_errno(errno) : Status();
}

Task<bool> hand_over(Reactor& reactor, const std::string& path, int descriptor, std::span<const std::byte> message) {
  for (unsigned attempt = 0; attempt < handover_attempts_max; ++attempt) {
    const Status status = send_descriptor(path, descriptor, message);
    if (status.ok()) co_return true;
    if (status.error() != EAGAIN) co_return false;
    co_await reactor.sleep(handover_pause);
  }
  co_return false;
}

Status send_message(int connection, std::span<const std::byte> message) {
  const ssize_t sent = ::send(connection, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? Status::from_errno(errno) : Status();
}

Result<HandoverPacket> receive_packet(int connection) {
  if (!same_user(connection)) return Error{"EPERM", "a process of another user tried to hand a connection over"};
  HandoverPacket packet;
  packet.message.resize(handover_message_max);
  iovec body{packet.message.data(), packet.message.size()};
  DescriptorMessage descriptor{};
  msghdr header{};
  header.msg_iov = &body;
  header.msg_iovlen = 1;
  header.msg_control = &descriptor;
  header.msg_controllen = sizeof descriptor.bytes;
  const ssize_t length = ::recvmsg(connection, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length <= 0) return protocol_error();
  packet.descriptor = take_descriptor(header);
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return protocol_error();
  packet.message.resize(static_cast<size_t>(length));
  return packet;
}

}  // namespace cairn
