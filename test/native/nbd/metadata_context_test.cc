// Metadata contexts: listed, selected, and answered in block status.
#include <gtest/gtest.h>

#include "nbd/limits.h"
#include "nbd/metadata_contexts.h"
#include "test/native/nbd/support/memory_snapshots.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

const std::vector<SnapshotName> three = {{"one", 11}, {"two", 22}, {"three", 33}};
using Names = std::vector<std::string>;

TEST(NbdMetadataContexts, AreListedByNameNamespaceOrAll) {
  const Names changes = {"cairn:changed-since:one", "cairn:changed-since:two", "cairn:changed-since:three"};
  Names all = changes;
  all.insert(all.begin(), "base:allocation");
  EXPECT_EQ(contexts_listed({}, three), all);
  EXPECT_EQ(contexts_listed({"base:", "cairn:"}, three), all);
  EXPECT_EQ(contexts_listed({"base:"}, three), Names{"base:allocation"});
  EXPECT_EQ(contexts_listed({"cairn:"}, three), changes);
  EXPECT_EQ(contexts_listed({"cairn:changed-since:"}, three), changes);
  EXPECT_EQ(contexts_listed({"cairn:changed-since:two"}, three), Names{changes[1]});
  EXPECT_EQ(contexts_listed({"cairn:changed-since:t", "base", "", "qemu:", "cairn"}, three), Names{});
}

TEST(NbdMetadataContexts, AreSelectedByTheirNamesInTheOrderAskedFor) {
  EXPECT_EQ(contexts_selected({"cairn:changed-since:two", "base:allocation"}, three),
            (Names{"cairn:changed-since:two", "base:allocation"}));
  EXPECT_EQ(contexts_selected({"base:allocation", "base:allocation"}, three), Names{"base:allocation"});
  EXPECT_EQ(contexts_selected({"base:", "cairn:", "cairn:changed-since:", "cairn:changed-since:four"}, three), Names{});
}

TEST(NbdMetadataContexts, AskBlockStatusForTheRightThing) {
  const auto resolved =
      resolve_contexts({"base:allocation", "cairn:changed-since:two", "cairn:changed-since:gone"}, three);
  ASSERT_EQ(resolved.size(), 3U);
  EXPECT_EQ(resolved[0].id, 1U);
  EXPECT_FALSE(resolved[0].query->since.has_value());
  EXPECT_EQ(resolved[1].query->since, 22U);
  EXPECT_FALSE(resolved[2].query.has_value());
}

TEST(NbdMetadataContexts, AListIsAsLongAsAnAnswerMayBe) {
  std::vector<SnapshotName> many;
  for (int i = 0; i < 5000; ++i) many.push_back({"snapshot-" + std::to_string(i), 1});
  const Names listed = contexts_listed({}, many);
  EXPECT_GT(listed.size(), 1000U);
  size_t bytes = 0;
  for (const std::string& name : listed) bytes += 4 + name.size();
  EXPECT_LE(bytes, contexts_listed_bytes_max);
  EXPECT_EQ(contexts_selected({"cairn:changed-since:snapshot-4999"}, many).size(), 1U);
}

/// Tells of two blocks: the first allocated and changed since reference 1, the second a hole and changed since 2.
class StatusDevice final : public BlockDevice {
 public:
  Geometry geometry() const override { return {.size = 8 * tebibyte, .logical_block_size = 4096}; }
  Task<Status> read(uint64_t, std::span<std::byte>) override { co_return Status(); }
  Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { co_return Status(); }
  Task<Status> flush() override { co_return Status(); }
  Task<Status> trim(uint64_t, uint64_t, Durability) override { co_return Status(); }
  Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { co_return Status(); }
  Task<Status> block_status(uint64_t, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override {
    if (query.since && *query.since > 2) co_return Status::from_errno(EINVAL);
    const uint32_t since = query.since.value_or(0);
    extents.push_back({4096, false, false, since == 1});
    if (extents_max > 1 && length > 4096) extents.push_back({length - 4096, since == 0, since == 0, since == 2});
    co_return Status();
  }
};

class NbdStatusOfContexts : public testing::TestWithParam<bool> {
 protected:
  NbdStatusOfContexts() {
    MemoryDevice content(4096, 512);
    for (const char* name : {"one", "two", "three"}) snapshots_.take(name, content);
    EXPECT_TRUE(
        running_.server()
            .add_export(
                {.name = "disk", .target = LocalTarget{&running_.reactor(), &device_}, .snapshots = &snapshots_})
            .ok());
    client_.greet();
    client_.option(extended() ? wire::option_extended_headers : wire::option_structured_reply);
  }
  bool extended() const { return GetParam(); }
  void select(const Names& names) {
    const auto replies = client_.option(wire::option_set_meta_context, meta_data("disk", names));
    EXPECT_EQ(replies.back().type, wire::reply_ack);
    EXPECT_EQ(replies.size(), names.size() + 1);
    flags_ = load_be16(client_.go("disk").at(0).data.data() + 10);
  }
  RequestBytes status(uint64_t length, uint16_t flags = 0) const {
    return {.type = wire::command_block_status,
            .flags = flags,
            .length = length,
            .magic = extended() ? wire::extended_request_magic : wire::request_magic};
  }
  /// A whole chunk's payload.
  std::string told(uint32_t id, const std::vector<std::pair<uint64_t, uint32_t>>& runs) const {
    std::string bytes = be32(id);
    if (extended()) bytes += be32(static_cast<uint32_t>(runs.size()));
    for (const auto& [length, state] : runs)
      bytes += extended() ? be64(length) + be64(state) : be32(static_cast<uint32_t>(length)) + be32(state);
    return bytes;
  }

  StatusDevice device_;
  MemorySnapshots snapshots_;
  RunningServer running_;
  NbdClient client_ = running_.connect();
  uint16_t flags_ = 0;
};

INSTANTIATE_TEST_SUITE_P(HeaderForms, NbdStatusOfContexts, testing::Bool(),
                         [](const auto& form) { return form.param ? "Extended" : "Structured"; });

TEST_P(NbdStatusOfContexts, EachSelectedOneIsAnswered) {
  select({"cairn:changed-since:two", "base:allocation", "cairn:changed-since:one"});
  const auto chunks = client_.request_chunks(status(16384));
  ASSERT_EQ(chunks.size(), 3U);
  const std::vector<std::string> expected = {told(1, {{4096, 0}, {12288, 1}}), told(2, {{4096, 0}, {12288, 3}}),
                                             told(3, {{4096, 1}, {12288, 0}})};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(chunks[i].payload, expected[i]) << i;
    EXPECT_EQ(chunks[i].last(), i == 2);
    EXPECT_EQ(chunks[i].type, extended() ? wire::reply_type_block_status_extended : wire::reply_type_block_status);
  }
}

TEST_P(NbdStatusOfContexts, OneExtentEachWhenAskedForOne) {
  select({"base:allocation", "cairn:changed-since:one"});
  const auto chunks = client_.request_chunks(status(16384, wire::command_flag_req_one));
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0].payload, told(1, {{4096, 0}}));
  EXPECT_EQ(chunks[1].payload, told(2, {{4096, 1}}));
}

TEST_P(NbdStatusOfContexts, AnErrorOfOneIsTheAnswer) {
  select({"base:allocation", "cairn:changed-since:three"});
  const auto chunks = client_.request_chunks(status(4096));
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].error(), wire::error_invalid);
}

TEST_P(NbdStatusOfContexts, MoreThanTheLimitAreRefused) {
  MemoryDevice content(4096, 512);
  Names names = {"base:allocation"};
  for (size_t i = 0; names.size() <= contexts_selected_max; ++i) {
    snapshots_.take("s" + std::to_string(i), content);
    names.push_back("cairn:changed-since:s" + std::to_string(i));
  }
  EXPECT_EQ(client_.option(wire::option_set_meta_context, meta_data("disk", names)).back().type,
            wire::reply_error_too_big);
  names.pop_back();
  EXPECT_EQ(client_.option(wire::option_set_meta_context, meta_data("disk", names)).size(), contexts_selected_max + 1);
}

TEST_P(NbdStatusOfContexts, APayloadLimitsTheAnswerToSomeOfThem) {
  select({"base:allocation", "cairn:changed-since:one", "cairn:changed-since:two"});
  EXPECT_EQ((flags_ & wire::flag_block_status_payload) != 0, extended());
  if (!extended()) return;
  const auto ask = [this](const std::string& payload) {
    RequestBytes request = status(payload.size(), wire::command_flag_payload_length);
    return client_.request_chunks(request, payload);
  };
  const auto two = ask(be64(8192) + be32(3) + be32(1));
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].payload, told(3, {{4096, 0}, {4096, 1}}));
  EXPECT_EQ(two[1].payload, told(1, {{4096, 0}, {4096, 3}}));
  for (const std::string& wrong :
       {be64(8192), be64(8192) + be32(4), be64(8192) + be32(1) + be32(1), be64(8192) + be16(1), be64(0) + be32(1),
        be64(1) + be32(1), be64(9 * tebibyte) + be32(1), be32(1), be64(8192) + be32(1) + be32(2) + be32(3) + be32(1)})
    EXPECT_EQ(ask(wrong).at(0).error(), wire::error_invalid) << wrong.size();
  EXPECT_EQ(client_.request_chunks(status(4096)).size(), 3U);
}

TEST_P(NbdStatusOfContexts, ARangeBeyond32BitsIsToldWhole) {
  select({"base:allocation"});
  if (!extended()) return;
  const auto chunks = client_.request_chunks(status(6 * tebibyte));
  EXPECT_EQ(chunks.at(0).payload, told(1, {{4096, 0}, {6 * tebibyte - 4096, 3}}));
}

}  // namespace
}  // namespace cairn::test
