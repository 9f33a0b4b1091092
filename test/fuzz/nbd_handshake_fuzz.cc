// The handshake over any bytes, in one piece and in two. Whatever a client says, the server consumes no more than it
// was given, answers in whole replies, and says the same however the bytes were cut.
#include <cstring>
#include <memory>
#include <vector>

#include "block/memory_device.h"
#include "nbd/handshake.h"
#include "nbd/limits.h"

namespace {

using namespace cairn;
using namespace cairn::nbd;

struct World {
  World() {
    reactor = std::move(Reactor::create({.buffer_bytes = 64 * kibibyte}).value());
    add("disk", LocalTarget{reactor.get(), &device}, false);
    add("snapshot", LocalTarget{reactor.get(), &device}, true);
    add("far", RemoteTarget{"/nowhere", mebibyte, 512}, false);
  }
  void add(const char* name, std::variant<LocalTarget, RemoteTarget> target, bool read_only) {
    exports.add(std::make_shared<Export>(
        ExportOptions{.name = name, .description = "about it", .read_only = read_only, .target = target}));
  }

  MemoryDevice device{mebibyte, 512};
  std::unique_ptr<Reactor> reactor;
  ExportTable exports;
};

struct Conversation {
  OptionOutcome::Next next = OptionOutcome::Next::haggle;
  Negotiated negotiated;
  std::vector<std::byte> output;
  size_t consumed = 0;
};

/// The client's bytes arrive up to `first`, then the rest.
Conversation converse(World& world, std::span<const std::byte> input, size_t first) {
  const HandshakeSite site{world.exports, world.reactor.get(), true, false};
  Handshake handshake;
  Conversation conversation;
  for (const size_t available : {first, input.size()}) {
    while (conversation.next == OptionOutcome::Next::haggle) {
      const auto rest = input.first(available).subspan(conversation.consumed);
      const Handshake::Step step = handshake.advance(site, rest, conversation.output);
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
