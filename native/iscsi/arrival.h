#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/reactor.h"
#include "base/intrusive_list.h"
#include "iscsi/connection_transfer.h"
#include "iscsi/login/login.h"
#include "iscsi/target.h"

namespace cairn::iscsi {

class Branch;
class Session;

/// One connection until it is logged in, on the reactor where it is. It ends as a session here, on another reactor, in
/// another process, or closed; at the latest when the time for a login is up.
class Arrival final : public ListLink {
 public:
  enum class From : uint8_t {
    listener,   // nothing has been received
    elsewhere,  // with its first login request
  };
  static void start(Branch& branch, ConnectionTransfer connection, From from);
  /// Ends it.
  void close();

 private:
  Arrival(Branch& branch, ConnectionTransfer connection, From from);
  ~Arrival();

  Detached run();
  Task<bool> receive_first_request();
  /// One login request: its header and text.
  Task<bool> receive_request();
  Task<bool> receive_more();
  std::span<const std::byte> unconsumed() const { return std::span(input_).subspan(consumed_); }
  /// Whether the connection has left to where its target is.
  Task<bool> route();
  void move_to_reactor(Reactor& reactor);
  Task<bool> move_to_process(const RemoteTarget& target);
  LoginPolicy policy();
  FoundTarget find_target() const;
  FoundSession find_session(const SessionParameters& parameters) const;
  /// Holds the target; the session's TSIH, or 0.
  uint16_t enter_session(const SessionParameters& parameters);
  Task<> negotiate();
  Task<> end_former_session(const SessionParameters& parameters);
  Task<bool> send_reply(const Login::Reply& reply);
  void start_session(const SessionParameters& parameters);
  /// All of it but the socket, and what it is present by.
  ConnectionTransfer transfer() const;

  Branch& branch_;
  Reactor& reactor_;
  Presence presence_;
  File socket_;
  From from_;
  bool from_other_process_;
  Timer deadline_;
  wire::LoginRequest request_{};
  std::vector<std::byte> text_;
  std::vector<std::byte> input_;
  size_t consumed_ = 0;
  uint32_t status_sn_ = 0;
  std::shared_ptr<Target> target_;  // null in a discovery session
  std::optional<TargetUse> use_;
};

}  // namespace cairn::iscsi
