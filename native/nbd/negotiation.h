#pragma once

#include <vector>

#include "aio/reactor.h"
#include "base/intrusive_list.h"
#include "nbd/connection_transfer.h"
#include "nbd/handshake.h"

namespace cairn::nbd {

class Branch;

/// One connection during its handshake, on the reactor where it is. It ends as a session here, on another reactor, in
/// another process, or closed; at the latest when the handshake's time is up.
class Negotiation final : public ListLink {
 public:
  static void start(Branch& branch, ConnectionTransfer connection);
  /// No more options than have been received; those are answered NBD_REP_ERR_SHUTDOWN.
  void close();

 private:
  Negotiation(Branch& branch, ConnectionTransfer connection);
  ~Negotiation();

  Detached run();
  /// Answers options until one leads somewhere else.
  Task<OptionOutcome> haggle();
  Task<bool> receive_more();
  /// From here on the client is at the other end of a pair of sockets, behind TLS.
  bool start_tls();
  Task<bool> send_output();
  Task<DescriptionAnswer> ask(const OptionOutcome& outcome);
  void start_session();
  void move_to_reactor(const Export& chosen);
  Task<bool> move_to_process(const Export& chosen);
  Negotiated negotiated_for(const Export& chosen) const;
  std::span<const std::byte> unconsumed() const { return std::span(input_).subspan(consumed_); }

  Branch& branch_;
  Reactor& reactor_;
  Presence presence_;
  File socket_;
  Handshake handshake_;
  Timer deadline_;
  std::optional<ExportUse> entered_;
  std::shared_ptr<const TlsPolicy> tls_;
  bool newly_accepted_;
  bool from_other_process_;
  std::vector<std::byte> input_;
  size_t consumed_ = 0;
  std::vector<std::byte> output_;
};

}  // namespace cairn::nbd
