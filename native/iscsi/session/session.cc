#include "iscsi/session/session.h"

#include <sys/socket.h>

#include <algorithm>

#include "iscsi/branch.h"
#include "iscsi/login/policy.h"
#include "iscsi/portals.h"
#include "iscsi/server_core.h"

namespace cairn::iscsi {
namespace {

std::string initiator_port(const SessionParameters& parameters) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string name = parameters.initiator_name + ",i,0x";
  for (const uint8_t byte : parameters.isid) {
    name += digits[byte >> 4];
    name += digits[byte & 0xf];
  }
  return name;
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
      parameters_(std::move(connection.parameters)),
      socket_(std::move(connection.socket)),
      input_(reactor_, socket_, branch.receive_buffers()),
      output_(reactor_, socket_, *this),
      messages_(branch.messages()),
      sequence_(connection.command_sn, command_window),
      status_sn_(connection.status_sn),
      alive_(reactor_.ready()),
      room_(reactor_.ready()),
      bytes_in_flight_max_(std::min(bytes_in_flight_max, reactor_.buffers().region().size() / pool_share_divisor)),
      send_since_(Reactor::Clock::now()),
      heard_since_(send_since_),
      pdu_since_(send_since_) {
  input_.set_digests(digests());
  input_.append(connection.received);
  if (use_) {
    nexus_.emplace((*use_)->unit(), initiator_port(parameters_), *this);
    (*use_)->sessions().push_back(this);
  } else {
    branch_.discoveries().push_back(this);
  }
  branch_.session_started();
}

Session::~Session() {
  branch_.session_ended();
  unlink();
}

Detached Session::run() {
  if (branch_.closing() || (use_ && (*use_)->removed())) drain();
  co_await read_pdus();
  // What waits for the initiator waits in vain.
  if (!draining_ || terminated_) abort_all();
  tasks_.for_each([this](ScsiTask* task) {
    if (!task->has_all()) abort(task);
  });
  co_await alive_.wait_idle();
  say_goodbye();
  delete this;
}

void Session::announce_end() {
  if (!stopping())
    send_async(wire::AsyncEvent::session_dropped, 0, parameters_.time_to_wait, parameters_.time_to_retain);
}

void Session::drain() {
  if (stopping()) return;
  draining_ = true;
  ::shutdown(socket_.fd(), SHUT_RD);
}

void Session::terminate() {
  terminated_ = true;
  ::shutdown(socket_.fd(), SHUT_RDWR);
}

void Session::say_goodbye() {
  // TCP answers what arrives for a closed socket, or lies in it unread, with a reset, which can overtake answers.
  ::shutdown(socket_.fd(), SHUT_WR);
  std::array<std::byte, 4096> unread;
  for (int i = 0; i < goodbye_receives_max; ++i)
    if (::recv(socket_.fd(), unread.data(), unread.size(), MSG_DONTWAIT) <= 0) return;
}

// ---- PDUs in --------------------------------------------------------------------------------------------------------

Task<> Session::read_pdus() {
  for (;;) {
    while (alive_.count() > unsent_max && !stopping()) co_await room_.wait();
    Input::Received received;
    if (input_.has_header()) {
      received = input_.take_header();
    } else {
      received = co_await input_.receive_header(alive_.count() == 0);
    }
    if (stopping() || received != Input::Received::ok) co_return;
    const PduRow* row = find_pdu(input_.header().opcode());
    const Landing landing = accept(row);
    if (stopping()) co_return;
    const size_t length = input_.header().data_length;
    bool more = true;
    if (length > 0 && !input_.has_segment(length)) {
      more = co_await land(*row, landing);
    } else {
      const bool intact = input_.take_segment(landing.into, length) == Input::Received::ok;
      if (landing.wanted) row->act(*this, input_.header(), landing, intact);
    }
    if (!more || stopping()) co_return;
  }
}

Task<bool> Session::land(const PduRow& row, Landing landing) {
  if (landing.task != nullptr) landing.task->landing = true;
  const Input::Received received = co_await input_.receive_segment(landing.into, input_.header().data_length);
  if (landing.task != nullptr) {
    landing.task->landing = false;
    landing.task->changed.wake_all();
  }
  if (received == Input::Received::ended) {
    // A command that was still arriving is known to nobody else.
    if (landing.task != nullptr && row.opcode == wire::scsi_command) {
      abort(landing.task);
      serve(landing.task);
    }
    co_return false;
  }
  if (landing.wanted) row.act(*this, input_.header(), landing, received == Input::Received::ok);
  co_return true;
}

Landing Session::accept(const PduRow* row) {
  const wire::Header& header = input_.header();
  if (header.data_length > receive_segment_max) return reject_and_end(header, wire::RejectReason::invalid_pdu_field);
  if (row == nullptr || (!nexus_ && !row->in_discovery)) return reject(header, wire::RejectReason::command_unsupported);
  if (logging_out_) return reject(header, wire::RejectReason::waiting_for_logout);
  if (row->sequenced && !header.immediate()) {
    const CommandSequence::Verdict verdict = sequence_.judge(header.sn_1);
    if (verdict == CommandSequence::Verdict::ignore) return {};
    if (verdict == CommandSequence::Verdict::missing) return reject_and_end(header, wire::RejectReason::protocol_error);
  }
  return row->accept(*this, header);
}

TextNegotiation& Session::texts() {
  if (texts_ == nullptr) {
    const auto list = [this](const SessionParameters& asking) {
      const ServerCore& core = branch_.core();
      return list_targets(core.targets(), core.portals(), asking.initiator_name, local_address(socket_.fd()));
    };
    texts_ = std::make_unique<TextNegotiation>(parameters_, TargetOffer(), list);
  }
  return *texts_;
}

std::span<std::byte> Session::text_memory(size_t length) {
  text_memory_.resize(length);
  return text_memory_;
}

// ---- Messages out ---------------------------------------------------------------------------------------------------

Message* Session::new_message() {
  Message* message = messages_.take();
  message->set_data(std::string_view());
  return message;
}

void Session::stamp(Frame& frame, Numbering numbering) {
  wire::Header& header = frame.header();
  if (numbering != Numbering::none) header.sn_1 = status_sn_;
  if (numbering == Numbering::consumed) ++status_sn_;
  header.sn_2 = sequence_.expected();
  header.sn_3 = sequence_.maximum(static_cast<uint32_t>(tasks_.count()));
}

void Session::push(Message* message, Numbering numbering) {
  alive_.add();
  stamp(message->frame, numbering);
  message->clear();
  message->add(message->frame, message->data(), digests());
  output_.push(message);
}

Landing Session::reject(const wire::Header& header, wire::RejectReason reason) {
  Message* message = new_message();
  auto& pdu = message->frame.begin<wire::Reject>(wire::reject);
  pdu.flags = wire::final_bit;
  pdu.reason = static_cast<uint8_t>(reason);
  pdu.task_tag = wire::no_tag;
  message->set_data(wire::bytes_of(header));
  push(message);
  return {};
}

Landing Session::reject_and_end(const wire::Header& header, wire::RejectReason reason) {
  reject(header, reason);
  drain();
  return {};
}

void Session::send_async(wire::AsyncEvent event, uint16_t parameter_1, uint16_t parameter_2, uint16_t parameter_3) {
  Message* message = new_message();
  auto& pdu = message->frame.begin<wire::AsyncMessage>(wire::async_message);
  pdu.flags = wire::final_bit;
  pdu.task_tag = wire::no_tag;
  pdu.event = static_cast<uint8_t>(event);
  pdu.parameter_1 = parameter_1;
  pdu.parameter_2 = parameter_2;
  pdu.parameter_3 = parameter_3;
  push(message);
}

void Session::sent(Outgoing* item) {
  if (item->kind() == Outgoing::Kind::task) {
    auto* task = static_cast<ScsiTask*>(item);
    if (task->data_at < task->data_end && !terminated_) return push_data_in(task);
    return release(task);
  }
  auto* message = static_cast<Message*>(item);
  if (std::exchange(message->ends_session, false)) drain();
  messages_.put_back(message);
  alive_.remove();
  room_.wake_all();
}

void Session::send_failed() { terminate(); }

}  // namespace cairn::iscsi
