// The handshake over any bytes, in one piece and in two. Whatever a client says, the server consumes no more than it
// was given, answers in whole replies, and says the same however the bytes were cut.
#include <cstring>
#include <memory>
#include <vector>

#include "block/memory_device.h"
#include "nbd/handshake.h"
#include "nbd/limits.h"
#include "test/native/nbd/support/memory_snapshots.h"

namespace {

using namespace cairn;
using namespace cairn::nbd;

struct World {
  World() {
    reactor = std::move(Reactor::create({.buffer_bytes = 64 * kibibyte}).value());
    snapshots.take("monday", device);
    snapshots.take("tuesday", device);
    add("disk", LocalTarget{reactor.get(), &device}, false);
    add("snapshot", LocalTarget{reactor.get(), &device}, true);
    add("far", RemoteTarget{"/nowhere"}, false);
  }
  void add(const char* name, std::variant<LocalTarget, RemoteTarget> target, bool read_only) {
    exports.add(std::make_shared<Export>(
        ExportOptions{.name = name,
                      .description = "about it",
                      .read_only = read_only,
                      .target = target,
                      .snapshots = std::holds_alternative<LocalTarget>(target) ? &snapshots : nullptr}));
  }

  MemoryDevice device{mebibyte, 512};
  test::MemorySnapshots snapshots;
  std::unique_ptr<Reactor> reactor;
  ExportTable exports;
};

struct Conversation {
  OptionOutcome::Next next = OptionOutcome::Next::haggle;
  Negotiated negotiated;
  std::vector<std::byte> output;
  size_t consumed = 0;
};

/// Runs a task that finishes at once, as those of a device in memory do.
template <typename T>
T finish(Task<T> task) {
  std::optional<T> value;
  run_detached(std::move(task), [&value](T result) { value.emplace(std::move(result)); });
  CAIRN_ASSERT(value.has_value());
  return std::move(*value);
}

DescriptionAnswer answer_to(const OptionOutcome& outcome) {
  CAIRN_ASSERT(outcome.question.export_name == outcome.chosen->name());
  if (outcome.chosen->reactor() == nullptr) return {DescriptionAnswer::Outcome::unreachable, {}};
  if (outcome.next == OptionOutcome::Next::describe) return finish(outcome.chosen->describe(outcome.question));
  std::optional<ExportUse> use;
  return finish(ExportUse::enter(outcome.chosen, outcome.question, use));
}

/// The client's bytes arrive up to `first`, then the rest.
Conversation converse(World& world, std::span<const std::byte> input, size_t first) {
  const HandshakeSite site{.exports = world.exports,
                           .reactor = world.reactor.get(),
                           .may_leave_process = true,
                           .closing = false,
                           .tls_available = true,
                           .tls_required = false};
  Handshake handshake;
  Conversation conversation;
  std::optional<DescriptionAnswer> answer;
  for (const size_t available : {first, input.size()}) {
    while (conversation.next == OptionOutcome::Next::haggle) {
      const auto rest = input.first(available).subspan(conversation.consumed);
      const Handshake::Step step = handshake.advance(site, rest, conversation.output, answer ? &*answer : nullptr);
      answer.reset();
      if (step.outcome.next == OptionOutcome::Next::describe || step.outcome.next == OptionOutcome::Next::enter) {
        CAIRN_ASSERT(step.consumed == 0);
        answer = answer_to(step.outcome);
        continue;
      }
      CAIRN_ASSERT(step.consumed <= rest.size());
      CAIRN_ASSERT(!step.incomplete || step.consumed == 0);
      // What is kept until more comes fits the connection's buffer.
      CAIRN_ASSERT(!step.incomplete || rest.size() < sizeof(wire::OptionHeader) + option_length_max);
      conversation.consumed += step.consumed;
      conversation.next = step.outcome.next;
      CAIRN_ASSERT((conversation.next == OptionOutcome::Next::transmit ||
                    conversation.next == OptionOutcome::Next::transfer) == (step.outcome.chosen != nullptr));
      if (conversation.next == OptionOutcome::Next::transfer) {
        const Handshake::Step declined = handshake.decline_transfer(rest, conversation.output);
        CAIRN_ASSERT(declined.consumed > 0 && declined.consumed <= rest.size());
        conversation.consumed += declined.consumed;
        conversation.next = declined.outcome.next;
      }
      if (step.incomplete) break;
    }
  }
  conversation.negotiated = handshake.negotiated();
  return conversation;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  if (size == 0) return 0;
  const auto input = std::as_bytes(std::span(data, size)).subspan(1);
  const Conversation whole = converse(world, input, input.size());
  const Conversation cut = converse(world, input, input.size() * data[0] / 255);
  CAIRN_ASSERT(whole.next == cut.next && whole.consumed == cut.consumed && whole.output == cut.output);
  CAIRN_ASSERT(whole.negotiated == cut.negotiated);
  return 0;
}
