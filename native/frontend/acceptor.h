#pragma once

#include <functional>

#include "aio/reactor.h"
#include "base/intrusive_list.h"
#include "frontend/listen.h"
#include "frontend/presence.h"

namespace cairn {

/// The listeners of one reactor.
class Acceptor {
 public:
  using Accepted = std::function<void(UniqueFd connection, ListenerKind kind)>;
  Acceptor(Reactor& reactor, Accepted accepted) : reactor_(reactor), accepted_(std::move(accepted)) {}

  void listen(ListeningSocket socket, Presence presence);
  /// No new connection comes in at the address; those that are there stay. Succeeds when nothing listens there.
  void unlisten(const TcpAddress& address, Completed done);
  /// Ends all of them, for good.
  void close();

 private:
  struct Listener : ListLink {
    File socket;
    ListenerKind kind = ListenerKind::tcp;
    SocketFile file;
    Presence presence;
    TcpAddress address;   // of a TCP one
    bool ending = false;  // its own end, not the server's
    Completed ended;      // told when nothing listens there any more
  };

  Detached accept_from(Listener* listener);
  Detached cancel_accept(Listener* listener);

  Reactor& reactor_;
  Accepted accepted_;
  bool closing_ = false;
  IntrusiveList<Listener> listeners_;
};

}  // namespace cairn
