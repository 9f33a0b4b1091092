#pragma once

#include <memory>
#include <span>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "frontend/presence.h"
#include "frontend/receive_buffer.h"
#include "frontend/send_queue.h"
#include "nbd/commands/command.h"
#include "nbd/export.h"
#include "nbd/negotiated.h"
#include "nbd/request.h"

namespace cairn::nbd {

class Branch;

/// One connection in the transmission phase. It reads requests in one coroutine, runs each in another, and ends itself
/// when the client is done, gone or told to go and every request has been answered or dropped.
class Session final : public ListLink, SendQueue<Request>::Owner {
 public:
  struct Connection {
    File socket;
    Negotiated negotiated;
    ExportUse use;
    Presence presence;
    std::span<const std::byte> received;  // after the handshake; copied
  };
  /// On the export's reactor.
  static void start(Branch& branch, Connection connection);

  /// No new requests: those in flight are finished and answered, later ones refused with ESHUTDOWN, and the client is
  /// disconnected.
  void drain();
  /// Disconnects at once; what is in flight still ends before the device is given up.
  void terminate();
  /// Called now and then: disconnects a client that takes no replies.
  void check_progress();

 private:
  Session(Branch& branch, Connection connection);
  ~Session();

  Detached run();
  Task<> read_requests();
  Task<bool> receive_more();
  /// The header in the receive buffer; false when its magic is wrong.
  bool take_header(RequestFields& fields);
  /// Judges a request; one that seems to lie beyond the end also by the size that the device has grown to.
  Refusal judge(const CommandRow* command, const RequestFields& fields);
  bool has_room(size_t buffer_length) const;
  Request* begin(const CommandRow* command, const RequestFields& fields);
  /// Copies a payload that is in the receive buffer as a whole.
  bool take_received_payload(Request& request);
  Task<bool> receive_payload(Request& request);
  Task<bool> receive_directly(std::span<std::byte> into);
  Task<bool> skip(uint64_t length);
  Task<bool> refuse(Request* request, const Refusal& refusal, uint64_t payload);
  Detached serve(Request* request);
  void say_goodbye();
  /// For check_progress(): a request is arriving, or a reply leaving, for too long, however steadily.
  bool too_slow();

  void sent(Request* request) override;
  void send_failed() override;

  Branch& branch_;
  Reactor& reactor_;
  Reactor::Client client_;
  Presence presence_;  // outlives the hold on the export
  ExportUse use_;
  BlockDevice& device_;
  File socket_;
  RequestRules rules_;
  const size_t header_size_;
  ReceiveBuffer input_;
  SendQueue<Request> replies_;
  InFlight in_flight_;
  WaitQueue room_;
  size_t bytes_in_flight_ = 0;
  size_t bytes_in_flight_max_;
  bool expect_large_ = false;
  bool terminated_ = false;

  // For check_progress().
  uint64_t sends_seen_ = 0;
  int unsent_seen_ = 0;
  unsigned stalled_checks_ = 0;
  bool mid_request_ = false;  // a part of a request has been received
  uint64_t requests_begun_ = 0;
  uint64_t requests_seen_ = 0;
  uint64_t sent_seen_ = 0;
  Reactor::Clock::time_point request_since_ = Reactor::Clock::now();
  Reactor::Clock::time_point send_since_ = Reactor::Clock::now();
};

}  // namespace cairn::nbd
