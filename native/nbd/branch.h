#pragma once

#include <functional>
#include <list>
#include <memory>

#include "aio/reactor.h"
#include "base/intrusive_list.h"
#include "frontend/acceptor.h"
#include "frontend/receive_buffer.h"
#include "nbd/connection_transfer.h"
#include "nbd/export.h"
#include "nbd/negotiation.h"
#include "nbd/options/option.h"
#include "nbd/request.h"
#include "nbd/tls_pump.h"

namespace cairn::nbd {

class ServerCore;

/// A server's part on one reactor: the listeners, handshakes and sessions there, and what they share. Lives on that
/// reactor's thread but for its construction and destruction.
class Branch final : public ServerPart {
 public:
  Branch(ServerCore& core, Reactor& reactor);
  ~Branch();

  Reactor& reactor() override { return reactor_; }
  const TimeLimits& times() const;
  bool closing() const { return closing_; }
  HandshakeSite handshake_site(bool may_leave_process, const TlsPolicy* tls) const;
  /// One that is not counted as a connection.
  Presence presence() const;
  ReceiveBufferShelf& receive_buffers() { return receive_buffers_; }
  RequestPool& requests() { return requests_; }
  IntrusiveList<Negotiation>& negotiations() { return negotiations_; }
  void negotiation_started();
  void negotiation_ended();
  IntrusiveList<TlsPump>& pumps() { return pumps_; }

  Acceptor& acceptor() override { return acceptor_; }
  void negotiate(ConnectionTransfer connection) { Negotiation::start(*this, std::move(connection)); }
  /// On whichever reactor is next: TLS is work that one of them could not do for all.
  void start_pump(TlsPump::Coupling coupling);
  /// To the branch of another reactor of this server.
  void move_to(Reactor& reactor, ConnectionTransfer connection);
  /// Of an export of this reactor, or (on the first one) of a remote one.
  Detached remove(std::shared_ptr<Export> removed, bool force, Completed done, Presence presence);
  void close() override;
  void finish() override;

  /// Sessions and pumps: what is checked for progress.
  void checked_started();
  void checked_ended();

 private:
  void accepted(UniqueFd client, ListenerKind kind);
  bool has_room() const;
  Detached receive_handover(UniqueFd connection, Presence presence);
  template <typename Visit>
  void for_each_session(Visit visit);
  void check_progress();

  ServerCore& core_;
  Reactor& reactor_;
  bool closing_ = false;
  Acceptor acceptor_;
  ReceiveBufferShelf receive_buffers_;
  RequestPool requests_;
  IntrusiveList<Negotiation> negotiations_;
  IntrusiveList<TlsPump> pumps_;
  size_t checked_count_ = 0;
  Timer stall_timer_;
  Timer close_timer_;
};

}  // namespace cairn::nbd
