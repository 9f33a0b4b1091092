// Extended headers: how they are negotiated, and every command in their form.
#include "test/native/nbd/support/handshake_fixture.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

TEST_F(NbdHandshake, ExtendedHeadersAreGrantedOnceAndStand) {
  const uint32_t extended = wire::option_extended_headers;
  EXPECT_EQ(last_type(ask(extended, "x")), wire::reply_error_invalid);
  EXPECT_FALSE(handshake_.negotiated().extended_headers);
  EXPECT_EQ(last_type(ask(wire::option_structured_reply)), wire::reply_ack);
  EXPECT_EQ(last_type(ask(extended)), wire::reply_ack);
  EXPECT_TRUE(handshake_.negotiated().structured_replies);
  EXPECT_EQ(last_type(ask(extended)), wire::reply_error_invalid);
  EXPECT_EQ(last_type(ask(wire::option_structured_reply)), wire::reply_error_extended_headers_required);
  EXPECT_TRUE(handshake_.negotiated().extended_headers);
  EXPECT_EQ(last_type(ask(wire::option_list_meta_context, meta_data("disk", {}))), wire::reply_ack);
}

TEST_F(NbdHandshake, ExportNameAfterExtendedHeadersCloses) {
  ask(wire::option_extended_headers);
  EXPECT_EQ(ask(wire::option_export_name, "disk").next, Next::close);
}

class NbdExtended : public testing::Test {
 protected:
  NbdExtended() {
    running_.add_memory("disk");
    client_.greet();
    EXPECT_EQ(client_.option(wire::option_extended_headers).at(0).type, wire::reply_ack);
    EXPECT_EQ(client_.go("disk").back().type, wire::reply_ack);
  }
  Chunk one(RequestBytes request, std::string_view payload = {}) {
    request.magic = wire::extended_request_magic;
    const auto chunks = client_.request_chunks(request, payload);
    EXPECT_EQ(chunks.size(), 1U);
    EXPECT_EQ(chunks.at(0).offset, request.offset);
    return chunks.at(0);
  }
  uint32_t write(uint64_t offset, const std::string& data, uint16_t flags = wire::command_flag_payload_length) {
    return one({.type = wire::command_write, .flags = flags, .offset = offset, .length = data.size()}, data).error();
  }

  RunningServer running_;
  NbdClient client_ = running_.connect();
};

TEST_F(NbdExtended, WritesReadsAndFlushes) {
  EXPECT_EQ(write(512, std::string(8192, 'x')), 0U);
  const Chunk read = one({.type = wire::command_read, .offset = 512, .length = 8192});
  EXPECT_EQ(read.type, wire::reply_type_offset_data);
  EXPECT_EQ(read.payload, be64(512) + std::string(8192, 'x'));
  const Chunk flush = one({.type = wire::command_flush});
  EXPECT_EQ(flush.type, wire::reply_type_none);
  EXPECT_TRUE(flush.payload.empty());
}

TEST_F(NbdExtended, AWriteWithoutThePayloadFlagIsRefusedAndHasNone) {
  const Chunk refused = one({.type = wire::command_write, .length = 512});
  EXPECT_EQ(refused.error(), wire::error_invalid);
  EXPECT_EQ(write(0, std::string(512, 'x')), 0U);
}

TEST_F(NbdExtended, APayloadWhereNoneBelongsIsSkipped) {
  for (uint16_t type : {wire::command_read, wire::command_trim, wire::command_flush, wire::command_write_zeroes,
                        wire::command_cache, wire::command_block_status, wire::Command{99}}) {
    const Chunk refused =
        one({.type = type, .flags = wire::command_flag_payload_length, .length = 700}, std::string(700, 'p'));
    EXPECT_EQ(refused.error(), wire::error_invalid) << type;
  }
  EXPECT_EQ(write(0, std::string(512, 'x')), 0U);
}

TEST_F(NbdExtended, LengthsBeyond32BitsAreNotCut) {
  for (uint64_t length : {uint64_t{1} << 32, (uint64_t{1} << 32) + 512, ~uint64_t{0} - 511, uint64_t{1} << 63}) {
    EXPECT_EQ(one({.type = wire::command_trim, .length = length}).error(), wire::error_invalid);
    EXPECT_EQ(one({.type = wire::command_write_zeroes, .length = length}).error(), wire::error_no_space);
    EXPECT_EQ(one({.type = wire::command_cache, .length = length}).error(), wire::error_invalid);
    EXPECT_EQ(one({.type = wire::command_read, .length = length}).error(), wire::error_invalid);
  }
}

TEST_F(NbdExtended, ARequestInTheCompactFormCloses) {
  client_.send_request({.type = wire::command_read, .length = 512});
  client_.send(std::string(4, '\0'));
  EXPECT_TRUE(client_.closed());
}

TEST_F(NbdExtended, APayloadThatIsTooLongToSkipCloses) {
  client_.send_request({.type = wire::command_write,
                        .flags = wire::command_flag_payload_length,
                        .length = uint64_t{1} << 40,
                        .magic = wire::extended_request_magic});
  EXPECT_TRUE(client_.closed());
}

TEST_F(NbdExtended, SurvivesAHandOver) {
  const std::string path = running_.directory() + "/handover";
  ASSERT_TRUE(running_.server().listen_handover(path).ok());
  RunningServer front;
  ASSERT_TRUE(front.server().add_export({.name = "disk", .target = RemoteTarget{path}}).ok());
  write(0, std::string(512, 'h'));
  client_ = front.connect();
  client_.greet();
  client_.option(wire::option_extended_headers);
  EXPECT_EQ(client_.go("disk").back().type, wire::reply_ack);
  EXPECT_EQ(one({.type = wire::command_read, .length = 512}).payload, be64(0) + std::string(512, 'h'));
}

// ---- Ranges beyond 4 GiB ----

/// Remembers the longest range that it was asked to change.
class EndlessDevice final : public BlockDevice {
 public:
  Geometry geometry() const override { return {.size = 32 * tebibyte, .logical_block_size = 4096}; }
  Task<Status> read(uint64_t, std::span<std::byte>) override { co_return Status(); }
  Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { co_return Status(); }
  Task<Status> flush() override { co_return Status(); }
  Task<Status> trim(uint64_t, uint64_t length, Durability) override {
    trimmed = length;
    co_return Status();
  }
  Task<Status> write_zeroes(uint64_t, uint64_t length, ZeroMode, Durability) override {
    zeroed = length;
    co_return Status();
  }
  Task<Status> block_status(uint64_t, uint64_t length, StatusQuery, size_t, std::vector<Extent>& extents) override {
    extents.push_back({length, true, true});
    co_return Status();
  }
  std::atomic<uint64_t> trimmed = 0;
  std::atomic<uint64_t> zeroed = 0;
};

TEST(NbdExtendedRange, TrimsZeroesAndCachesMoreThan4GibibytesAtOnce) {
  EndlessDevice device;
  RunningServer running;
  ASSERT_TRUE(running.add("disk", device).ok());
  NbdClient client = running.connect();
  client.greet();
  client.option(wire::option_extended_headers);
  client.go("disk");
  for (uint16_t type : {wire::command_trim, wire::command_write_zeroes, wire::command_cache}) {
    const RequestBytes request{
        .type = type, .offset = 4096, .length = 20 * tebibyte, .magic = wire::extended_request_magic};
    EXPECT_EQ(client.request_chunks(request).at(0).type, wire::reply_type_none) << type;
  }
  EXPECT_EQ(device.trimmed, 20 * tebibyte);
  EXPECT_EQ(device.zeroed, 20 * tebibyte);
  ASSERT_TRUE(running.remove("disk", true).ok());
}

}  // namespace
}  // namespace cairn::test
