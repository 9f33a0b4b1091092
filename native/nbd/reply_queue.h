#pragma once

#include <sys/socket.h>

#include <array>

#include "aio/reactor.h"
#include "nbd/limits.h"
#include "nbd/request.h"

namespace cairn::nbd {

/// Replies of one connection on their way out. What is queued during a loop of the reactor leaves in one gathering
/// send; one send is in flight at a time. Read data goes out from the buffer that it was read into.
class ReplyQueue final : Deferred {
 public:
  class Owner {
   public:
    /// The reply has been sent, or cannot be any more: the request is the owner's again.
    virtual void replied(Request* request) = 0;
    /// The connection takes no replies any more. What is queued later is dropped.
    virtual void send_failed() = 0;

   protected:
    ~Owner() = default;
  };

  ReplyQueue(Reactor& reactor, const File& socket, Owner& owner) : reactor_(reactor), socket_(socket), owner_(owner) {}
  ~ReplyQueue();

  /// Takes a request whose reply is written.
  void push(Request* request);
  bool sending() const { return sending_; }
  /// Sends completed so far: whether a client takes its replies.
  uint64_t sends_completed() const { return sends_completed_; }

 private:
  void run_deferred() override;
  Detached send_all();
  /// Moves replies from `queued_` to `leaving_` and lays them out for one send; their bytes.
  size_t gather();
  void add_piece(const void* data, size_t length);
  void release(IntrusiveList<Request>& requests);

  Reactor& reactor_;
  const File& socket_;
  Owner& owner_;
  IntrusiveList<Request> queued_;
  IntrusiveList<Request> leaving_;
  bool sending_ = false;
  bool failed_ = false;
  uint64_t sends_completed_ = 0;
  msghdr message_{};
  std::array<iovec, send_pieces_max> pieces_;
};

}  // namespace cairn::nbd
