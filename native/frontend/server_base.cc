#include "frontend/server_base.h"

#include <algorithm>
#include <future>

namespace cairn {

bool ServerBase::owns(const Reactor* reactor) const {
  return std::ranges::any_of(parts_, [reactor](ServerPart* part) { return &part->reactor() == reactor; });
}

size_t ServerBase::index_of(const Reactor& reactor) const {
  const auto found =
      std::ranges::find_if(parts_, [&reactor](ServerPart* part) { return &part->reactor() == &reactor; });
  CAIRN_ASSERT(found != parts_.end());
  return static_cast<size_t>(found - parts_.begin());
}

void ServerBase::fail(Completed done, Error error) {
  first().reactor().post([done = std::move(done), error = std::move(error)] { done(error); });
}

// ---- Listeners ------------------------------------------------------------------------------------------------------

Result<TcpAddress> ServerBase::listen_tcp(const std::string& host, uint16_t port) {
  if (closed()) return closed_error();
  Result<ListeningSocket> socket = open_tcp_listener(host, port);
  if (!socket.ok()) return socket.error();
  TcpAddress address = socket.value().address;
  listen(std::move(socket.value()));
  return address;
}

void ServerBase::unlisten_tcp(const TcpAddress& address, Completed done) {
  if (closed()) return fail(std::move(done), closed_error());
  auto kept = std::make_shared<Presence>(presence());
  first().reactor().post(
      [&part = first(), address, done = std::move(done), kept] { part.acceptor().unlisten(address, done); });
}

Result<Unit> ServerBase::listen_unix(const std::string& path, ListenerKind kind) {
  if (closed()) return closed_error();
  Result<ListeningSocket> socket = open_unix_listener(path, kind);
  if (!socket.ok()) return socket.error();
  listen(std::move(socket.value()));
  return Unit{};
}

void ServerBase::listen(ListeningSocket socket) {
  // Shared because a std::function must be copyable. The presence keeps a close() that comes next waiting for it.
  struct Carried {
    ListeningSocket socket;
    Presence presence;
  };
  auto carried = std::make_shared<Carried>(Carried{std::move(socket), presence()});
  first().reactor().post(
      [&part = first(), carried] { part.acceptor().listen(std::move(carried->socket), std::move(carried->presence)); });
}

// ---- The end --------------------------------------------------------------------------------------------------------

void ServerBase::close(Completed done) {
  if (closed()) return fail(std::move(done), closed_error());
  attendance_.close(parts_, shared_from_this(), std::move(done));
}

void ServerBase::end() {
  if (closed()) return;
  std::promise<void> closed;
  close([&closed](const Result<Unit>&) { closed.set_value(); });
  closed.get_future().wait();
}

}  // namespace cairn
