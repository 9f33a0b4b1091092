// What coroutines await: each operation fills its submission when it is awaited, and resumes its coroutine when it is
// done.
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "aio/reactor.h"

namespace cairn {
namespace {

template <typename Operation>
Detached submit_later(Reactor& reactor, std::chrono::nanoseconds delay, Operation& operation) {
  co_await reactor.sleep(delay);
  operation.submit();
}

}  // namespace

// ---- Transfers ------------------------------------------------------------------------------------------------------

IoTap::Event Reactor::Transfer::event() const {
  const bool write = direction_ == Direction::write;
  return {write ? IoTap::Kind::write : IoTap::Kind::read,
          file_.fd(),
          offset_,
          {data_, write ? length_ : 0},
          length_,
          durable_};
}

bool Reactor::Transfer::await_suspend(std::coroutine_handle<> waiting) {
  handle_ = waiting;
  const bool lone = reactor_.lone(length_, purpose_);
  if (reactor_.tap_ != nullptr) [[unlikely]] {
    status_ = reactor_.tap_->before(event());
    if (!status_.ok()) return false;
    if (const auto delay = reactor_.tap_->delay(event()); delay.count() > 0) {
      ++reactor_.files_under_way_;
      submit_later(reactor_, delay, *this);
      return true;
    }
  } else if (direction_ == Direction::write && file_.page_cache_ && !durable_) {
    if (write_inline()) return false;
  } else if (lone && call_alone()) {
    return false;
  }
  ++reactor_.files_under_way_;
  submit();
  return true;
}

bool Reactor::Transfer::write_inline() {
  const Clock::time_point begin = Clock::now();
  if (reactor_.competing_ > 0 || !reactor_.inline_writes_.allowed(length_, begin)) return false;
  const ssize_t written = ::pwrite(file_.fd(), data_, length_, static_cast<off_t>(offset_));
  const int error = errno;
  reactor_.inline_writes_.took(begin, Clock::now());
  return done_at_once(written, error);
}

bool Reactor::Transfer::call_alone() {
  const Clock::time_point begin = Clock::now();
  if (!reactor_.lone_calls_.allowed(begin)) return false;
  const iovec memory{data_, length_};
  const auto offset = static_cast<off_t>(offset_);
  const ssize_t transferred = direction_ == Direction::read
                                  ? ::preadv(file_.fd(), &memory, 1, offset)
                                  : ::pwritev2(file_.fd(), &memory, 1, offset, durable_ ? RWF_DSYNC : 0);
  const int error = errno;
  reactor_.lone_calls_.took(begin, Clock::now());
  return done_at_once(transferred, error);
}

/// What is short goes on through the ring.
bool Reactor::Transfer::done_at_once(ssize_t transferred, int error) {
  if (transferred < 0 && error != EINTR && error != EAGAIN) {
    status_ = Status::from_errno(error);
    return true;
  }
  return transferred == static_cast<ssize_t>(length_);
}

void Reactor::Transfer::submit() {
  io_uring_sqe* sqe = reactor_.next_sqe();
  std::byte* data = data_ + done_;
  const auto length = static_cast<unsigned>(length_ - done_);
  const bool fixed = reactor_.registered(data, length);
  const uint64_t offset = offset_ + done_;
  if (direction_ == Direction::read) {
    if (fixed)
      io_uring_prep_read_fixed(sqe, file_.fd(), data, length, offset, 0);
    else
      io_uring_prep_read(sqe, file_.fd(), data, length, offset);
  } else {
    if (fixed)
      io_uring_prep_write_fixed(sqe, file_.fd(), data, length, offset, 0);
    else
      io_uring_prep_write(sqe, file_.fd(), data, length, offset);
    if (durable_) sqe->rw_flags |= RWF_DSYNC;
  }
  reactor_.use_file(sqe, file_);
  reactor_.queue(sqe, this);
}

void Reactor::Transfer::complete(int result, uint32_t) {
  if (result == -EINTR || result == -EAGAIN) {
    submit();
    return;
  }
  if (result <= 0) {
    // Nothing read: the file is shorter than the store says. Nothing written: the kernel could not say why.
    status_ = result == 0 ? Status::from_errno(EIO) : Status::from_result(result);
  } else if (done_ + static_cast<size_t>(result) < length_) {
    if (go_on_after(static_cast<size_t>(result))) return;
    status_ = Status::from_errno(EIO);
  } else if (reactor_.tap_ != nullptr) [[unlikely]] {
    reactor_.tap_->after(event());
  }
  --reactor_.files_under_way_;
  handle_.resume();
}

bool Reactor::Transfer::go_on_after(size_t transferred) {
  // Direct I/O must go on from a sector boundary, so the piece behind the last one is transferred again.
  const uint64_t end = offset_ + done_ + transferred;
  const uint64_t resume_at = end - end % 512;
  if (resume_at <= offset_ + done_) return false;
  done_ = resume_at - offset_;
  submit();
  return true;
}

Reactor::Transfer Reactor::read(const File& file, std::span<std::byte> into, uint64_t offset, Purpose purpose) {
  return Transfer(*this, file, Transfer::Direction::read, into.data(), into.size(), offset, purpose);
}

Reactor::Transfer Reactor::write(const File& file, std::span<const std::byte> from, uint64_t offset, bool durable,
                                 Purpose purpose) {
  return Transfer(*this, file, Transfer::Direction::write, const_cast<std::byte*>(from.data()), from.size(), offset,
                  purpose, durable);
}

// ---- Calls ----------------------------------------------------------------------------------------------------------

IoTap::Event Reactor::Call::event() const {
  IoTap::Kind kind = IoTap::Kind::sync;
  if (code_ == Code::fallocate)
    kind = (flags_ & FALLOC_FL_PUNCH_HOLE) != 0 ? IoTap::Kind::punch : IoTap::Kind::allocate;
  return {kind, file_->fd(), offset_, {}, length_, false};
}

bool Reactor::Call::await_suspend(std::coroutine_handle<> waiting) {
  handle_ = waiting;
  if (reactor_.tap_ != nullptr && tapped()) [[unlikely]] {
    const Status status = reactor_.tap_->before(event());
    if (!status.ok()) {
      result_ = -status.error();
      return false;
    }
    if (const auto delay = reactor_.tap_->delay(event()); delay.count() > 0) {
      if (syncs()) ++reactor_.files_under_way_;
      submit_later(reactor_, delay, *this);
      return true;
    }
  } else if (syncs() && reactor_.lone(0, purpose_) && sync_alone()) {
    return false;
  }
  if (syncs()) ++reactor_.files_under_way_;
  submit();
  return true;
}

/// False when it has to be submitted after all.
bool Reactor::Call::sync_alone() {
  const Clock::time_point begin = Clock::now();
  if (!reactor_.lone_calls_.allowed(begin)) return false;
  result_ = (code_ == Code::sync_data ? ::fdatasync(file_->fd()) : ::fsync(file_->fd())) == 0 ? 0 : -errno;
  reactor_.lone_calls_.took(begin, Clock::now());
  return true;
}

void Reactor::Call::submit() {
  io_uring_sqe* sqe = reactor_.next_sqe();
  prepare(sqe);
  if (file_ != nullptr) reactor_.use_file(sqe, *file_);
  reactor_.queue(sqe, this);
}

void Reactor::Call::prepare(io_uring_sqe* sqe) {
  switch (code_) {
    case Code::sync_data:
      return io_uring_prep_fsync(sqe, -1, IORING_FSYNC_DATASYNC);
    case Code::sync_all:
      return io_uring_prep_fsync(sqe, -1, 0);
    case Code::fallocate:
      // liburing 2.3 takes off_t; lengths above 2^63 do not occur.
      return io_uring_prep_fallocate(sqe, -1, flags_, static_cast<off_t>(offset_), static_cast<off_t>(length_));
    case Code::advise:
      return io_uring_prep_madvise(sqe, const_cast<void*>(first_), static_cast<off_t>(length_), flags_);
    case Code::drop_cached:
      return io_uring_prep_fadvise(sqe, -1, 0, 0, POSIX_FADV_DONTNEED);
    case Code::receive:
      return io_uring_prep_recv(sqe, -1, const_cast<void*>(first_), length_, flags_);
    case Code::send:
      return io_uring_prep_sendmsg(sqe, -1, static_cast<const msghdr*>(first_), MSG_WAITALL | MSG_NOSIGNAL);
    case Code::accept:
      return io_uring_prep_accept(sqe, -1, nullptr, nullptr, SOCK_CLOEXEC);
    case Code::poll:
      return io_uring_prep_poll_add(sqe, -1, static_cast<unsigned>(flags_));
    case Code::rename:
      return io_uring_prep_renameat(sqe, AT_FDCWD, static_cast<const char*>(first_), AT_FDCWD,
                                    static_cast<const char*>(second_), 0);
    case Code::unlink:
      return io_uring_prep_unlinkat(sqe, AT_FDCWD, static_cast<const char*>(first_), 0);
    case Code::cancel:
      io_uring_prep_cancel_fd(sqe, file_->fd(), IORING_ASYNC_CANCEL_ALL);
      if (file_->slot_ >= 0) {
        sqe->fd = file_->slot_;
        sqe->cancel_flags |= IORING_ASYNC_CANCEL_FD_FIXED;
      }
      file_ = nullptr;  // the descriptor is an argument, not the request's own file
      return;
  }
}

void Reactor::Call::complete(int result, uint32_t) {
  result_ = result;
  if (syncs()) --reactor_.files_under_way_;
  if (reactor_.tap_ != nullptr && tapped() && result >= 0) [[unlikely]]
    reactor_.tap_->after(event());
  handle_.resume();
}

Reactor::Call Reactor::sync_data(const File& file, Purpose purpose) {
  Call call(*this, Call::Code::sync_data, &file);
  call.purpose_ = purpose;
  return call;
}

Reactor::Call Reactor::sync_all(const File& file, Purpose purpose) {
  Call call(*this, Call::Code::sync_all, &file);
  call.purpose_ = purpose;
  return call;
}

Reactor::Call Reactor::fallocate(const File& file, int mode, uint64_t offset, uint64_t length) {
  Call call(*this, Call::Code::fallocate, &file);
  call.flags_ = mode;
  call.offset_ = offset;
  call.length_ = length;
  return call;
}

void Reactor::tell_of_store(const File& file, std::span<const std::byte> data, uint64_t offset) {
  const IoTap::Event event{IoTap::Kind::store, file.fd(), offset, data, data.size(), false};
  (void)tap_->before(event).ok();
  tap_->after(event);
}

Reactor::Call Reactor::advise(void* memory, size_t length, int advice) {
  Call call(*this, Call::Code::advise, nullptr);
  call.first_ = memory;
  call.length_ = length;
  call.flags_ = advice;
  return call;
}

Reactor::Call Reactor::drop_cached(const File& file) { return Call(*this, Call::Code::drop_cached, &file); }

Reactor::Call Reactor::receive(const File& socket, std::span<std::byte> into, int flags) {
  Call call(*this, Call::Code::receive, &socket);
  call.first_ = into.data();
  call.length_ = into.size();
  call.flags_ = flags;
  return call;
}

Reactor::Call Reactor::send(const File& socket, const msghdr* message) {
  Call call(*this, Call::Code::send, &socket);
  call.first_ = message;
  return call;
}

Reactor::Call Reactor::accept(const File& socket) { return Call(*this, Call::Code::accept, &socket); }

Reactor::Call Reactor::poll(const File& file, unsigned events) {
  Call call(*this, Call::Code::poll, &file);
  call.flags_ = static_cast<int>(events);
  return call;
}

Reactor::Call Reactor::rename(const char* from, const char* to) {
  Call call(*this, Call::Code::rename, nullptr);
  call.first_ = from;
  call.second_ = to;
  return call;
}

Reactor::Call Reactor::unlink(const char* path) {
  Call call(*this, Call::Code::unlink, nullptr);
  call.first_ = path;
  return call;
}

Reactor::Call Reactor::cancel(const File& file) { return Call(*this, Call::Code::cancel, &file); }

}  // namespace cairn
