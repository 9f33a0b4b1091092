// One thread, one io_uring: the only place that talks to the kernel about I/O.
//
// A coroutine awaits an operation; the operation object in its frame is the completion (its address is the user_data),
// so an I/O allocates nothing. Submissions are batched: one io_uring_enter a loop submits what all resumed coroutines
// queued and reaps what is done.
#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "aio/buffer_pool.h"
#include "aio/busy_wait.h"
#include "aio/inline_writes.h"
#include "aio/lone_calls.h"
#include "aio/ready_queue.h"
#include "aio/task.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace cairn {

class Reactor;

/// What the kernel reports to. The object outlives its operation.
class Completion {
 public:
  /// `result`: as the system call would return it, or negative errno.
  virtual void complete(int result, uint32_t flags) = 0;

 protected:
  ~Completion() = default;
};

/// Work put off to the end of a loop, when every completion of the batch has been handled: how replies and ring records
/// of many requests become one system call. May be queued again when it has run.
class Deferred : public ListLink {
 public:
  virtual void run_deferred() = 0;

 protected:
  ~Deferred() = default;
};

/// What a timer calls when its time has come.
class Expiry {
 public:
  virtual void expire() = 0;

 protected:
  ~Expiry() = default;
};

/// An open descriptor that belongs to a reactor, in its registered file table where there is room.
class File {
 public:
  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File() { close(); }

  bool valid() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  void close();
  /// Gives the descriptor up, for another reactor or process. No operation is under way on it.
  UniqueFd release();

 private:
  friend class Reactor;
  Reactor* reactor_ = nullptr;
  UniqueFd fd_;
  int slot_ = -1;
  bool page_cache_ = false;  // a regular file without O_DIRECT
};

/// Watches and fails file operations: crash recording and fault injection in tests. Called on the reactor's thread.
class IoTap {
 public:
  enum class Kind { read, write, sync, punch, allocate, store };
  struct Event {
    Kind kind;
    int fd;
    uint64_t offset;
    std::span<const std::byte> data;  // of a write, or a store into mapped memory, which is done already
    uint64_t length;
    bool durable;  // a write with RWF_DSYNC
  };
  virtual ~IoTap() = default;
  /// Not ok: the operation fails so, and never reaches the kernel.
  virtual Status before(const Event& event) = 0;
  /// How long an operation that may go on waits before it reaches the kernel: a slow disk, and orders that a fast one
  /// hides.
  virtual std::chrono::nanoseconds delay(const Event&) { return {}; }
  /// The operation has succeeded.
  virtual void after(const Event& event) = 0;
};

/// For whom an operation is: a client that waits for it, or nobody in particular.
enum class Purpose : uint8_t { client, upkeep };

struct ReactorOptions {
  size_t buffer_bytes = 64 * mebibyte;
};

class Reactor {
 public:
  using Clock = std::chrono::steady_clock;

  /// Sets up the ring for the calling thread, which must be the one that runs it. Fails with a sentence that says what
  /// to enable where io_uring cannot be used.
  static Result<std::unique_ptr<Reactor>> create(const ReactorOptions& options);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Serves until `done` holds (checked after each loop) and nothing is in flight any more.
  void run(const std::function<bool()>& done);
  /// Any thread: runs `work` on the reactor's thread.
  void post(std::function<void()> work);

  ReadyQueue& ready() { return ready_; }
  BufferPool& buffers() { return *buffers_; }
  /// To the end of this loop; queued twice, it runs once.
  void defer(Deferred* work) {
    if (!work->linked()) deferred_.push_back(work);
  }
  File adopt(UniqueFd fd);
  void set_tap(IoTap* tap) { tap_ = tap; }

  // Operations. Each returns an awaitable that yields what the comment says. Buffers must stay until it resumes.
  class Transfer;
  class Call;
  /// Status of reading all of `into`; a file that ends before is EIO.
  Transfer read(const File& file, std::span<std::byte> into, uint64_t offset, Purpose purpose = Purpose::client);
  /// Status of writing all of `from`; `durable`: as RWF_DSYNC.
  Transfer write(const File& file, std::span<const std::byte> from, uint64_t offset, bool durable = false,
                 Purpose purpose = Purpose::client);
  /// int: 0 or negative errno.
  Call sync_data(const File& file, Purpose purpose = Purpose::client);
  Call sync_all(const File& file, Purpose purpose = Purpose::client);
  Call fallocate(const File& file, int mode, uint64_t offset, uint64_t length);
  /// Says to the tap that mapped memory of a file has been written to.
  void stored(const File& file, std::span<const std::byte> data, uint64_t offset) {
    if (tap_ != nullptr) [[unlikely]]
      tell_of_store(file, data, offset);
  }
  /// madvise(2) of at most 1 GiB, away from the reactor's thread.
  Call advise(void* memory, size_t length, int advice);
  /// int: 0 or negative errno. Drops what the page cache holds of a file and has been written back.
  Call drop_cached(const File& file);
  /// int: bytes (0 at the end of the stream) or negative errno. `flags`: MSG_WAITALL to fill `into`.
  Call receive(const File& socket, std::span<std::byte> into, int flags = 0);
  /// int: bytes sent, all of them unless the connection broke, or negative errno. `message` must stay until it resumes.
  Call send(const File& socket, const msghdr* message);
  /// int: a descriptor or negative errno.
  Call accept(const File& socket);
  /// int: poll events or negative errno.
  Call poll(const File& file, unsigned events);
  /// int: 0 or negative errno. Blocking file system calls, moved off this thread by the kernel.
  Call rename(const char* from, const char* to);
  Call unlink(const char* path);
  /// Ends the operations under way on `file` with -ECANCELED (int: how many, or negative errno).
  Call cancel(const File& file);
  /// Resumes after `delay`.
  class Sleep;
  Sleep sleep(Clock::duration delay);

  size_t operations_in_flight() const { return in_flight_; }

  /// A volume that others compete with comes (true) or goes. While there is one, writes into the page cache go through
  /// the ring: what is done at once is never under way, and a share of it cannot be bounded.
  void compete(bool begins) { competing_ += begins ? 1 : -1; }

  /// Whether it is likely that a client waits for each reply before it sends the next request, and a write into the
  /// page cache is done at once.
  bool client_waits() const {
    return assume_waiting_ ||
           (lone_calls_.mostly_alone() && competing_ == 0 && inline_writes_.allowed(0, Clock::now()));
  }
  /// For tests, which come to the end of a streak too seldom.
  void assume_waiting_clients() { assume_waiting_ = true; }
  /// The disk begins to write what the page cache has of a range, when what this loop queues, such as the reply, has
  /// left. Nobody waits for it.
  void begin_write_back(const File& file, uint64_t offset, uint64_t length) {
    write_backs_.push_back({file.fd(), offset, length});
  }

  /// So many requests have come to all that this reactor serves.
  uint64_t client_requests() const { return client_requests_; }

  /// Somebody whom a call that blocks the thread would keep waiting.
  class Client {
   public:
    explicit Client(Reactor& reactor) : reactor_(reactor) {}
    ~Client() {
      if (reactor_.active_ == this) reactor_.active_ = nullptr;
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    /// It has a request. Another one than the last: nobody has the reactor to himself.
    void acts() {
      ++reactor_.client_requests_;
      if (reactor_.active_ == this) return;
      reactor_.active_ = this;
      reactor_.lone_calls_.interrupted();
    }

   private:
    Reactor& reactor_;
  };

 private:
  friend class File;
  friend class Timer;
  struct TimerEntry {
    Clock::time_point when;
    Expiry* expiry;
    bool background;
  };
  struct Wake;
  struct WriteBack {
    int fd;
    uint64_t offset;
    uint64_t length;
  };

  explicit Reactor(const ReactorOptions& options);
  Result<Unit> set_up();
  io_uring_sqe* next_sqe();
  void queue(io_uring_sqe* sqe, Completion* completion) {
    io_uring_sqe_set_data(sqe, completion);
    ++in_flight_;
  }
  /// Whether a transfer or sync that begins is alone, for a client that is. Nobody waits for upkeep: a call would only
  /// keep clients waiting.
  bool lone(size_t length, Purpose purpose) {
    return purpose == Purpose::client && lone_calls_.begin(files_under_way_, length);
  }
  void use_file(io_uring_sqe* sqe, const File& file) const;
  bool registered(const void* data, size_t length) const;
  void tell_of_store(const File& file, std::span<const std::byte> data, uint64_t offset);
  void submit_and_wait();
  /// Whether something completed before the time was up.
  bool watch_until(Clock::time_point end);
  void submit_and_sleep();
  void begin_write_backs();
  void reap();
  void run_deferred();
  static bool later(const TimerEntry& a, const TimerEntry& b);
  void add_timer(Clock::time_point when, Expiry* expiry, bool background = false);
  void remove_timer(Expiry* expiry);
  void run_timers();
  void run_posted();
  int take_slot(int fd);
  void give_slot(int slot);

  io_uring ring_{};
  bool ring_ready_ = false;
  bool buffers_registered_ = false;
  size_t in_flight_ = 0;
  IoTap* tap_ = nullptr;
  ReadyQueue ready_;
  std::unique_ptr<BufferPool> buffers_;
  IntrusiveList<Deferred> deferred_;
  bool registers_sockets_ = false;
  std::vector<int> free_slots_;
  std::vector<TimerEntry> timers_;  // a heap, earliest first
  size_t background_timers_ = 0;    // among them

  InlineWrites inline_writes_;
  LoneCalls lone_calls_;
  BusyWait busy_wait_;
  size_t files_under_way_ = 0;      // transfers and syncs
  const Client* active_ = nullptr;  // whose request was the last
  uint64_t client_requests_ = 0;
  int competing_ = 0;
  bool assume_waiting_ = false;
  std::vector<WriteBack> write_backs_;

  UniqueFd wake_fd_;
  uint64_t wake_count_ = 0;
  std::unique_ptr<Wake> wake_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
};

/// A read or write of a whole span: goes on after a short transfer.
class Reactor::Transfer final : Completion {
 public:
  bool await_ready() const noexcept { return length_ == 0; }
  bool await_suspend(std::coroutine_handle<> waiting);
  Status await_resume() const noexcept { return status_; }
  /// Part of awaiting.
  void submit();

 private:
  friend class Reactor;
  enum class Direction : uint8_t { read, write };
  Transfer(Reactor& reactor, const File& file, Direction direction, std::byte* data, size_t length, uint64_t offset,
           Purpose purpose, bool durable = false)
      : reactor_(reactor),
        file_(file),
        data_(data),
        length_(length),
        offset_(offset),
        direction_(direction),
        purpose_(purpose),
        durable_(durable) {}
  /// False when it has to be submitted after all.
  bool write_inline();
  bool call_alone();
  bool done_at_once(ssize_t transferred, int error);
  /// After a short transfer; false when it made no progress.
  bool go_on_after(size_t transferred);
  void complete(int result, uint32_t flags) override;
  IoTap::Event event() const;

  Reactor& reactor_;
  const File& file_;
  std::byte* data_;
  size_t length_;
  size_t done_ = 0;
  uint64_t offset_;
  Direction direction_;
  Purpose purpose_;
  bool durable_;
  Status status_;
  std::coroutine_handle<> handle_;
};

/// Any operation with one result. The SQE is filled when it is awaited.
class Reactor::Call final : Completion {
 public:
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting);
  int await_resume() const noexcept { return result_; }
  /// Part of awaiting.
  void submit();

 private:
  friend class Reactor;
  enum class Code : uint8_t {
    sync_data,
    sync_all,
    fallocate,
    advise,
    drop_cached,
    receive,
    send,
    accept,
    poll,
    rename,
    unlink,
    cancel
  };
  Call(Reactor& reactor, Code code, const File* file) : reactor_(reactor), file_(file), code_(code) {}
  void prepare(io_uring_sqe* sqe);
  void complete(int result, uint32_t flags) override;
  bool sync_alone();
  bool syncs() const { return code_ == Code::sync_data || code_ == Code::sync_all; }
  bool tapped() const { return syncs() || code_ == Code::fallocate; }
  IoTap::Event event() const;

  Reactor& reactor_;
  const File* file_;
  const void* first_ = nullptr;
  const void* second_ = nullptr;
  uint64_t offset_ = 0;
  uint64_t length_ = 0;
  Code code_;
  Purpose purpose_ = Purpose::client;
  int flags_ = 0;
  int result_ = 0;
  std::coroutine_handle<> handle_;
};

class Reactor::Sleep final : Expiry {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting);
  void await_resume() const noexcept {}

 private:
  friend class Reactor;
  Sleep(Reactor& reactor, Clock::time_point when) : reactor_(reactor), when_(when) {}
  void expire() override { handle_.resume(); }
  Reactor& reactor_;
  Clock::time_point when_;
  std::coroutine_handle<> handle_;
};

/// Calls `expired` on the reactor's thread when a delay has passed, unless it is stopped before: a limit on how long
/// something may take, or background work. A stopped timer holds nothing up.
class Timer final : Expiry {
 public:
  Timer(Reactor& reactor, std::function<void()> expired) : reactor_(reactor), expired_(std::move(expired)) {}
  ~Timer() { stop(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// From now on; a timer that runs starts again. One in the background does not keep Reactor::run from ending.
  void start(Reactor::Clock::duration delay, bool background = false);
  void stop();
  bool running() const { return running_; }

 private:
  void expire() override;

  Reactor& reactor_;
  std::function<void()> expired_;
  bool running_ = false;
};

/// A reactor with its thread.
class ReactorThread {
 public:
  static Result<std::unique_ptr<ReactorThread>> start(const ReactorOptions& options);
  /// Ends the thread when nothing is in flight any more; whoever has work there has ended it before.
  ~ReactorThread();

  Reactor& reactor() { return *reactor_; }

 private:
  ReactorThread() = default;
  std::thread thread_;
  std::unique_ptr<Reactor> reactor_;
  bool stopping_ = false;  // the reactor's thread alone touches it
};

}  // namespace cairn
