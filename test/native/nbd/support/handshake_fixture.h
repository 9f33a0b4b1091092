// A handshake without a socket: bytes in, bytes out.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "block/memory_device.h"
#include "nbd/handshake.h"
#include "nbd/limits.h"
#include "test/native/nbd/support/nbd_client.h"
#include "test/native/support/on_reactor.h"

namespace cairn::test {

/// Exports: "disk" (1 MiB, 512-byte blocks, described) on the site's reactor; "big" (4096-byte blocks, read-only) there
/// too; "far" in another process.
class NbdHandshake : public testing::Test {
 protected:
  using Next = nbd::OptionOutcome::Next;

  NbdHandshake() {
    add("disk", nbd::LocalTarget{&here_.reactor(), &small_}, "a small disk", false);
    add("big", nbd::LocalTarget{&here_.reactor(), &large_}, "", true);
    add("far", nbd::RemoteTarget{"/nowhere"}, "", false);
  }

  void add(const std::string& name, std::variant<nbd::LocalTarget, nbd::RemoteTarget> target,
           const std::string& description, bool read_only, SnapshotSet* snapshots = nullptr) {
    exports_.add(std::make_shared<nbd::Export>(nbd::ExportOptions{
        .name = name, .description = description, .read_only = read_only, .target = target, .snapshots = snapshots}));
  }

  struct Outcome {
    Next next = Next::haggle;
    std::string chosen;
    std::string output;
    size_t consumed = 0;
    bool incomplete = false;
  };

  /// Feeds bytes to a handshake until it wants more or leads somewhere else.
  Outcome feed(nbd::Handshake& handshake, std::string_view input) {
    Outcome outcome;
    std::vector<std::byte> output;
    std::optional<nbd::DescriptionAnswer> answer;
    while (outcome.next == Next::haggle && !outcome.incomplete) {
      const auto rest = std::as_bytes(std::span(input)).subspan(outcome.consumed);
      nbd::Handshake::Step step = handshake.advance(site_, rest, output, answer ? &*answer : nullptr);
      answer.reset();
      if (step.outcome.next == Next::describe || step.outcome.next == Next::enter) {
        EXPECT_EQ(step.consumed, 0U);
        answer = answer_to(step.outcome);
        continue;
      }
      EXPECT_LE(step.consumed, rest.size());
      outcome.consumed += step.consumed;
      outcome.next = step.outcome.next;
      outcome.incomplete = step.incomplete;
      if (step.outcome.chosen != nullptr) outcome.chosen = step.outcome.chosen->name();
    }
    outcome.output.assign(reinterpret_cast<const char*>(output.data()), output.size());
    return outcome;
  }

  /// What the export says; another process says nothing.
  nbd::DescriptionAnswer answer_to(const nbd::OptionOutcome& outcome) {
    if (outcome.chosen->reactor() == nullptr) return {nbd::DescriptionAnswer::Outcome::unreachable, {}};
    if (outcome.next == Next::describe) return here_.wait(outcome.chosen->describe(outcome.question));
    std::optional<nbd::ExportUse> use;
    return here_.wait(nbd::ExportUse::enter(outcome.chosen, outcome.question, use));
  }

  static std::string client_flags(uint32_t flags = nbd::wire::client_fixed_newstyle | nbd::wire::client_no_zeroes) {
    return be32(flags);
  }

  /// What a client that has sent its flags gets for one option.
  Outcome ask(uint32_t option, std::string_view data = {}) {
    return feed(handshake_, (std::exchange(greeted_, true) ? "" : client_flags()) + option_bytes(option, data));
  }

  static std::string reply_bytes(uint32_t option, uint32_t type, std::string_view data = {}) {
    return be64(nbd::wire::option_reply_magic) + be32(option) + be32(type) + counted(data);
  }

  /// Splits the server's bytes into replies; a trailing piece that is none fails the test.
  static std::vector<OptionReply> replies(const std::string& output) {
    std::vector<OptionReply> parsed;
    size_t at = 0;
    while (at < output.size()) {
      const char* head = output.data() + at;
      EXPECT_GE(output.size() - at, sizeof(nbd::wire::OptionReplyHeader));
      EXPECT_EQ(load_be64(head), nbd::wire::option_reply_magic);
      const uint32_t length = load_be32(head + 16);
      parsed.push_back({load_be32(head + 8), load_be32(head + 12),
                        output.substr(at + sizeof(nbd::wire::OptionReplyHeader), length)});
      at += sizeof(nbd::wire::OptionReplyHeader) + length;
    }
    return parsed;
  }
  static uint32_t last_type(const Outcome& outcome) {
    const auto all = replies(outcome.output);
    return all.empty() ? 0 : all.back().type;
  }

  OnReactor here_;
  MemoryDevice small_{1 * mebibyte, 512};
  MemoryDevice large_{8 * mebibyte, 4096};
  nbd::ExportTable exports_;
  nbd::HandshakeSite site_{exports_, &here_.reactor(), true, false};
  nbd::Handshake handshake_;
  bool greeted_ = false;
};

}  // namespace cairn::test
