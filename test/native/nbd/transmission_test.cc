// Command by command over a socket: what is done, what is refused, and with which error.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "block/fault_device.h"
#include "nbd/limits.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

std::string pattern(size_t length, char seed) {
  std::string text(length, '\0');
  for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>(seed + static_cast<char>(i % 251));
  return text;
}

/// One export "disk" of 4 MiB and one client in transmission. The parameter: structured replies.
class NbdTransmission : public testing::TestWithParam<bool> {
 protected:
  NbdTransmission() { client_.enter("disk", GetParam()); }

  uint32_t error_of(const RequestBytes& request, std::string_view payload = {}) {
    return client_.request(request, payload).error;
  }
  /// What the device holds.
  std::string content(size_t offset, size_t length) {
    std::string copy;
    running_.on_reactor([&] { copy.assign(reinterpret_cast<const char*>(device_.content().data()) + offset, length); });
    return copy;
  }
  /// The connection still works.
  void expect_alive() { EXPECT_EQ(client_.read(0, 512).size(), 512U); }

  static constexpr uint64_t size = 4 * mebibyte;
  RunningServer running_;
  MemoryDevice& device_ = running_.add_memory("disk");
  NbdClient client_ = running_.connect();
};

INSTANTIATE_TEST_SUITE_P(Replies, NbdTransmission, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Structured" : "Simple"; });

TEST_P(NbdTransmission, ReadsWhatWasWritten) {
  for (size_t length : {512UL, 4096UL, 8192UL, 65536UL, 131072UL, 1048576UL}) {
    const std::string data = pattern(length, static_cast<char>(length / 512));
    EXPECT_EQ(client_.write(512, data), 0U) << length;
    EXPECT_EQ(client_.read(512, static_cast<uint32_t>(length)), data) << length;
    EXPECT_EQ(content(512, length), data);
  }
}

TEST_P(NbdTransmission, ReadsInTheFormThatWasNegotiated) {
  client_.write(4096, pattern(4096, 'a'));
  for (uint16_t flags : {0, GetParam() ? int{wire::command_flag_df} : 0, int{wire::command_flag_fua}}) {
    const Reply reply = client_.request(
        {.type = wire::command_read, .flags = flags, .cookie = 0x0123456789abcdef, .offset = 4096, .length = 4096});
    EXPECT_EQ(reply.error, 0U);
    EXPECT_EQ(reply.structured, GetParam());
    EXPECT_EQ(reply.payload, pattern(4096, 'a'));
    if (GetParam()) {
      EXPECT_EQ(reply.type, wire::reply_type_offset_data);
      EXPECT_EQ(reply.flags, wire::reply_flag_done);
    }
  }
}

TEST_P(NbdTransmission, RefusesUnfragmentedReadsWithoutStructuredReplies) {
  const uint32_t error = error_of({.type = wire::command_read, .flags = wire::command_flag_df, .length = 512});
  EXPECT_EQ(error, GetParam() ? 0U : uint32_t{wire::error_invalid});
  expect_alive();
}

TEST_P(NbdTransmission, AnswersWritesAndFlushesWithSimpleReplies) {
  EXPECT_FALSE(client_.request({.type = wire::command_write, .length = 512}, std::string(512, 'x')).structured);
  EXPECT_FALSE(client_.request({.type = wire::command_flush}).structured);
}

TEST_P(NbdTransmission, ExplainsErrorsInStructuredReplies) {
  const Reply reply = client_.request({.type = wire::command_read, .offset = 1, .length = 512});
  EXPECT_EQ(reply.error, wire::error_invalid);
  EXPECT_EQ(reply.structured, GetParam());
  EXPECT_EQ(reply.payload, GetParam() ? "not aligned to the minimum block size" : "");
}

TEST_P(NbdTransmission, WritesDurablyWithFua) {
  EXPECT_EQ(client_.write(0, pattern(512, 'f'), wire::command_flag_fua), 0U);
  EXPECT_EQ(content(0, 512), pattern(512, 'f'));
}

TEST_P(NbdTransmission, ReadsAndWritesUpToTheLastByte) {
  const std::string data = pattern(1024, 'e');
  EXPECT_EQ(client_.write(size - 1024, data), 0U);
  EXPECT_EQ(client_.read(size - 1024, 1024), data);
  for (uint64_t offset : {size - 512, size, size + 512, uint64_t{0xfffffffffffffe00}}) {
    EXPECT_EQ(error_of({.type = wire::command_read, .offset = offset, .length = 1024}), wire::error_invalid);
    EXPECT_EQ(error_of({.type = wire::command_write, .offset = offset, .length = 1024}, data), wire::error_no_space);
    EXPECT_EQ(error_of({.type = wire::command_trim, .offset = offset, .length = 1024}), wire::error_invalid);
    EXPECT_EQ(error_of({.type = wire::command_write_zeroes, .offset = offset, .length = 1024}), wire::error_no_space);
  }
  EXPECT_EQ(client_.read(size - 1024, 1024), data);
}

TEST_P(NbdTransmission, RefusesWhatIsNotAligned) {
  for (uint16_t type : {wire::command_read, wire::command_write, wire::command_trim, wire::command_write_zeroes}) {
    for (auto [offset, length] : {std::pair{1U, 512U}, {511U, 512U}, {0U, 1U}, {0U, 511U}, {0U, 513U}, {513U, 511U}}) {
      const std::string payload(type == wire::command_write ? length : 0, 'x');
      EXPECT_EQ(error_of({.type = type, .offset = offset, .length = length}, payload), wire::error_invalid);
    }
  }
  EXPECT_EQ(client_.read(0, 1024), std::string(1024, '\0'));
}

TEST_P(NbdTransmission, RefusesALengthOfZeroAndGoesOn) {
  for (uint16_t type : {wire::command_read, wire::command_write, wire::command_trim, wire::command_write_zeroes})
    EXPECT_EQ(error_of({.type = type}), wire::error_invalid);
  expect_alive();
}

TEST_P(NbdTransmission, RefusesFlagsThatACommandDoesNotHave) {
  const struct {
    uint16_t type;
    uint16_t allowed;
  } commands[] = {
      {wire::command_read, static_cast<uint16_t>(wire::command_flag_fua | (GetParam() ? wire::command_flag_df : 0))},
      {wire::command_write, wire::command_flag_fua},
      {wire::command_flush, wire::command_flag_fua},
      {wire::command_trim, wire::command_flag_fua},
      {wire::command_write_zeroes, wire::command_flag_fua | wire::command_flag_no_hole | wire::command_flag_fast_zero},
  };
  for (const auto& command : commands) {
    for (unsigned bit = 0; bit < 16; ++bit) {
      const auto flags = static_cast<uint16_t>(1U << bit);
      const uint32_t length = command.type == wire::command_flush ? 0 : 512;
      const std::string payload(command.type == wire::command_write ? length : 0, '\0');
      const uint32_t error = error_of({.type = command.type, .flags = flags, .length = length}, payload);
      EXPECT_EQ(error, (flags & command.allowed) != 0 ? 0U : uint32_t{wire::error_invalid})
          << "command " << command.type << " bit " << bit;
    }
  }
}

TEST_P(NbdTransmission, RefusesAFlushWithARange) {
  EXPECT_EQ(client_.flush(), 0U);
  EXPECT_EQ(error_of({.type = wire::command_flush, .offset = 512}), wire::error_invalid);
  EXPECT_EQ(error_of({.type = wire::command_flush, .length = 512}), wire::error_invalid);
}

TEST_P(NbdTransmission, TrimsAndZeroes) {
  client_.write(0, pattern(16384, 't'));
  EXPECT_EQ(error_of({.type = wire::command_trim, .offset = 4096, .length = 4096}), 0U);
  EXPECT_EQ(client_.read(4096, 4096), std::string(4096, '\0'));
  EXPECT_EQ(
      error_of({.type = wire::command_write_zeroes, .flags = wire::command_flag_fua, .offset = 512, .length = 512}),
      0U);
  EXPECT_EQ(
      error_of(
          {.type = wire::command_write_zeroes, .flags = wire::command_flag_no_hole, .offset = 8192, .length = 512}),
      0U);
  EXPECT_EQ(client_.read(512, 512), std::string(512, '\0'));
  EXPECT_EQ(client_.read(0, 512), pattern(16384, 't').substr(0, 512));
}

TEST_P(NbdTransmission, ZeroesAndTrimsMoreThanAPayloadMayHave) {
  EXPECT_EQ(error_of({.type = wire::command_write_zeroes, .length = static_cast<uint32_t>(size)}), 0U);
  EXPECT_EQ(error_of({.type = wire::command_trim, .length = static_cast<uint32_t>(size)}), 0U);
  EXPECT_EQ(error_of({.type = wire::command_trim, .length = 0xfffffe00}), wire::error_invalid);
  EXPECT_EQ(error_of({.type = wire::command_write_zeroes, .length = 0xfffffe00}), wire::error_no_space);
}

TEST_P(NbdTransmission, AnswersUnknownCommandsAndGoesOn) {
  for (uint16_t type : {wire::Command{8}, wire::Command{0x7fff}, wire::Command{0xffff}})
    EXPECT_EQ(error_of({.type = type, .length = 512}), wire::error_invalid);
  expect_alive();
}

TEST_P(NbdTransmission, SkipsThePayloadOfAWriteThatItRefuses) {
  for (size_t length : {1UL, 513UL, 100001UL, 3000001UL})
    EXPECT_EQ(client_.write(0, std::string(length, 'x')), wire::error_invalid);
  EXPECT_EQ(client_.read(0, 512), std::string(512, '\0'));
}

TEST_P(NbdTransmission, SkipsThePayloadOfAWriteThatIsTooLong) {
  EXPECT_EQ(client_.write(0, std::string(request_length_max + 512, 'x')), wire::error_invalid);
  expect_alive();
}

TEST_P(NbdTransmission, RefusesAReadThatIsTooLong) {
  EXPECT_EQ(error_of({.type = wire::command_read, .length = request_length_max + 512}), wire::error_invalid);
  EXPECT_EQ(error_of({.type = wire::command_read, .length = 0xfffffe00}), wire::error_invalid);
  expect_alive();
}

TEST_P(NbdTransmission, ClosesOnAPayloadThatIsTooLongToSkip) {
  client_.send_request({.type = wire::command_write, .length = skipped_payload_max + 512});
  EXPECT_TRUE(client_.closed());
}

TEST_P(NbdTransmission, ClosesOnAWrongRequestMagic) {
  client_.send_request({.type = wire::command_read, .length = 512, .magic = 0x25609514});
  EXPECT_TRUE(client_.closed());
}

TEST_P(NbdTransmission, AnswersEverythingBeforeADisconnect) {
  std::string burst;
  for (uint64_t i = 0; i < 100; ++i)
    burst += RequestBytes{.type = wire::command_write, .cookie = i, .offset = i * 512, .length = 512}.encode() +
             std::string(512, static_cast<char>(i));
  client_.send(burst + RequestBytes{.type = wire::command_disconnect}.encode());
  std::vector<bool> answered(100);
  for (int i = 0; i < 100; ++i) answered.at(client_.receive_reply().cookie) = true;
  EXPECT_EQ(std::ranges::count(answered, true), 100);
  EXPECT_TRUE(client_.closed());
}

TEST_P(NbdTransmission, ServesManyRequestsAtOnceInOneDirectionAndTheOther) {
  constexpr uint64_t count = 1000;
  std::string burst;
  for (uint64_t i = 0; i < count; ++i)
    burst += RequestBytes{.type = wire::command_write, .cookie = i, .offset = i * 4096, .length = 4096}.encode() +
             pattern(4096, static_cast<char>(i));
  client_.send(burst);
  for (uint64_t i = 0; i < count; ++i) EXPECT_EQ(client_.receive_reply().error, 0U);
  burst.clear();
  for (uint64_t i = 0; i < count; ++i)
    burst += RequestBytes{.type = wire::command_read, .cookie = i, .offset = i * 4096, .length = 4096}.encode();
  client_.send(burst);
  for (uint64_t i = 0; i < count; ++i) {
    const Reply reply = client_.receive_reply(4096);
    EXPECT_EQ(reply.payload, pattern(4096, static_cast<char>(reply.cookie)));
  }
}

TEST_P(NbdTransmission, TakesPayloadsOfAboutTheSizeOfTheReceiveBuffer) {
  std::string burst;
  uint64_t count = 0;
  for (int round = 0; round < 2; ++round) {
    for (size_t around : {receive_small_size, receive_large_size}) {
      for (uint32_t blocks = 0; blocks <= 30; ++blocks) {
        const auto length = static_cast<uint32_t>(around - 15 * 512 + 512 * blocks);
        burst += RequestBytes{.type = wire::command_write, .cookie = count++, .length = length}.encode() +
                 std::string(length, 'b');
      }
    }
  }
  std::thread sender([this, &burst] { client_.send(burst); });
  for (uint64_t i = 0; i < count; ++i) EXPECT_EQ(client_.receive_reply().error, 0U);
  sender.join();
}

TEST_P(NbdTransmission, TakesRequestsInPiecesOfAnySize) {
  const std::string payload = pattern(4096, 'p');
  std::string bytes;
  for (uint64_t i = 0; i < 4; ++i)
    bytes +=
        RequestBytes{.type = wire::command_write, .cookie = i, .offset = i * 4096, .length = 4096}.encode() + payload;
  for (size_t piece : {1UL, 27UL, 28UL, 29UL, 4123UL, 4124UL, 4125UL, 5000UL}) {
    for (size_t at = 0; at < bytes.size(); at += piece) client_.send(std::string_view(bytes).substr(at, piece));
    for (int i = 0; i < 4; ++i) EXPECT_EQ(client_.receive_reply().error, 0U);
  }
  EXPECT_EQ(client_.read(8192, 4096), payload);
}

TEST_P(NbdTransmission, BlockStatusNeedsAContext) {
  EXPECT_EQ(error_of({.type = wire::command_block_status, .length = 4096}), wire::error_invalid);
}

// ---- One behaviour each, on a connection of its own ----

TEST(NbdSession, AReadOnlyExportRefusesEveryWayToWrite) {
  RunningServer running;
  running.add_memory("disk", {.read_only = true});
  NbdClient client = running.connect();
  client.enter("disk");
  EXPECT_EQ(client.write(0, std::string(512, 'x')), wire::error_not_permitted);
  EXPECT_EQ(client.request({.type = wire::command_trim, .length = 512}).error, wire::error_not_permitted);
  EXPECT_EQ(client.request({.type = wire::command_write_zeroes, .length = 512}).error, wire::error_not_permitted);
  EXPECT_EQ(client.flush(), 0U);
  EXPECT_EQ(client.read(0, 512), std::string(512, '\0'));
}

TEST(NbdSession, AVolumeOf4096ByteBlocksRefuses512Bytes) {
  RunningServer running;
  running.add_memory("disk", {.block_size = 4096});
  NbdClient client = running.connect();
  client.enter("disk");
  EXPECT_EQ(client.write(0, std::string(512, 'x')), wire::error_invalid);
  EXPECT_EQ(client.write(512, std::string(4096, 'x')), wire::error_invalid);
  EXPECT_EQ(client.write(4096, std::string(4096, 'x')), 0U);
}

TEST(NbdSession, RequestsMayFollowAnExportNameWithoutWaiting) {
  RunningServer running;
  running.add_memory("disk");
  NbdClient client = running.connect();
  const std::string write = RequestBytes{.type = wire::command_write, .cookie = 7, .length = 32768}.encode();
  client.send(be32(wire::client_fixed_newstyle | wire::client_no_zeroes) +
              option_bytes(wire::option_export_name, "disk") + write + pattern(32768, 'w'));
  EXPECT_EQ(client.receive(sizeof(wire::Greeting) + sizeof(wire::ExportNameReply)).size(),
            sizeof(wire::Greeting) + sizeof(wire::ExportNameReply));
  EXPECT_EQ(client.receive_reply().cookie, 7U);
  EXPECT_EQ(client.read(0, 32768), pattern(32768, 'w'));
}

TEST(NbdSession, WorksOverTcp) {
  RunningServer running;
  running.add_memory("disk");
  Result<TcpAddress> address = running.server().listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(address.ok());
  NbdClient client = NbdClient::connect_tcp(address.value());
  client.enter("disk");
  EXPECT_EQ(client.write(0, pattern(1 << 20, 'T')), 0U);
  EXPECT_EQ(client.read(0, 1 << 20), pattern(1 << 20, 'T'));
}

TEST(NbdSession, TransfersOfTheMaximumBlockSizeWork) {
  RunningServer running;
  running.add_memory("disk", {.size = 64 * mebibyte});
  NbdClient client = running.connect();
  client.enter("disk");
  const std::string data = pattern(request_length_max, 'M');
  EXPECT_EQ(client.write(4096, data), 0U);
  EXPECT_EQ(client.read(4096, request_length_max), data);
}

TEST(NbdSession, TheMaximumBlockSizeIsTheLargestPieceOfASmallPool) {
  RunningServer running(1, {.buffer_bytes = 64 * kibibyte});
  running.add_memory("disk");
  NbdClient client = running.connect();
  client.enter("disk");
  EXPECT_EQ(client.write(0, std::string(65536, 'x')), 0U);
  EXPECT_EQ(client.write(0, std::string(65536 + 512, 'x')), wire::error_invalid);
  EXPECT_EQ(client.request({.type = wire::command_read, .length = 65536 + 512}).error, wire::error_invalid);
  EXPECT_EQ(client.read(0, 65536), std::string(65536, 'x'));
}

TEST(NbdSession, AnErrorOfTheDeviceReachesTheClient) {
  RunningServer running;
  MemoryDevice memory(mebibyte, 512);
  std::atomic<int> error = 0;
  FaultDevice faulty(memory, [&error](auto, auto, auto) {
    return FaultDevice::Fault{Status::from_errno(error), Status()};
  });
  ASSERT_TRUE(running.add("disk", faulty).ok());
  NbdClient client = running.connect();
  client.enter("disk", true);
  const std::pair<int, uint32_t> mapped[] = {{EIO, wire::error_io},           {ENOSPC, wire::error_no_space},
                                             {EDQUOT, wire::error_no_space},  {EROFS, wire::error_not_permitted},
                                             {ENOMEM, wire::error_no_memory}, {EUCLEAN, wire::error_io}};
  for (const auto& [number, expected] : mapped) {
    error = number;
    EXPECT_EQ(client.write(0, std::string(512, 'x')), expected);
    EXPECT_EQ(client.flush(), expected);
    EXPECT_EQ(client.request({.type = wire::command_read, .length = 4096}).error, expected);
  }
  error = 0;
  EXPECT_EQ(client.write(0, std::string(512, 'x')), 0U);
  ASSERT_TRUE(running.remove("disk", true).ok());
}

}  // namespace
}  // namespace cairn::test
