#include "nbd/negotiation.h"

#include <sys/socket.h>

#include "nbd/branch.h"
#include "nbd/describe.h"
#include "nbd/handover_socket.h"
#include "nbd/limits.h"
#include "nbd/session.h"

namespace cairn::nbd {

using Next = OptionOutcome::Next;

namespace {

OptionOutcome closed_outcome() { return {Next::close, nullptr, {}}; }

}  // namespace

void Negotiation::start(Branch& branch, ConnectionTransfer connection) {
  auto* negotiation = new Negotiation(branch, std::move(connection));
  negotiation->run();
}

Negotiation::Negotiation(Branch& branch, ConnectionTransfer connection)
    : branch_(branch),
      reactor_(branch.reactor()),
      presence_(std::move(connection.presence)),
      socket_(reactor_.adopt(std::move(connection.socket))),
      handshake_(connection.newly_accepted ? Handshake() : Handshake(std::move(connection.negotiated))),
      deadline_(reactor_, [this] { ::shutdown(socket_.fd(), SHUT_RDWR); }),
      tls_(std::move(connection.tls)),
      newly_accepted_(connection.newly_accepted),
      from_other_process_(connection.from_other_process),
      input_(std::move(connection.unconsumed)) {
  branch_.negotiations().push_back(this);
  branch_.negotiation_started();
  deadline_.start(newly_accepted_ ? branch_.times().first_byte : branch_.times().handshake);
}

Negotiation::~Negotiation() {
  branch_.negotiation_ended();
  unlink();
}

void Negotiation::close() { ::shutdown(socket_.fd(), SHUT_RD); }

Detached Negotiation::run() {
  if (newly_accepted_) Handshake::greet(output_);
  if (branch_.closing()) close();
  for (;;) {
    OptionOutcome outcome = co_await haggle();
    if (outcome.next == Next::transmit) {
      if (co_await send_output()) start_session();
      break;
    }
    if (outcome.next == Next::start_tls && start_tls()) continue;
    if (outcome.next != Next::transfer) break;
    if (outcome.chosen->reactor() != nullptr) {
      move_to_reactor(*outcome.chosen);
      break;
    }
    if (co_await move_to_process(*outcome.chosen)) break;
    const Handshake::Step step = handshake_.decline_transfer(unconsumed(), output_);
    consumed_ += step.consumed;
    if (step.outcome.next == Next::close) break;
  }
  delete this;
}

Task<OptionOutcome> Negotiation::haggle() {
  std::optional<DescriptionAnswer> answer;
  for (;;) {
    const HandshakeSite site = branch_.handshake_site(!from_other_process_, tls_.get());
    Handshake::Step step = handshake_.advance(site, unconsumed(), output_, answer ? &*answer : nullptr);
    answer.reset();
    consumed_ += step.consumed;
    if (step.outcome.next == Next::transmit) co_return std::move(step.outcome);
    entered_.reset();  // an option that asked for it was not granted after all
    if (step.outcome.next == Next::describe || step.outcome.next == Next::enter) {
      answer = co_await ask(step.outcome);
      continue;
    }
    if (step.outcome.next == Next::haggle && !step.incomplete) continue;
    // What came behind the option that starts TLS was sent in the clear, by whomever.
    if (step.outcome.next == Next::start_tls && !unconsumed().empty()) co_return closed_outcome();
    if (!co_await send_output()) co_return closed_outcome();
    if (step.outcome.next != Next::haggle) co_return std::move(step.outcome);
    if (!co_await receive_more()) co_return closed_outcome();
  }
}

Task<DescriptionAnswer> Negotiation::ask(const OptionOutcome& outcome) {
  if (outcome.next == Next::describe) return describe(branch_, outcome.chosen, outcome.question);
  // The device stays from here on, while the answer is on its way.
  return ExportUse::enter(outcome.chosen, outcome.question, entered_);
}

Task<bool> Negotiation::receive_more() {
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(consumed_));
  consumed_ = 0;
  const size_t kept = input_.size();
  CAIRN_ASSERT(kept + handshake_receive_size <= handshake_buffer_max);
  input_.resize(kept + handshake_receive_size);
  const int received = co_await reactor_.receive(socket_, std::span(input_).subspan(kept));
  input_.resize(kept + (received > 0 ? static_cast<size_t>(received) : 0));
  if (std::exchange(newly_accepted_, false)) deadline_.start(branch_.times().handshake);
  co_return received > 0;
}

bool Negotiation::start_tls() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  for (int end : ends) set_client_options(end, ListenerKind::unix_stream);
  UniqueFd network = socket_.release();
  socket_ = reactor_.adopt(UniqueFd(ends[0]));
  // The pump is what counts as a connection from now on: it stays when this one moves to another process.
  Presence presence = std::exchange(presence_, branch_.presence());
  branch_.start_pump({std::move(network), UniqueFd(ends[1]), tls_, std::move(presence)});
  return true;
}

Task<bool> Negotiation::send_output() {
  if (output_.empty()) co_return true;
  iovec piece{output_.data(), output_.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const int sent = co_await reactor_.send(socket_, &message);
  const bool all = sent >= 0 && static_cast<size_t>(sent) == output_.size();
  output_.clear();
  co_return all;
}

void Negotiation::start_session() {
  CAIRN_ASSERT(entered_.has_value());
  deadline_.stop();
  Session::start(branch_, {.socket = std::move(socket_),
                           .negotiated = handshake_.negotiated(),
                           .use = std::move(*entered_),
                           .presence = std::move(presence_),
                           .received = unconsumed()});
  entered_.reset();
}

Negotiated Negotiation::negotiated_for(const Export& chosen) const {
  Negotiated negotiated = handshake_.negotiated();
  negotiated.default_export = chosen.name();
  return negotiated;
}

void Negotiation::move_to_reactor(const Export& chosen) {
  deadline_.stop();
  const auto rest = unconsumed();
  branch_.move_to(*chosen.reactor(), {.socket = socket_.release(),
                                      .negotiated = negotiated_for(chosen),
                                      .unconsumed = {rest.begin(), rest.end()},
                                      .newly_accepted = false,
                                      .from_other_process = from_other_process_,
                                      .tls = tls_,
                                      .presence = std::move(presence_)});
}

Task<bool> Negotiation::move_to_process(const Export& chosen) {
  const std::string path = chosen.handover_path();
  const std::vector<std::byte> message = encode_transfer(negotiated_for(chosen), unconsumed());
  const bool moved = co_await hand_over(reactor_, path, socket_.fd(), message);
  co_return moved;
}

}  // namespace cairn::nbd
