#include "nbd/branch.h"

#include <poll.h>
#include <sys/socket.h>

#include "nbd/describe.h"
#include "nbd/handover_socket.h"
#include "nbd/limits.h"
#include "nbd/server_core.h"
#include "nbd/session.h"

namespace cairn::nbd {

Branch::Branch(ServerCore& core, Reactor& reactor)
    : core_(core),
      reactor_(reactor),
      acceptor_(reactor, [this](UniqueFd client, ListenerKind kind) { accepted(std::move(client), kind); }),
      stall_timer_(reactor, [this] { check_progress(); }),
      close_timer_(reactor, [this] {
        for_each_session([](Session* session) { session->terminate(); });
        pumps_.for_each([](TlsPump* pump) { pump->terminate(); });
      }) {}

Branch::~Branch() = default;

const TimeLimits& Branch::times() const { return core_.times(); }

Presence Branch::presence() const { return core_.presence(); }

HandshakeSite Branch::handshake_site(bool may_leave_process, const TlsPolicy* tls) const {
  return {.exports = core_.exports(),
          .reactor = &reactor_,
          .may_leave_process = may_leave_process,
          .closing = closing_,
          .tls_available = tls != nullptr && tls->available(),
          .tls_required = tls != nullptr && tls->required()};
}

void Branch::negotiation_started() { core_.negotiation_started(); }
void Branch::negotiation_ended() { core_.negotiation_ended(); }

// ---- Connections ----------------------------------------------------------------------------------------------------

bool Branch::has_room() const {
  const Limits& limits = core_.limits();
  return core_.connections() < limits.connections_max && core_.negotiations() < limits.negotiations_max;
}

void Branch::accepted(UniqueFd client, ListenerKind kind) {
  if (kind == ListenerKind::handover) {
    receive_handover(std::move(client), presence());
    return;
  }
  if (!has_room()) return;
  Presence presence = core_.connection_presence();
  set_client_options(client.get(), kind);
  negotiate({.socket = std::move(client),
             .negotiated = {},
             .unconsumed = {},
             .newly_accepted = true,
             .from_other_process = false,
             .tls = core_.tls(),
             .presence = std::move(presence)});
}

Detached Branch::receive_handover(UniqueFd connection, Presence presence) {
  const File file = reactor_.adopt(std::move(connection));
  Timer deadline(reactor_, [&file] { ::shutdown(file.fd(), SHUT_RDWR); });
  deadline.start(times().handover);
  co_await reactor_.poll(file, POLLIN);
  Result<HandoverMessage> received = receive_handover_message(file.fd());
  // One that cannot be received is closed by its sender's giving up on it, which a client sees as a disconnect.
  if (!received.ok()) co_return;
  if (auto* transfer = std::get_if<ConnectionTransfer>(&received.value())) {
    if (!has_room()) co_return;
    transfer->presence = core_.connection_presence();
    negotiate(std::move(*transfer));
    co_return;
  }
  const DescriptionQuestion& question = std::get<DescriptionQuestion>(received.value());
  DescriptionAnswer answer;
  const std::shared_ptr<Export> asked = core_.exports().find(question.export_name);
  // Not of a third process: two that name each other would ask for ever.
  if (asked != nullptr && asked->reactor() != nullptr) answer = co_await describe(*this, asked, question);
  // A sender that is gone needs no answer.
  (void)send_message(file.fd(), encode_answer(answer));
}

void Branch::move_to(Reactor& reactor, ConnectionTransfer connection) {
  // A std::function must be copyable, a descriptor is not.
  auto carried = std::make_shared<ConnectionTransfer>(std::move(connection));
  Branch& target = core_.branch_of(reactor);
  reactor.post([&target, carried] { target.negotiate(std::move(*carried)); });
}

void Branch::start_pump(TlsPump::Coupling coupling) {
  Branch& target = core_.next_branch();
  auto carried = std::make_shared<TlsPump::Coupling>(std::move(coupling));
  target.reactor().post([&target, carried] { TlsPump::start(target, std::move(*carried)); });
}

// ---- Sessions -------------------------------------------------------------------------------------------------------

void Branch::checked_started() {
  if (checked_count_++ == 0) stall_timer_.start(times().stall_check);
}

void Branch::checked_ended() {
  if (--checked_count_ == 0) stall_timer_.stop();
}

template <typename Visit>
void Branch::for_each_session(Visit visit) {
  for (const auto& exported : core_.exports().list())
    if (exported->reactor() == &reactor_) exported->sessions().for_each(visit);
}

void Branch::check_progress() {
  for_each_session([](Session* session) { session->check_progress(); });
  pumps_.for_each([](TlsPump* pump) { pump->check_progress(); });
  if (checked_count_ > 0) stall_timer_.start(times().stall_check);
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

Detached Branch::remove(std::shared_ptr<Export> removed, bool force, Completed done, Presence presence) {
  const bool here = removed->reactor() == &reactor_;
  if (here && !force && removed->connections() > 0) {
    done(Error{"VOLUME_IN_USE", "export " + removed->name() + " has connected clients"});
    co_return;
  }
  if (!core_.exports().remove(*removed)) {
    done(Error{"EXPORT_MISSING", "there is no export " + removed->name()});
    co_return;
  }
  if (here) {
    removed->set_removed();
    removed->sessions().for_each([](Session* session) { session->drain(); });
    Timer limit(reactor_, [&removed] { removed->sessions().for_each([](Session* session) { session->terminate(); }); });
    limit.start(times().close);
    co_await removed->users().wait_idle();
  }
  done(Unit{});
}

void Branch::close() {
  closing_ = true;
  acceptor_.close();
  negotiations_.for_each([](Negotiation* negotiation) { negotiation->close(); });
  for_each_session([](Session* session) { session->drain(); });
  pumps_.for_each([](TlsPump* pump) { pump->close(); });
  close_timer_.start(times().close);
}

void Branch::finish() {
  close_timer_.stop();
  stall_timer_.stop();
}

}  // namespace cairn::nbd
