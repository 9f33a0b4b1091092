#include "aio/reactor.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <new>

#include "aio/thread_priority.h"

namespace cairn {
namespace {

constexpr unsigned completion_batch = 64;

/// Before Linux 6.13, a file that has left the table of registered ones is released when every request that was begun
/// before on any of them has ended (io_uring/rsrc.c, io_rsrc_node_ref_zero). One that waits on a socket, for hours,
/// would keep deleted volumes on the disk and their file system busy: there, sockets stay out of the table.
bool releases_in_any_order() {
  utsname name{};
  int major = 0;
  int minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 6 || (major == 6 && minor >= 13);
}

Error ring_error(int error) {
  const std::string detail = std::strerror(error);
  switch (error) {
    case ENOSYS:
      return {"ENOSYS", "this kernel has no io_uring: Cairn needs Linux 5.19 or newer with CONFIG_IO_URING"};
    case EPERM:
    case EACCES:
      return {"EPERM",
              "io_uring is not allowed here: set `sysctl kernel.io_uring_disabled=0`, or let the container's seccomp "
              "profile pass io_uring_setup, io_uring_enter and io_uring_register"};
    case ENOMEM:
      return {"ENOMEM", "io_uring could not lock its memory: raise the limit (`ulimit -l`, LimitMEMLOCK= in systemd)"};
    default:
      return {errno_code(error), "io_uring_queue_init: " + detail};
  }
}

int init_ring(io_uring* ring) {
  // Best first; each fallback drops what older kernels lack (DEFER_TASKRUN: 6.1, SINGLE_ISSUER: 6.0,
  // COOP_TASKRUN: 5.19).
  const unsigned choices[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
                              IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
  int result = -EINVAL;
  for (unsigned flags : choices) {
    io_uring_params parameters{};
    parameters.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    parameters.cq_entries = ring_entries * 4;
    result = io_uring_queue_init_params(ring_entries, ring, &parameters);
    if (result != -EINVAL) break;
  }
  return result;
}

bool is_regular(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

// ---- File -----------------------------------------------------------------------------------------------------------

File::File(File&& other) noexcept
    : reactor_(std::exchange(other.reactor_, nullptr)),
      fd_(std::move(other.fd_)),
      slot_(std::exchange(other.slot_, -1)),
      page_cache_(other.page_cache_) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    reactor_ = std::exchange(other.reactor_, nullptr);
    fd_ = std::move(other.fd_);
    slot_ = std::exchange(other.slot_, -1);
    page_cache_ = other.page_cache_;
  }
  return *this;
}

void File::close() {
  if (slot_ >= 0) reactor_->give_slot(std::exchange(slot_, -1));
  fd_.reset();
}

UniqueFd File::release() {
  if (slot_ >= 0) reactor_->give_slot(std::exchange(slot_, -1));
  return std::move(fd_);
}

// ---- The loop -------------------------------------------------------------------------------------------------------

/// The read of the eventfd that other threads wake the reactor with. It is always under way, and not counted.
struct Reactor::Wake final : Completion {
  explicit Wake(Reactor& owner) : reactor(owner) {}
  void arm() {
    io_uring_sqe* sqe = reactor.next_sqe();
    io_uring_prep_read(sqe, reactor.wake_fd_.get(), &reactor.wake_count_, sizeof reactor.wake_count_, 0);
    io_uring_sqe_set_data(sqe, static_cast<Completion*>(this));
  }
  void complete(int, uint32_t) override {
    ++reactor.in_flight_;  // reap() counts every completion down
    arm();
    reactor.run_posted();
  }
  Reactor& reactor;
};

Reactor::Reactor(const ReactorOptions& options)
    : buffers_(std::make_unique<BufferPool>(ready_, options.buffer_bytes)) {}

Result<std::unique_ptr<Reactor>> Reactor::create(const ReactorOptions& options) {
  std::unique_ptr<Reactor> reactor;
  try {
    reactor.reset(new Reactor(options));
  } catch (const std::bad_alloc&) {
    return Error{"ENOMEM", "no memory for " + std::to_string(options.buffer_bytes / mebibyte) +
                               " MiB of I/O buffers: choose fewer or smaller ones"};
  }
  Result<Unit> result = reactor->set_up();
  if (!result.ok()) return result.error();
  return reactor;
}

Result<Unit> Reactor::set_up() {
  if (int result = init_ring(&ring_); result < 0) return ring_error(-result);
  ring_ready_ = true;

  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  // Each snapshot is a file that stays open; the soft limit is for programs that select().
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
  registers_sockets_ = releases_in_any_order();
  const auto slots = static_cast<unsigned>(std::min<rlim_t>(fixed_files_max, files.rlim_cur));
  if (io_uring_register_files_sparse(&ring_, slots) == 0)
    for (unsigned slot = slots; slot > 0; --slot) free_slots_.push_back(static_cast<int>(slot - 1));

  const std::span<std::byte> region = buffers_->region();
  const iovec registration{region.data(), region.size()};
  buffers_registered_ = io_uring_register_buffers(&ring_, &registration, 1) == 0;

  wake_fd_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!wake_fd_.valid()) return system_error("create", "eventfd", errno);
  wake_ = std::make_unique<Wake>(*this);
  wake_->arm();
  return Unit{};
}

Reactor::~Reactor() {
  CAIRN_ASSERT(in_flight_ == 0);
  if (ring_ready_) io_uring_queue_exit(&ring_);
}

void Reactor::run(const std::function<bool()>& done) {
  for (;;) {
    run_timers();
    // Deferred work may make coroutines ready and the other way round; both must be done before the thread may sleep.
    do {
      ready_.run();
      run_deferred();
    } while (!ready_.empty());
    if (in_flight_ == 0 && timers_.size() == background_timers_ && done()) return;
    submit_and_wait();
    reap();
  }
}

void Reactor::run_deferred() {
  while (Deferred* work = deferred_.pop_front()) work->run_deferred();
}

void Reactor::submit_and_wait() {
  lone_calls_.end_turn();
  if (!write_backs_.empty()) begin_write_backs();
  // A disk takes longer, and in a virtual machine the host may need this processor to serve it.
  if (files_under_way_ > 0) return submit_and_sleep();
  const Clock::time_point begin = Clock::now();
  const bool watch = busy_wait_.pays();
  if (!watch || !watch_until(begin + BusyWait::limit)) submit_and_sleep();
  busy_wait_.waited(Clock::now() - begin, watch);
}

bool Reactor::watch_until(Clock::time_point end) {
  if (!timers_.empty()) end = std::min(end, timers_.front().when);
  io_uring_submit(&ring_);
  for (;;) {
    // Completions that are the kernel's to finish on this thread.
    if ((IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0) io_uring_get_events(&ring_);
    if (io_uring_cq_ready(&ring_) > 0) return true;
    if (Clock::now() >= end) return false;
    BusyWait::relax();
  }
}

void Reactor::submit_and_sleep() {
  if (timers_.empty()) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  const auto delay = std::max(timers_.front().when - Clock::now(), Clock::duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(delay);
  __kernel_timespec timeout{seconds.count(), std::chrono::nanoseconds(delay - seconds).count()};
  io_uring_cqe* cqe = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
}

void Reactor::begin_write_backs() {
  io_uring_submit(&ring_);
  const Clock::time_point begin = Clock::now();
  for (const WriteBack& range : write_backs_)
    (void)::sync_file_range(range.fd, static_cast<off_t>(range.offset), static_cast<off_t>(range.length),
                            SYNC_FILE_RANGE_WRITE);
  write_backs_.clear();
  inline_writes_.took(begin, Clock::now());  // it blocks on a disk that takes no more
}

void Reactor::reap() {
  io_uring_cqe* cqes[completion_batch];
  struct Done {
    Completion* completion;
    int result;
    uint32_t flags;
  } batch[completion_batch];
  for (;;) {
    const unsigned count = io_uring_peek_batch_cqe(&ring_, cqes, completion_batch);
    if (count == 0) return;
    // Copied out first: a resumed coroutine may submit, and the ring's slots are free for the kernel again.
    for (unsigned i = 0; i < count; ++i)
      batch[i] = {static_cast<Completion*>(io_uring_cqe_get_data(cqes[i])), cqes[i]->res, cqes[i]->flags};
    io_uring_cq_advance(&ring_, count);
    for (unsigned i = 0; i < count; ++i) {
      batch[i].completion->complete(batch[i].result, batch[i].flags);
      --in_flight_;
    }
  }
}

void Reactor::post(std::function<void()> work) {
  // The wake-up is written under the lock: once this work has run, the reactor may be gone before this call returns.
  std::lock_guard lock(posted_mutex_);
  const bool wake = posted_.empty();
  posted_.push_back(std::move(work));
  const uint64_t one = 1;
  if (wake && ::write(wake_fd_.get(), &one, sizeof one) < 0) CAIRN_ASSERT(errno == EAGAIN);
}

void Reactor::run_posted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (auto& run : work) run();
}

io_uring_sqe* Reactor::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

// ---- Files and buffers ----------------------------------------------------------------------------------------------

File Reactor::adopt(UniqueFd fd) {
  File file;
  file.reactor_ = this;
  const bool regular = is_regular(fd.get());
  file.page_cache_ = regular && (::fcntl(fd.get(), F_GETFL) & O_DIRECT) == 0;
  if (regular || registers_sockets_) file.slot_ = take_slot(fd.get());
  file.fd_ = std::move(fd);
  return file;
}

int Reactor::take_slot(int fd) {
  if (free_slots_.empty()) return -1;
  const int slot = free_slots_.back();
  if (io_uring_register_files_update(&ring_, static_cast<unsigned>(slot), &fd, 1) != 1) return -1;
  free_slots_.pop_back();
  return slot;
}

void Reactor::give_slot(int slot) {
  int none = -1;
  io_uring_register_files_update(&ring_, static_cast<unsigned>(slot), &none, 1);
  free_slots_.push_back(slot);
}

void Reactor::use_file(io_uring_sqe* sqe, const File& file) const {
  if (file.slot_ < 0) {
    sqe->fd = file.fd();
    return;
  }
  sqe->fd = file.slot_;
  sqe->flags |= IOSQE_FIXED_FILE;
}

bool Reactor::registered(const void* data, size_t length) const {
  if (!buffers_registered_) return false;
  const std::span<std::byte> region = buffers_->region();
  const auto* bytes = static_cast<const std::byte*>(data);
  return bytes >= region.data() && bytes + length <= region.data() + region.size();
}

// ---- Timers ---------------------------------------------------------------------------------------------------------

bool Reactor::later(const TimerEntry& a, const TimerEntry& b) { return a.when > b.when; }

Reactor::Sleep Reactor::sleep(Clock::duration delay) { return Sleep(*this, Clock::now() + delay); }

void Reactor::Sleep::await_suspend(std::coroutine_handle<> waiting) {
  handle_ = waiting;
  reactor_.add_timer(when_, this);
}

void Reactor::add_timer(Clock::time_point when, Expiry* expiry, bool background) {
  timers_.push_back({when, expiry, background});
  if (background) ++background_timers_;
  std::push_heap(timers_.begin(), timers_.end(), later);
}

void Reactor::remove_timer(Expiry* expiry) {
  std::erase_if(timers_, [this, expiry](const TimerEntry& entry) {
    if (entry.expiry == expiry && entry.background) --background_timers_;
    return entry.expiry == expiry;
  });
  std::make_heap(timers_.begin(), timers_.end(), later);
}

void Reactor::run_timers() {
  while (!timers_.empty() && timers_.front().when <= Clock::now()) {
    std::pop_heap(timers_.begin(), timers_.end(), later);
    Expiry* expiry = timers_.back().expiry;
    if (timers_.back().background) --background_timers_;
    timers_.pop_back();
    expiry->expire();
  }
}

void Timer::start(Reactor::Clock::duration delay, bool background) {
  stop();
  running_ = true;
  reactor_.add_timer(Reactor::Clock::now() + delay, this, background);
}

void Timer::stop() {
  if (std::exchange(running_, false)) reactor_.remove_timer(this);
}

void Timer::expire() {
  running_ = false;
  expired_();
}

// ---- Thread ---------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<ReactorThread>> ReactorThread::start(const ReactorOptions& options) {
  std::unique_ptr<ReactorThread> owner(new ReactorThread);
  std::promise<Result<Unit>> started;
  std::future<Result<Unit>> outcome = started.get_future();
  ReactorThread* self = owner.get();
  owner->thread_ = std::thread([self, options, &started] {
    ::pthread_setname_np(::pthread_self(), "cairn-reactor");
    run_when_woken();
    auto created = Reactor::create(options);
    if (!created.ok()) {
      started.set_value(created.error());
      return;
    }
    self->reactor_ = std::move(created.value());
    started.set_value(Unit{});
    self->reactor_->run([self] { return self->stopping_; });
    self->reactor_.reset();  // a ring with SINGLE_ISSUER is torn down by its own thread
  });
  Result<Unit> result = outcome.get();
  if (!result.ok()) {
    owner->thread_.join();
    return result.error();
  }
  return owner;
}

ReactorThread::~ReactorThread() {
  if (!thread_.joinable()) return;
  reactor_->post([this] { stopping_ = true; });
  thread_.join();
}

}  // namespace cairn
