#pragma once

#include <sys/socket.h>

#include <array>

#include "aio/reactor.h"
#include "base/intrusive_list.h"
#include "frontend/limits.h"

namespace cairn {

/// What leaves one connection. What is queued during a loop of the reactor leaves in one gathering send; one send is in
/// flight at a time. Data go out from where they are: an `Item`, a ListLink, tells with send_pieces() and send_length()
/// how many pieces and bytes it has, and gives them with for_each_piece(visit(data, length)).
template <typename Item>
class SendQueue final : Deferred {
 public:
  class Owner {
   public:
    /// It has been sent, or cannot be any more: the item is the owner's again.
    virtual void sent(Item* item) = 0;
    /// The connection takes nothing any more. What is queued later is dropped.
    virtual void send_failed() = 0;

   protected:
    ~Owner() = default;
  };

  SendQueue(Reactor& reactor, const File& socket, Owner& owner) : reactor_(reactor), socket_(socket), owner_(owner) {}
  ~SendQueue() {
    CAIRN_ASSERT(!sending_);
    if (linked()) unlink();
  }

  void push(Item* item) {
    queued_.push_back(item);
    reactor_.defer(this);
  }
  bool sending() const { return sending_; }
  /// Sends completed so far: whether a client takes what it is sent.
  uint64_t sends_completed() const { return sends_completed_; }

 private:
  void run_deferred() override {
    if (failed_) {
      release(queued_);
    } else if (!sending_ && !queued_.empty()) {
      send_all();
    }
  }

  Detached send_all() {
    sending_ = true;
    while (!queued_.empty() && !failed_) {
      const size_t length = gather();
      const int sent = co_await reactor_.send(socket_, &message_);
      ++sends_completed_;
      failed_ = sent < 0 || static_cast<size_t>(sent) != length;
      release(leaving_);
    }
    sending_ = false;
    if (failed_) {
      release(queued_);
      owner_.send_failed();
    }
  }

  /// Moves items from `queued_` to `leaving_` and lays them out for one send; their bytes.
  size_t gather() {
    message_.msg_iov = pieces_.data();
    message_.msg_iovlen = 0;
    size_t length = 0;
    while (Item* item = queued_.front()) {
      const bool fits =
          message_.msg_iovlen + item->send_pieces() <= pieces_.size() && length + item->send_length() <= send_bytes_max;
      if (!leaving_.empty() && !fits) break;
      leaving_.push_back(queued_.pop_front());
      item->for_each_piece([this](const void* data, size_t size) {
        pieces_[message_.msg_iovlen++] = {const_cast<void*>(data), size};
      });
      length += item->send_length();
    }
    return length;
  }

  void release(IntrusiveList<Item>& items) {
    while (Item* item = items.pop_front()) owner_.sent(item);
  }

  Reactor& reactor_;
  const File& socket_;
  Owner& owner_;
  IntrusiveList<Item> queued_;
  IntrusiveList<Item> leaving_;
  bool sending_ = false;
  bool failed_ = false;
  uint64_t sends_completed_ = 0;
  msghdr message_{};
  std::array<iovec, send_pieces_max> pieces_;
};

}  // namespace cairn
