#include "nbd/reply_queue.h"

namespace cairn::nbd {

ReplyQueue::~ReplyQueue() {
  CAIRN_ASSERT(!sending_);
  if (linked()) unlink();
}

void ReplyQueue::push(Request* request) {
  queued_.push_back(request);
  reactor_.defer(this);
}

void ReplyQueue::run_deferred() {
  if (failed_) {
    release(queued_);
  } else if (!sending_ && !queued_.empty()) {
    send_all();
  }
}

Detached ReplyQueue::send_all() {
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

size_t ReplyQueue::gather() {
  message_.msg_iov = pieces_.data();
  message_.msg_iovlen = 0;
  size_t length = 0;
  while (Request* request = queued_.front()) {
    const bool first = leaving_.empty();
    const bool fits = message_.msg_iovlen + request->reply_pieces() <= pieces_.size() &&
                      length + request->reply_length() <= send_bytes_max;
    if (!first && !fits) break;
    leaving_.push_back(queued_.pop_front());
    if (request->chunks.empty()) [[likely]] {
      add_piece(request->head.data(), request->head_length);
      if (!request->payload.empty()) add_piece(request->payload.data(), request->payload.size());
    } else {
      for (const iovec& chunk : request->chunks) add_piece(chunk.iov_base, chunk.iov_len);
    }
    length += request->reply_length();
  }
  return length;
}

void ReplyQueue::add_piece(const void* data, size_t length) {
  pieces_[message_.msg_iovlen++] = {const_cast<void*>(data), length};
}

void ReplyQueue::release(IntrusiveList<Request>& requests) {
  while (Request* request = requests.pop_front()) owner_.replied(request);
}

}  // namespace cairn::nbd
