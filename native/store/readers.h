#pragma once

#include "aio/wait.h"

namespace cairn::store {

/// Who reads a layer's file at the moment, in two generations that alternate: those who are there can be waited for
/// while others keep coming.
class Readers {
 public:
  explicit Readers(ReadyQueue& ready) : generations_{InFlight(ready), InFlight(ready)} {}

  /// One reader, for a scope.
  class Scope {
   public:
    explicit Scope(Readers& readers) : reading_(readers.generations_[readers.current_]) {}

   private:
    InFlightScope reading_;
  };

  size_t count() const { return generations_[0].count() + generations_[1].count(); }
  /// Until everyone who reads now has ended. One waiter at a time.
  Task<> wait_present() {
    co_await generations_[1 - current_].wait_idle();  // whom an earlier waiter did not wait for
    current_ = 1 - current_;
    co_await generations_[1 - current_].wait_idle();
  }
  /// Until nobody reads. The caller keeps new ones out.
  Task<> wait_idle() {
    while (count() > 0) co_await generations_[generations_[0].count() > 0 ? 0 : 1].wait_idle();
  }

 private:
  InFlight generations_[2];
  size_t current_ = 0;
};

}  // namespace cairn::store
