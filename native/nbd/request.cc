#include "nbd/request.h"

#include "nbd/limits.h"

namespace cairn::nbd {

RequestPool::~RequestPool() {
  while (Request* request = free_.pop_front()) delete request;
}

Request* RequestPool::take() {
  Request* request = free_.pop_front();
  if (request == nullptr) return new Request;
  --free_count_;
  return request;
}

void RequestPool::put_back(Request* request) {
  CAIRN_ASSERT(!request->buffer.valid());
  if (free_count_ >= requests_kept_max) {
    delete request;
    return;
  }
  ++free_count_;
  free_.push_front(request);  // the one that is still in the processor's cache goes first
}

}  // namespace cairn::nbd
