#pragma once

#include "aio/reactor.h"
#include "base/intrusive_list.h"
#include "frontend/acceptor.h"
#include "frontend/receive_buffer.h"
#include "iscsi/arrival.h"
#include "iscsi/connection_transfer.h"
#include "iscsi/session/session.h"
#include "iscsi/target.h"

namespace cairn::iscsi {

class ServerCore;

/// A server's part on one reactor: the listeners, logins and sessions there, and what they share. Lives on that
/// reactor's thread but for its construction and destruction.
class Branch final : public ServerPart {
 public:
  Branch(ServerCore& core, Reactor& reactor);
  ~Branch();

  Reactor& reactor() override { return reactor_; }
  ServerCore& core() { return core_; }
  const TimeLimits& times() const;
  bool closing() const { return closing_; }
  ReceiveBufferShelf& receive_buffers() { return receive_buffers_; }
  TaskPool& tasks() { return tasks_; }
  MessagePool& messages() { return messages_; }
  IntrusiveList<Arrival>& arrivals() { return arrivals_; }
  IntrusiveList<Session>& discoveries() { return discoveries_; }
  Acceptor& acceptor() override { return acceptor_; }

  /// To the branch of another reactor of this server.
  void move_to(Reactor& reactor, ConnectionTransfer connection);
  /// Of a target of this reactor, or (on the first one) of one that is elsewhere.
  Detached add(std::shared_ptr<Target> added, Completed done, Presence presence);
  Detached remove(std::shared_ptr<Target> removed, bool force, Completed done, Presence presence);
  void close() override;
  void finish() override;

  void session_started();
  void session_ended();

 private:
  void accepted(UniqueFd connection, ListenerKind kind);
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
  TaskPool tasks_;
  MessagePool messages_;
  IntrusiveList<Arrival> arrivals_;
  IntrusiveList<Session> discoveries_;
  size_t session_count_ = 0;
  Timer progress_timer_;
  Timer close_timer_;
};

}  // namespace cairn::iscsi
