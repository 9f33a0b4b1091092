#include "frontend/acceptor.h"

#include "frontend/limits.h"

namespace cairn {

void Acceptor::listen(ListeningSocket socket, Presence presence) {
  auto* listener = new Listener;
  listener->socket = reactor_.adopt(std::move(socket.fd));
  listener->kind = socket.kind;
  listener->file = std::move(socket.file);
  listener->presence = std::move(presence);
  listener->address = std::move(socket.address);
  listeners_.push_back(listener);
  accept_from(listener);
}

void Acceptor::unlisten(const TcpAddress& address, Completed done) {
  Listener* found = nullptr;
  listeners_.for_each([&](Listener* each) {
    const bool is_it = each->kind == ListenerKind::tcp && !each->ending && each->address.host == address.host &&
                       each->address.port == address.port;
    if (is_it) found = each;
  });
  if (found == nullptr || closing_) return done(Unit{});
  found->ending = true;
  found->ended = std::move(done);
  cancel_accept(found);
}

Detached Acceptor::accept_from(Listener* listener) {
  while (!closing_ && !listener->ending) {
    const int result = co_await reactor_.accept(listener->socket);
    if (result >= 0) {
      UniqueFd connection(result);
      if (!closing_) accepted_(std::move(connection), listener->kind);
    } else if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
      co_await reactor_.sleep(accept_pause);
    } else if (result != -ECONNABORTED && result != -EINTR && result != -EAGAIN && result != -EPROTO) {
      break;  // cancelled
    }
  }
  const Completed ended = std::move(listener->ended);
  listener->unlink();
  delete listener;
  if (ended) ended(Unit{});
}

void Acceptor::close() {
  closing_ = true;
  listeners_.for_each([this](Listener* listener) { cancel_accept(listener); });
}

Detached Acceptor::cancel_accept(Listener* listener) { co_await reactor_.cancel(listener->socket); }

}  // namespace cairn
