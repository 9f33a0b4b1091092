#include "iscsi/portals.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "iscsi/login/check_access.h"

namespace cairn::iscsi {
namespace {

constexpr uint16_t default_port = 3260;

std::string with_port(const std::string& host, uint16_t port) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && host.front() != '[';
  return (bare_ipv6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::string with_group(const std::string& address, uint16_t group) { return address + ',' + std::to_string(group); }

/// HOST[:PORT] with a port.
std::string complete(const std::string& address) {
  const size_t bracket = address.rfind(']');
  const size_t colon = address.rfind(':');
  const bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  return has_port ? address : address + ':' + std::to_string(default_port);
}

std::string numeric(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return with_port(text, ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  // An IPv4 peer of an IPv6 socket.
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return with_port(text, ntohs(v6.sin6_port));
}

}  // namespace

std::string local_address(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return {};
  return numeric(address);
}

std::vector<ListedTarget> list_targets(const TargetTable& targets, const std::vector<Portal>& portals,
                                       const std::string& initiator_name, const std::string& reached_at) {
  std::vector<std::string> addresses;
  for (const Portal& portal : portals)
    addresses.push_back(with_group(with_port(portal.host, portal.port), portal.group_tag));
  if (addresses.empty() && !reached_at.empty()) addresses.push_back(with_group(reached_at, scsi::port_group));
  std::vector<ListedTarget> listed;
  for (const auto& target : targets.list()) {
    if (!admits(target->access(), initiator_name)) continue;
    if (const MovedTarget* moved = target->moved()) {
      listed.push_back({target->name(), {with_group(complete(moved->address), scsi::port_group)}});
    } else {
      listed.push_back({target->name(), addresses});
    }
  }
  return listed;
}

}  // namespace cairn::iscsi
