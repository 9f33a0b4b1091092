// Runs coroutines to their end on a reactor of the calling thread.
#pragma once

#include <gtest/gtest.h>

#include "aio/reactor.h"

namespace cairn::test {

class OnReactor {
 public:
  explicit OnReactor(size_t buffer_bytes = 4 * mebibyte) {
    Result<std::unique_ptr<Reactor>> created = Reactor::create({.buffer_bytes = buffer_bytes});
    if (!created.ok()) ADD_FAILURE() << created.error().message;
    reactor_ = std::move(created.value());
  }

  Reactor& reactor() { return *reactor_; }

  template <typename T>
  T wait(Task<T> task) {
    std::optional<T> value;
    run_detached(std::move(task), [&](T result) { value.emplace(std::move(result)); });
    reactor_->run([&] { return value.has_value(); });
    return std::move(*value);
  }
  void wait(Task<void> task) {
    bool done = false;
    run_detached(std::move(task), [&] { done = true; });
    reactor_->run([&] { return done; });
  }

 private:
  std::unique_ptr<Reactor> reactor_;
};

}  // namespace cairn::test
