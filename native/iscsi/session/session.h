#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "frontend/presence.h"
#include "frontend/send_queue.h"
#include "iscsi/login/session_parameters.h"
#include "iscsi/login/text_negotiation.h"
#include "iscsi/pdu/input.h"
#include "iscsi/pdu/outgoing.h"
#include "iscsi/session/command_sequence.h"
#include "iscsi/session/pdu_row.h"
#include "iscsi/session/scsi_task.h"
#include "iscsi/target.h"

namespace cairn::iscsi {

class Branch;

/// One session in the full feature phase, with its one connection. It reads PDUs in one coroutine, runs each command in
/// another, and ends itself when the initiator is done, gone or told to go, and every command has ended.
class Session final : public ListLink, SendQueue<Outgoing>::Owner, public scsi::Nexus::Tasks {
 public:
  struct Connection {
    File socket;
    SessionParameters parameters;
    std::optional<TargetUse> use;  // none in a discovery session
    Presence presence;
    std::span<const std::byte> received;  // after the login; copied
    uint32_t command_sn = 0;              // of the initiator's next request
    uint32_t status_sn = 0;               // of our next answer
  };
  /// On the target's reactor.
  static void start(Branch& branch, Connection connection);

  const SessionParameters& parameters() const { return parameters_; }

  /// No new commands: those that run are finished and answered, and the initiator is disconnected. It sends the others
  /// again when it comes back.
  void drain();
  /// Before drain(): tells the initiator, which need not wait for a timeout (RFC 7143 section 11.9.1).
  void announce_end();
  /// Disconnects at once; what is in flight still ends before the device is given up.
  void terminate();
  bool stopping() const { return terminated_ || draining_; }
  /// Called now and then: disconnects an initiator that takes no answers, sends no data or does not answer a ping.
  void check_progress();

  // For the handlers of PDUs.

  /// Without data; pushed when it is complete.
  Message* new_message();
  enum class Numbering : uint8_t { none, next, consumed };
  /// `consumed`: the PDU carries a status, and the next one the next number. `next`: it tells that number only.
  void push(Message* message, Numbering numbering = Numbering::consumed);
  Landing reject(const wire::Header& header, wire::RejectReason reason);
  /// As reject(), and ends the session: what comes next cannot be understood.
  Landing reject_and_end(const wire::Header& header, wire::RejectReason reason);
  void send_async(wire::AsyncEvent event, uint16_t parameter_1, uint16_t parameter_2, uint16_t parameter_3);
  /// Where small data of a request go. Valid until the next PDU.
  std::span<std::byte> text_memory(size_t length);

  Landing accept_command(const wire::Header& header);
  /// The data segment of its PDU is where it is to be.
  void act_on_command(ScsiTask* task, bool intact);
  Landing accept_data_out(const wire::Header& header);
  void act_on_data_out(const wire::Header& header, ScsiTask* task, bool intact);
  Detached manage_tasks(wire::TaskRequest request);
  Detached log_out(wire::LogoutRequest request);

  TextNegotiation& texts();

  void abort_all() override;

 private:
  Session(Branch& branch, Connection connection);
  ~Session();

  // Life and PDUs (session.cc).
  Detached run();
  Task<> read_pdus();
  Landing accept(const PduRow* row);
  Task<bool> land(const PduRow& row, Landing landing);
  void say_goodbye();
  void stamp(Frame& frame, Numbering numbering);
  Digests digests() const { return {parameters_.header_digest, parameters_.data_digest}; }
  void sent(Outgoing* item) override;
  void send_failed() override;

  // Commands (commands.cc).
  void get_buffer_at_once(ScsiTask* task);
  bool has_room(size_t length) const;
  Detached serve(ScsiTask* task);
  Task<> acquire_buffer(ScsiTask* task);
  Task<> collect_data(ScsiTask* task);
  void request_data(ScsiTask* task);
  void abort(ScsiTask* task);
  void end(ScsiTask* task, const scsi::Outcome& outcome);
  void release(ScsiTask* task);

  // Answers (answers.cc).
  void answer(ScsiTask* task, const scsi::Outcome& outcome);
  void push_response(ScsiTask* task, const scsi::Outcome& outcome);
  void push_data_in(ScsiTask* task);

  // Task management (task_management.cc).
  wire::TaskResponseCode abort_one(const wire::TaskRequest& request);
  void clear_task_set();

  // Progress (progress.cc).
  bool takes_nothing(Reactor::Clock::time_point now);
  bool sends_no_data(Reactor::Clock::time_point now);
  void ping_when_idle(Reactor::Clock::time_point now);

  Branch& branch_;
  Reactor& reactor_;
  Reactor::Client client_;
  Presence presence_;  // outlives the hold on the target
  std::optional<TargetUse> use_;
  SessionParameters parameters_;
  std::optional<scsi::Nexus> nexus_;
  File socket_;
  Input input_;
  SendQueue<Outgoing> output_;
  MessagePool& messages_;
  CommandSequence sequence_;
  uint32_t status_sn_;
  TaskTable tasks_;
  InFlight alive_;  // commands and messages that have not left yet
  WaitQueue room_;
  size_t bytes_in_flight_ = 0;
  size_t bytes_in_flight_max_;
  uint32_t next_transfer_tag_ = 0;
  bool terminated_ = false;
  bool draining_ = false;
  bool logging_out_ = false;
  std::vector<std::byte> text_memory_;
  std::unique_ptr<TextNegotiation> texts_;  // when it is asked for

  // For check_progress().
  uint64_t sends_seen_ = 0;
  int unsent_seen_ = 0;
  uint64_t bytes_seen_ = 0;
  Reactor::Clock::time_point send_since_;
  Reactor::Clock::time_point heard_since_;
  Reactor::Clock::time_point pdu_since_;
  uint32_t ping_tag_ = wire::no_tag;  // of the question that is not answered yet
  Reactor::Clock::time_point pinged_at_;
};

}  // namespace cairn::iscsi
