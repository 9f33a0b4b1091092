#include "nbd/describe.h"

#include <poll.h>
#include <sys/socket.h>

#include "nbd/branch.h"
#include "nbd/export.h"
#include "nbd/handover_socket.h"
#include "nbd/limits.h"

namespace cairn::nbd {
namespace {

/// Awaitable: runs Export::describe on the export's reactor, and resumes on the one that asks.
class OnItsReactor {
 public:
  OnItsReactor(Reactor& asking, std::shared_ptr<Export> exported, DescriptionQuestion question)
      : asking_(asking), exported_(std::move(exported)), question_(std::move(question)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    exported_->reactor()->post([this] { ask(); });
  }
  DescriptionAnswer await_resume() { return std::move(answer_); }

 private:
  Detached ask() {
    answer_ = co_await exported_->describe(std::move(question_));
    asking_.post([waiting = waiting_] { waiting.resume(); });
  }

  Reactor& asking_;
  std::shared_ptr<Export> exported_;
  DescriptionQuestion question_;
  DescriptionAnswer answer_;
  std::coroutine_handle<> waiting_;
};

DescriptionAnswer unreachable() { return {DescriptionAnswer::Outcome::unreachable, {}}; }

/// As a hand-over: a full queue is tried again.
Task<Status> connect_patiently(Reactor& reactor, const std::string& path, UniqueFd& connection) {
  Status connected;
  for (unsigned attempt = 0; attempt < handover_attempts_max; ++attempt) {
    connected = connect_handover(path, connection);
    if (connected.error() != EAGAIN) break;
    co_await reactor.sleep(handover_pause);
  }
  co_return connected;
}

/// One connection to the other process's hand-over socket: the question goes out, the answer comes back, in time.
Task<DescriptionAnswer> ask_process(Branch& asking, const std::string& path, const DescriptionQuestion& question) {
  Reactor& reactor = asking.reactor();
  UniqueFd connected;
  const Status status = co_await connect_patiently(reactor, path, connected);
  if (!status.ok()) co_return unreachable();
  const File connection = reactor.adopt(std::move(connected));
  Timer deadline(reactor, [&connection] { ::shutdown(connection.fd(), SHUT_RDWR); });
  deadline.start(asking.times().handover);
  const std::vector<std::byte> message = encode_question(question);
  if (!send_message(connection.fd(), message).ok()) co_return unreachable();
  std::vector<std::byte> answer(handover_message_max);
  const int length = co_await reactor.receive(connection, answer);
  if (length <= 0) co_return unreachable();
  std::optional<DescriptionAnswer> decoded = decode_answer(std::span(answer).first(static_cast<size_t>(length)));
  if (!decoded) co_return unreachable();
  co_return std::move(*decoded);
}

}  // namespace

Task<DescriptionAnswer> describe(Branch& asking, std::shared_ptr<Export> exported, DescriptionQuestion question) {
  if (exported->reactor() == nullptr) co_return co_await ask_process(asking, exported->handover_path(), question);
  if (exported->reactor() == &asking.reactor()) co_return co_await exported->describe(std::move(question));
  co_return co_await OnItsReactor(asking.reactor(), exported, std::move(question));
}

}  // namespace cairn::nbd
