#include "iscsi/branch.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "frontend/handover_socket.h"
#include "iscsi/server_core.h"

namespace cairn::iscsi {
namespace {

/// Often enough for the shortest of the limits that are looked after so.
Reactor::Clock::duration progress_interval(const TimeLimits& times) {
  return std::min({times.idle, times.nop_answer, times.data, times.send}) / 4;
}

}  // namespace

Branch::Branch(ServerCore& core, Reactor& reactor)
    : core_(core),
      reactor_(reactor),
      acceptor_(reactor, [this](UniqueFd client, ListenerKind kind) { accepted(std::move(client), kind); }),
      progress_timer_(reactor, [this] { check_progress(); }),
      close_timer_(reactor, [this] { for_each_session([](Session* session) { session->terminate(); }); }) {}

Branch::~Branch() = default;

const TimeLimits& Branch::times() const { return core_.limits().times; }

// ---- Connections ----------------------------------------------------------------------------------------------------

bool Branch::has_room() const {
  return core_.connections() < core_.limits().connections_max && core_.logins() < core_.limits().logins_max;
}

void Branch::accepted(UniqueFd client, ListenerKind kind) {
  if (kind == ListenerKind::handover) {
    receive_handover(std::move(client), core_.presence());
    return;
  }
  if (!has_room()) return;
  set_client_options(client.get(), kind);
  ConnectionTransfer connection;
  connection.socket = std::move(client);
  connection.presence = core_.connection_presence();
  Arrival::start(*this, std::move(connection), Arrival::From::listener);
}

Detached Branch::receive_handover(UniqueFd connection, Presence presence) {
  const File file = reactor_.adopt(std::move(connection));
  Timer deadline(reactor_, [&file] { ::shutdown(file.fd(), SHUT_RDWR); });
  deadline.start(times().handover);
  co_await reactor_.poll(file, POLLIN);
  Result<HandoverPacket> packet = receive_packet(file.fd());
  // One that cannot be received is closed by its sender's giving up on it, which an initiator sees as a disconnect.
  if (!packet.ok() || !packet.value().descriptor.valid() || !has_room()) co_return;
  std::optional<ConnectionTransfer> transfer = decode_transfer(packet.value().message);
  if (!transfer) co_return;
  transfer->socket = std::move(packet.value().descriptor);
  transfer->presence = core_.connection_presence();
  Arrival::start(*this, std::move(*transfer), Arrival::From::elsewhere);
}

void Branch::move_to(Reactor& reactor, ConnectionTransfer connection) {
  // A std::function must be copyable, a descriptor is not.
  auto carried = std::make_shared<ConnectionTransfer>(std::move(connection));
  Branch& target = core_.branch_of(reactor);
  reactor.post([&target, carried] { Arrival::start(target, std::move(*carried), Arrival::From::elsewhere); });
}

// ---- Sessions -------------------------------------------------------------------------------------------------------

void Branch::session_started() {
  if (session_count_++ == 0) progress_timer_.start(progress_interval(times()), true);
}

void Branch::session_ended() {
  if (--session_count_ == 0) progress_timer_.stop();
}

template <typename Visit>
void Branch::for_each_session(Visit visit) {
  discoveries_.for_each(visit);
  for (const auto& target : core_.targets().list())
    if (target->reactor() == &reactor_) target->sessions().for_each(visit);
}

void Branch::check_progress() {
  for_each_session([](Session* session) { session->check_progress(); });
  if (session_count_ > 0) progress_timer_.start(progress_interval(times()), true);
}

// ---- Targets --------------------------------------------------------------------------------------------------------

Detached Branch::add(std::shared_ptr<Target> added, Completed done, Presence presence) {
  if (added->reactor() == &reactor_) {
    Result<Unit> opened = co_await added->open();
    if (!opened.ok()) {
      done(opened.error());
      co_return;
    }
  }
  if (closing_) {
    done(Error{"CLOSED", "the iSCSI server is closed"});
  } else if (!core_.targets().add(added)) {
    done(Error{"EXPORT_EXISTS", "there is a target " + added->name() + " already"});
  } else {
    done(Unit{});
  }
}

Detached Branch::remove(std::shared_ptr<Target> removed, bool force, Completed done, Presence presence) {
  const bool here = removed->reactor() == &reactor_;
  if (here && !force && removed->session_count() > 0) {
    done(Error{"VOLUME_IN_USE", "target " + removed->name() + " has sessions"});
    co_return;
  }
  if (!core_.targets().remove(*removed)) {
    done(Error{"EXPORT_MISSING", "there is no target " + removed->name()});
    co_return;
  }
  if (here) {
    removed->set_removed();
    removed->sessions().for_each([](Session* session) {
      session->announce_end();
      session->drain();
    });
    Timer limit(reactor_, [&removed] { removed->sessions().for_each([](Session* session) { session->terminate(); }); });
    limit.start(times().close);
    co_await removed->users().wait_idle();
  }
  done(Unit{});
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

void Branch::close() {
  closing_ = true;
  acceptor_.close();
  arrivals_.for_each([](Arrival* arrival) { arrival->close(); });
  for_each_session([](Session* session) {
    session->announce_end();
    session->drain();
  });
  close_timer_.start(times().close);
}

void Branch::finish() {
  close_timer_.stop();
  progress_timer_.stop();
}

}  // namespace cairn::iscsi
