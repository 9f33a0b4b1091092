#include "nbd/session.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "nbd/branch.h"
#include "nbd/limits.h"
#include "nbd/reply.h"

namespace cairn::nbd {
namespace {

RequestRules rules_of(const Negotiated& negotiated, const ExportUse& use) {
  RequestRules rules;
  rules.geometry = use->geometry_of(use.device());
  rules.structured_replies = negotiated.structured_replies;
  rules.extended_headers = negotiated.extended_headers;
  if (!negotiated.contexts.empty())
    rules.contexts = resolve_contexts(negotiated.contexts, use->ancestors(use.snapshot()));
  rules.length_max = use->payload_max();
  return rules;
}

template <typename Header>
bool read_header(const std::byte* at, uint32_t magic, RequestFields& fields) {
  Header header;
  std::memcpy(&header, at, sizeof header);
  fields = {header.flags, header.type, header.cookie, header.offset, header.length};
  return header.magic == magic;
}

}  // namespace

// ---- Life -----------------------------------------------------------------------------------------------------------

void Session::start(Branch& branch, Connection connection) {
  auto* session = new Session(branch, std::move(connection));
  session->run();
}

Session::Session(Branch& branch, Connection connection)
    : branch_(branch),
      reactor_(branch.reactor()),
      client_(reactor_),
      presence_(std::move(connection.presence)),
      use_(std::move(connection.use)),
      device_(use_.device()),
      socket_(std::move(connection.socket)),
      rules_(rules_of(connection.negotiated, use_)),
      header_size_(rules_.extended_headers ? sizeof(wire::ExtendedRequestHeader) : sizeof(wire::RequestHeader)),
      input_(branch.receive_buffers()),
      replies_(reactor_, socket_, *this),
      in_flight_(reactor_.ready()),
      room_(reactor_.ready()),
      bytes_in_flight_max_(std::min(bytes_in_flight_max, reactor_.buffers().region().size() / pool_share_divisor)) {
  input_.append(connection.received);
  use_->sessions().push_back(this);
  branch_.checked_started();
}

Session::~Session() {
  branch_.checked_ended();
  unlink();
}

Detached Session::run() {
  if (use_->removed() || branch_.closing()) drain();
  co_await read_requests();
  co_await in_flight_.wait_idle();
  say_goodbye();
  delete this;
}

void Session::drain() {
  rules_.closing = true;
  if (in_flight_.count() == 0) ::shutdown(socket_.fd(), SHUT_RD);
}

void Session::terminate() {
  terminated_ = true;
  ::shutdown(socket_.fd(), SHUT_RDWR);
}

void Session::say_goodbye() {
  // TCP answers what arrives for a closed socket, or lies in it unread, with a reset, which can overtake replies.
  ::shutdown(socket_.fd(), SHUT_WR);
  std::array<std::byte, 4096> unread;
  for (int i = 0; i < goodbye_receives_max; ++i)
    if (::recv(socket_.fd(), unread.data(), unread.size(), MSG_DONTWAIT) <= 0) return;
}

void Session::check_progress() {
  int unsent = 0;
  ::ioctl(socket_.fd(), SIOCOUTQ, &unsent);
  const bool moved = replies_.sends_completed() != sends_seen_ || unsent != unsent_seen_;
  sends_seen_ = replies_.sends_completed();
  unsent_seen_ = unsent;
  stalled_checks_ = replies_.sending() && !moved ? stalled_checks_ + 1 : 0;
  if (stalled_checks_ >= stalled_checks_max || too_slow()) terminate();
}

bool Session::too_slow() {
  const Reactor::Clock::time_point now = Reactor::Clock::now();
  if (!mid_request_ || requests_seen_ != requests_begun_) request_since_ = now;
  if (!replies_.sending() || sent_seen_ != replies_.sends_completed()) send_since_ = now;
  requests_seen_ = requests_begun_;
  sent_seen_ = replies_.sends_completed();
  return now - std::min(request_since_, send_since_) >= branch_.times().request;
}

// ---- Requests in ----------------------------------------------------------------------------------------------------

Task<> Session::read_requests() {
  while (!terminated_) {
    while (input_.unread().size() < header_size_)
      if (!co_await receive_more()) co_return;
    RequestFields fields;
    if (!take_header(fields)) co_return terminate();
    if (fields.type == wire::command_disconnect) co_return;

    const CommandRow* command = find_command(fields.type);
    const Refusal refusal = judge(command, fields);
    const uint64_t payload = payload_length(rules_, fields);
    const size_t buffer_length = refusal.error == 0 ? command->buffer_length(rules_, fields) : 0;
    while (!has_room(buffer_length)) co_await room_.wait();
    mid_request_ = false;  // what it waits for here is not its client
    while (buffer_length > 0 && use_->crowded() && !terminated_) co_await use_->room();
    Request* request = begin(command, fields);
    if (refusal.error != 0) {
      if (!co_await refuse(request, refusal, payload)) co_return;
      continue;
    }
    if (buffer_length > 0) {
      bytes_in_flight_ += request->buffer_held = buffer_length;
      request->buffer = co_await reactor_.buffers().acquire(buffer_length);
    }
    if (payload > 0 && !take_received_payload(*request) && !co_await receive_payload(*request)) {
      sent(request);
      co_return;
    }
    mid_request_ = false;
    serve(request);
  }
}

Refusal Session::judge(const CommandRow* command, const RequestFields& fields) {
  const Refusal refusal = check_request(rules_, command, fields);
  if (refusal.error == 0) return refusal;
  const uint64_t size = device_.geometry().size;
  if (size == rules_.geometry.size) return refusal;
  rules_.geometry.size = size;
  return check_request(rules_, command, fields);
}

Task<bool> Session::receive_more() {
  std::span<std::byte> room = input_.prepare(in_flight_.count() == 0);
  if (expect_large_) room = room.first(std::min(room.size(), header_size_));
  expect_large_ = false;
  if (!input_.unread().empty()) mid_request_ = true;
  const int received = co_await reactor_.receive(socket_, room);
  if (received <= 0 || terminated_) co_return false;
  input_.received(static_cast<size_t>(received));
  co_return true;
}

bool Session::take_header(RequestFields& fields) {
  const std::byte* at = input_.unread().data();
  const bool valid = rules_.extended_headers
                         ? read_header<wire::ExtendedRequestHeader>(at, wire::extended_request_magic, fields)
                         : read_header<wire::RequestHeader>(at, wire::request_magic, fields);
  input_.consume(header_size_);
  return valid;
}

bool Session::has_room(size_t buffer_length) const {
  if (in_flight_.count() == 0) return true;
  return in_flight_.count() < requests_in_flight_max && bytes_in_flight_ + buffer_length <= bytes_in_flight_max_;
}

Request* Session::begin(const CommandRow* command, const RequestFields& fields) {
  client_.acts();
  Request* request = branch_.requests().take();
  request->command = command;
  request->fields = fields;
  request->buffer_held = 0;
  request->payload = {};
  request->drop_chunks();
  ++requests_begun_;
  mid_request_ = false;
  in_flight_.add();
  return request;
}

bool Session::take_received_payload(Request& request) {
  const std::span<const std::byte> unread = input_.unread();
  if (unread.size() < request.fields.length) return false;
  std::memcpy(request.buffer.data(), unread.data(), request.fields.length);
  input_.consume(request.fields.length);
  return true;
}

Task<bool> Session::receive_payload(Request& request) {
  mid_request_ = true;
  const auto nearly_here = [this, &request] {
    const size_t capacity = input_.capacity();
    return request.fields.length <= capacity &&
           request.fields.length - input_.unread().size() <= capacity / direct_receive_divisor;
  };
  while (nearly_here()) {
    if (!co_await receive_more()) co_return false;
    if (take_received_payload(request)) co_return true;
  }
  const std::span<const std::byte> unread = input_.unread();
  std::memcpy(request.buffer.data(), unread.data(), unread.size());
  const size_t received = unread.size();
  input_.consume(received);
  expect_large_ = request.fields.length >= large_payload_min;
  co_return co_await receive_directly(request.buffer.first(request.fields.length).subspan(received));
}

Task<bool> Session::receive_directly(std::span<std::byte> into) {
  while (!into.empty()) {
    const int received = co_await reactor_.receive(socket_, into, MSG_WAITALL);
    if (received <= 0 || terminated_) co_return false;
    into = into.subspan(static_cast<size_t>(received));
  }
  co_return true;
}

Task<bool> Session::skip(uint64_t length) {
  for (;;) {
    const size_t skipped = std::min<uint64_t>(length, input_.unread().size());
    input_.consume(skipped);
    length -= skipped;
    if (length == 0) co_return true;
    if (!co_await receive_more()) co_return false;
  }
}

Task<bool> Session::refuse(Request* request, const Refusal& refusal, uint64_t payload) {
  mid_request_ = payload > 0;
  const bool skipped = payload <= skipped_payload_max && (payload == 0 || co_await skip(payload));
  if (!skipped) {
    terminate();
    sent(request);
    co_return false;
  }
  mid_request_ = false;
  write_reply(*request, rules_, Status::from_errno(refusal.error), refusal.message);
  replies_.push(request);
  co_return true;
}

// ---- Requests out ---------------------------------------------------------------------------------------------------

Detached Session::serve(Request* request) {
  const Status status = co_await request->command->run(device_, rules_, *request);
  write_reply(*request, rules_, status, {});
  replies_.push(request);
}

void Session::sent(Request* request) {
  bytes_in_flight_ -= request->buffer_held;
  request->buffer.reset();
  branch_.requests().put_back(request);
  in_flight_.remove();
  room_.wake_one();
  if (rules_.closing && in_flight_.count() == 0) ::shutdown(socket_.fd(), SHUT_RD);
}

void Session::send_failed() { terminate(); }

}  // namespace cairn::nbd
