#include "iscsi/arrival.h"

#include <openssl/rand.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "frontend/handover_socket.h"
#include "iscsi/branch.h"
#include "iscsi/server_core.h"

namespace cairn::iscsi {
namespace {

/// What one receive brings; an initiator that is not authenticated holds no more memory than this, a login request and
/// the text of the first one.
constexpr size_t receive_size = 8 * kibibyte;
/// Of every discovery session: nobody joins or replaces one.
constexpr uint16_t discovery_tsih = 1;

}  // namespace

// ---- Life -----------------------------------------------------------------------------------------------------------

void Arrival::start(Branch& branch, ConnectionTransfer connection, From from) {
  auto* arrival = new Arrival(branch, std::move(connection), from);
  arrival->run();
}

Arrival::Arrival(Branch& branch, ConnectionTransfer connection, From from)
    : branch_(branch),
      reactor_(branch.reactor()),
      presence_(std::move(connection.presence)),
      socket_(reactor_.adopt(std::move(connection.socket))),
      from_(from),
      from_other_process_(connection.from_other_process),
      deadline_(reactor_, [this] { close(); }),
      request_(connection.request),
      text_(std::move(connection.text)),
      input_(std::move(connection.unconsumed)),
      status_sn_(connection.status_sn) {
  branch_.arrivals().push_back(this);
  branch_.core().login_started();
  deadline_.start(branch_.times().login);
}

Arrival::~Arrival() {
  branch_.core().login_ended();
  unlink();
}

void Arrival::close() { ::shutdown(socket_.fd(), SHUT_RDWR); }

Detached Arrival::run() {
  if (branch_.closing()) close();
  bool here = from_ == From::elsewhere;
  if (!here) here = co_await receive_first_request();
  bool left = false;
  if (here) left = co_await route();
  if (here && !left) co_await negotiate();
  delete this;
}

// ---- Requests in ----------------------------------------------------------------------------------------------------

Task<bool> Arrival::receive_more() {
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(consumed_));
  consumed_ = 0;
  const size_t kept = input_.size();
  input_.resize(kept + receive_size);
  const int received = co_await reactor_.receive(socket_, std::span(input_).subspan(kept));
  input_.resize(kept + (received > 0 ? static_cast<size_t>(received) : 0));
  co_return received > 0;
}

Task<bool> Arrival::receive_request() {
  for (;;) {
    const std::span<const std::byte> bytes = unconsumed();
    if (bytes.size() >= wire::header_size) {
      std::memcpy(&request_, bytes.data(), sizeof request_);
      // Anything but a login ends a connection that has not logged in (RFC 7143 section 6.3).
      const auto opcode = static_cast<wire::Opcode>(request_.opcode_byte & wire::opcode_mask);
      if (opcode != wire::login_request || request_.data_length > segment_max_default) co_return false;
      const size_t text_at = wire::header_size + size_t{request_.ahs_words} * 4;
      const size_t size = text_at + wire::padded(request_.data_length);
      if (bytes.size() >= size) {
        const auto text = bytes.subspan(text_at, request_.data_length);
        text_.insert(text_.end(), text.begin(), text.end());
        consumed_ += size;
        co_return true;
      }
    }
    const bool more = co_await receive_more();
    if (!more) co_return false;
  }
}

/// Who the target is may be told in any of the PDUs of the first request.
Task<bool> Arrival::receive_first_request() {
  for (;;) {
    const bool received = co_await receive_request();
    if (!received || text_.size() > text_max) co_return false;
    if ((request_.flags & wire::continue_bit) == 0) co_return true;
    const bool sent = co_await send_reply(Login::ask_for_more(request_));
    if (!sent) co_return false;
  }
}

// ---- To where the target is -----------------------------------------------------------------------------------------

Task<bool> Arrival::route() {
  const FirstRequest first = peek(request_, text_);
  if (first.discovery) co_return false;
  target_ = branch_.core().targets().find(first.target_name);
  if (target_ == nullptr || target_->moved() != nullptr) co_return false;
  if (target_->reactor() == &reactor_) co_return false;
  if (target_->reactor() != nullptr) {
    move_to_reactor(*target_->reactor());
    co_return true;
  }
  // Not to a third process: two that name each other would pass it on for ever.
  if (from_other_process_) co_return false;
  const bool moved = co_await move_to_process(*target_->remote());
  co_return moved;
}

ConnectionTransfer Arrival::transfer() const {
  const auto rest = unconsumed();
  ConnectionTransfer transfer;
  transfer.request = request_;
  transfer.text = text_;
  transfer.unconsumed.assign(rest.begin(), rest.end());
  transfer.status_sn = status_sn_;
  transfer.from_other_process = from_other_process_;
  return transfer;
}

void Arrival::move_to_reactor(Reactor& reactor) {
  deadline_.stop();
  ConnectionTransfer moved = transfer();
  moved.socket = socket_.release();
  moved.presence = std::move(presence_);
  branch_.move_to(reactor, std::move(moved));
}

Task<bool> Arrival::move_to_process(const RemoteTarget& target) {
  const std::vector<std::byte> message = encode_transfer(transfer());
  const bool moved = co_await hand_over(reactor_, target.handover_path, socket_.fd(), message);
  co_return moved;
}

// ---- The login ------------------------------------------------------------------------------------------------------

LoginPolicy Arrival::policy() {
  LoginPolicy policy;
  policy.discovery_access = branch_.core().discovery_access();
  policy.find_target = [this](std::string_view) { return find_target(); };
  policy.find_session = [this](const SessionParameters& parameters) { return find_session(parameters); };
  policy.assign_tsih = [this](const SessionParameters& parameters) { return enter_session(parameters); };
  policy.randomize = [](std::span<std::byte> bytes) {
    CAIRN_ASSERT(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) == 1);
  };
  return policy;
}

FoundTarget Arrival::find_target() const {
  if (target_ == nullptr) return TargetMissing{};
  if (const MovedTarget* moved = target_->moved()) return TargetMoved{moved->address};
  // Where it is could not be reached.
  if (target_->reactor() != &reactor_) return TargetUnavailable{};
  if (target_->removed()) return TargetMissing{};
  return LoginTarget{.name = target_->name(),
                     .alias = target_->alias(),
                     .access = target_->access(),
                     .portal_group = scsi::port_group};
}

FoundSession Arrival::find_session(const SessionParameters& parameters) const {
  const Session* found = target_ == nullptr ? nullptr : target_->find_session(parameters.tsih);
  if (found == nullptr || found->parameters().initiator_name != parameters.initiator_name ||
      found->parameters().isid != parameters.isid)
    return FoundSession::none;
  return found->parameters().connection_id == parameters.connection_id ? FoundSession::with_connection
                                                                       : FoundSession::without_connection;
}

uint16_t Arrival::enter_session(const SessionParameters& parameters) {
  if (parameters.type == SessionParameters::Type::discovery) return discovery_tsih;
  Session* old = target_->find_session(parameters.initiator_name, parameters.isid);
  if (target_->removed() || (old == nullptr && target_->session_count() >= sessions_per_target_max)) return 0;
  use_.emplace(target_);
  return target_->new_tsih();
}

Task<> Arrival::negotiate() {
  Login login(policy());
  for (;;) {
    const Login::Reply reply = login.handle(request_, text_);
    text_.clear();
    if (reply.outcome == Login::Outcome::full_feature && use_) co_await end_former_session(login.parameters());
    const bool sent = co_await send_reply(reply);
    if (!sent || reply.outcome == Login::Outcome::failed) co_return;
    if (reply.outcome == Login::Outcome::full_feature) co_return start_session(login.parameters());
    const bool received = co_await receive_request();
    if (!received) co_return;
  }
}

/// Session reinstatement: the session of the same port ends before the new one begins (RFC 7143 section 6.3.5).
Task<> Arrival::end_former_session(const SessionParameters& parameters) {
  while (Session* old = target_->find_session(parameters.initiator_name, parameters.isid)) {
    old->terminate();
    co_await target_->session_ended();
  }
}

void Arrival::start_session(const SessionParameters& parameters) {
  deadline_.stop();
  // Two logins of one port at the same time: the later one stays.
  if (Session* other = use_ ? target_->find_session(parameters.initiator_name, parameters.isid) : nullptr)
    other->terminate();
  Session::start(branch_, {.socket = std::move(socket_),
                           .parameters = parameters,
                           .use = std::move(use_),
                           .presence = std::move(presence_),
                           .received = unconsumed(),
                           .command_sn = uint32_t{request_.command_sn},
                           .status_sn = status_sn_});
  use_.reset();
}

Task<bool> Arrival::send_reply(const Login::Reply& reply) {
  Message message;
  message.frame.head.fill(std::byte{});
  std::memcpy(message.frame.head.data(), &reply.header, sizeof reply.header);
  wire::Header& header = message.frame.header();
  header.sn_1 = status_sn_++;
  header.sn_2 = uint32_t{request_.command_sn};
  header.sn_3 = uint32_t{request_.command_sn};
  message.set_data(reply.text);
  message.add(message.frame, message.data(), {});
  msghdr all{};
  all.msg_iov = const_cast<iovec*>(message.pieces().data());
  all.msg_iovlen = message.pieces().size();
  const int sent = co_await reactor_.send(socket_, &all);
  co_return sent >= 0 && static_cast<size_t>(sent) == message.send_length();
}

}  // namespace cairn::iscsi
