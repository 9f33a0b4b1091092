#include "frontend/presence.h"

namespace cairn {

Attendance::~Attendance() {
  // One that was never closed is of a server that could not be made.
  CAIRN_ASSERT(present_ == (closed_ ? 0 : 1) && unfinished_ == 0);
}

void Attendance::enter(bool connection) {
  ++present_;
  if (connection) ++connections_;
}

void Attendance::leave(bool connection) {
  if (connection) --connections_;
  if (--present_ == 0) all_left();
}

void Attendance::close(std::vector<ServerPart*> parts, std::shared_ptr<void> keep, Completed done) {
  CAIRN_ASSERT(!closed_);
  closed_ = true;
  parts_ = std::move(parts);
  keep_ = std::move(keep);
  done_ = std::move(done);
  // Every part has begun to close before the server itself leaves, so that nobody is present when the last one leaves.
  unfinished_ = parts_.size();
  for (ServerPart* part : parts_) {
    part->reactor().post([this, kept = keep_, part] {
      part->close();
      if (--unfinished_ == 0) leave(false);
    });
  }
}

void Attendance::all_left() {
  // Nobody is left to see the parts, but the coroutine that left last may still be on its reactor's stack.
  unfinished_ = parts_.size();
  for (ServerPart* part : parts_) {
    part->reactor().post([this, kept = keep_, part] {
      part->finish();
      if (--unfinished_ > 0) return;
      keep_.reset();
      done_(Unit{});
    });
  }
}

}  // namespace cairn
