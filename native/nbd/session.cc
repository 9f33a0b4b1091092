#include "nbd/session.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "nbd/branch.h"
#include "nbd/reply.h"

namespace cairn::nbd {
namespace {

RequestRules rules_of(const Negotiated& negotiated, const Export& exported) {
  RequestRules rules;
  rules.geometry = exported.geometry();
  rules.structured_replies = negotiated.structured_replies;
  rules.base_allocation = negotiated.base_allocation;
  rules.length_max = exported.maximum_block_size();
  return rules;
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
      presence_(std::move(connection.presence)),
      use_(std::move(connection.use)),
      device_(*use_->device()),
      socket_(std::move(connection.socket)),
      rules_(rules_of(connection.negotiated, *use_)),
      input_(branch.receive_buffers()),
      replies_(reactor_, socket_, *this),
      in_flight_(reactor_.ready()),
      room_(reactor_.ready()),
      bytes_in_flight_max_(std::min(bytes_in_flight_max, reactor_.buffers().region().size() / pool_share_divisor)) {
  input_.append(connection.received);
  use_->sessions().push_back(this);
  branch_.session_started();
}

Session::~Session() {
  branch_.session_ended();
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
  if (stalled_checks_ >= stalled_checks_max) terminate();
}

// ---- Requests in ----------------------------------------------------------------------------------------------------

Task<> Session::read_requests() {
  while (!terminated_) {
    while (input_.unread().size() < sizeof(wire::RequestHeader))
      if (!co_await receive_more()) co_return;
    const wire::RequestHeader header = take_header();
    if (header.type == wire::command_disconnect && header.magic == wire::request_magic) co_return;
    if (header.magic != wire::request_magic) co_return terminate();

    const CommandRow* command = find_command(header.type);
    const Refusal refusal = check_request(rules_, command, header);
    const size_t buffer_length = refusal.error == 0 ? command->buffer_length(header) : 0;
    while (!has_room(buffer_length)) co_await room_.wait();
    Request* request = begin(command, header);
    const bool with_payload = header.type == wire::command_write;
    if (refusal.error != 0) {
      if (!co_await refuse(request, refusal, with_payload)) co_return;
      continue;
    }
    if (buffer_length > 0) {
      bytes_in_flight_ += request->buffer_held = buffer_length;
      request->buffer = co_await reactor_.buffers().acquire(buffer_length);
    }
    if (with_payload && !take_received_payload(*request) && !co_await receive_payload(*request)) {
      replied(request);
      co_return;
    }
    serve(request);
  }
}

Task<bool> Session::receive_more() {
  std::span<std::byte> room = input_.prepare(in_flight_.count() == 0);
  if (expect_large_) room = room.first(std::min(room.size(), sizeof(wire::RequestHeader)));
  expect_large_ = false;
  const int received = co_await reactor_.receive(socket_, room);
  if (received <= 0 || terminated_) co_return false;
  input_.received(static_cast<size_t>(received));
  co_return true;
}

wire::RequestHeader Session::take_header() {
  wire::RequestHeader header;
  std::memcpy(&header, input_.unread().data(), sizeof header);
  input_.consume(sizeof header);
  return header;
}

bool Session::has_room(size_t buffer_length) const {
  if (in_flight_.count() == 0) return true;
  return in_flight_.count() < requests_in_flight_max && bytes_in_flight_ + buffer_length <= bytes_in_flight_max_;
}

Request* Session::begin(const CommandRow* command, const wire::RequestHeader& header) {
  Request* request = branch_.requests().take();
  request->command = command;
  request->flags = header.flags;
  request->cookie = header.cookie;
  request->offset = header.offset;
  request->length = header.length;
  request->buffer_held = 0;
  request->payload = {};
  in_flight_.add();
  return request;
}

bool Session::take_received_payload(Request& request) {
  const std::span<const std::byte> unread = input_.unread();
  if (unread.size() < request.length) return false;
  std::memcpy(request.buffer.data(), unread.data(), request.length);
  input_.consume(request.length);
  return true;
}

Task<bool> Session::receive_payload(Request& request) {
  const auto nearly_here = [this, &request] {
    const size_t capacity = input_.capacity();
    return request.length <= capacity && request.length - input_.unread().size() <= capacity / direct_receive_divisor;
  };
  while (nearly_here()) {
    if (!co_await receive_more()) co_return false;
    if (take_received_payload(request)) co_return true;
  }
  const std::span<const std::byte> unread = input_.unread();
  std::memcpy(request.buffer.data(), unread.data(), unread.size());
  const size_t received = unread.size();
  input_.consume(received);
  expect_large_ = request.length >= large_payload_min;
  co_return co_await receive_directly(request.buffer.first(request.length).subspan(received));
}

Task<bool> Session::receive_directly(std::span<std::byte> into) {
  while (!into.empty()) {
    const int received = co_await reactor_.receive(socket_, into, MSG_WAITALL);
    if (received <= 0 || terminated_) co_return false;
    into = into.subspan(static_cast<size_t>(received));
  }
  co_return true;
}

Task<bool> Session::skip(size_t length) {
  for (;;) {
    const size_t skipped = std::min(length, input_.unread().size());
    input_.consume(skipped);
    length -= skipped;
    if (length == 0) co_return true;
    if (!co_await receive_more()) co_return false;
  }
}

Task<bool> Session::refuse(Request* request, const Refusal& refusal, bool with_payload) {
  if (with_payload) {
    const bool skipped = request->length <= skipped_payload_max && co_await skip(request->length);
    if (!skipped) {
      terminate();
      replied(request);
      co_return false;
    }
  }
  write_reply(*request, rules_.structured_replies, Status::from_errno(refusal.error), refusal.message);
  replies_.push(request);
  co_return true;
}

// ---- Requests out ---------------------------------------------------------------------------------------------------

Detached Session::serve(Request* request) {
  const Status status = co_await request->command->run(device_, *request);
  write_reply(*request, rules_.structured_replies, status, {});
  replies_.push(request);
}

void Session::replied(Request* request) {
  bytes_in_flight_ -= request->buffer_held;
  request->buffer.reset();
  branch_.requests().put_back(request);
  in_flight_.remove();
  room_.wake_one();
  if (rules_.closing && in_flight_.count() == 0) ::shutdown(socket_.fd(), SHUT_RD);
}

void Session::send_failed() { terminate(); }

}  // namespace cairn::nbd
