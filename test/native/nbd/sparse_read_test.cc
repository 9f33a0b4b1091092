// Reads that leave zeros out, zeroes that must be fast, and ranges to be cached.
#include <gtest/gtest.h>

#include <random>

#include "nbd/limits.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

/// Content with holes, which it tells of; and a count of what it was asked.
class HoleyDevice final : public BlockDevice {
 public:
  static constexpr uint64_t size = 4 * mebibyte;
  Geometry geometry() const override { return {.size = size, .logical_block_size = 512, .fast_zeroes = fast_zeroes}; }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override {
    ++reads;
    std::copy_n(content.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
    co_return failure;
  }
  Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { co_return Status(); }
  Task<Status> flush() override { co_return Status(); }
  Task<Status> trim(uint64_t, uint64_t, Durability) override { co_return Status(); }
  Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { co_return Status(); }
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery, size_t extents_max,
                            std::vector<Extent>& extents) override {
    ++questions;
    const uint64_t end = offset + length;
    while (offset < end && extents.size() < extents_max) {
      const uint64_t run = std::min(end, (offset / 4096 + 1) * 4096) - offset;
      const bool hole = holes[offset / 4096];
      if (!extents.empty() && extents.back().zero == hole) {
        extents.back().length += run;
      } else {
        extents.push_back({run, hole, hole});
      }
      offset += run;
    }
    co_return known;
  }

  void fill(std::mt19937_64& random) {
    for (size_t block = 0; block < holes.size(); ++block) {
      if (random() % 8 == 0) hole_now_ = random() % 2 == 0;
      holes[block] = hole_now_;
      for (size_t i = 0; i < 4096; ++i)
        content[block * 4096 + i] = hole_now_ ? std::byte{0} : static_cast<std::byte>(1 + random() % 255);
    }
  }

  std::vector<std::byte> content = std::vector<std::byte>(size);
  std::vector<bool> holes = std::vector<bool>(size / 4096);
  Status failure;
  Status known;
  bool fast_zeroes = true;
  std::atomic<int> reads = 0;
  std::atomic<int> questions = 0;

 private:
  bool hole_now_ = false;
};

class NbdSparseRead : public testing::TestWithParam<bool> {
 protected:
  void connect() {
    EXPECT_TRUE(running_->add("disk", device_).ok());
    client_.emplace(running_->connect());
    client_->greet();
    client_->option(GetParam() ? wire::option_extended_headers : wire::option_structured_reply);
    EXPECT_EQ(client_->go("disk").back().type, wire::reply_ack);
  }
  ~NbdSparseRead() override {
    client_.reset();
    running_.reset();
  }
  RequestBytes request(uint64_t offset, uint64_t length, uint16_t flags = 0) const {
    return {.type = wire::command_read,
            .flags = flags,
            .offset = offset,
            .length = length,
            .magic = GetParam() ? wire::extended_request_magic : wire::request_magic};
  }
  /// What the chunks of a read say, put together.
  std::string assemble(const std::vector<Chunk>& chunks, uint64_t offset, uint64_t length) {
    std::string data(length, '?');
    for (const Chunk& chunk : chunks) {
      const uint64_t at = load_be64(chunk.payload.data()) - offset;
      if (chunk.type == wire::reply_type_offset_hole) {
        data.replace(at, load_be32(chunk.payload.data() + 8), load_be32(chunk.payload.data() + 8), '\0');
      } else {
        EXPECT_EQ(chunk.type, wire::reply_type_offset_data);
        data.replace(at, chunk.payload.size() - 8, chunk.payload, 8);
      }
    }
    EXPECT_EQ(data.size(), length);
    return data;
  }
  std::string content(uint64_t offset, uint64_t length) const {
    return {reinterpret_cast<const char*>(device_.content.data()) + offset, length};
  }

  HoleyDevice device_;
  std::unique_ptr<RunningServer> running_ = std::make_unique<RunningServer>();
  std::optional<NbdClient> client_;
};

INSTANTIATE_TEST_SUITE_P(HeaderForms, NbdSparseRead, testing::Bool(),
                         [](const auto& form) { return form.param ? "Extended" : "Structured"; });

TEST_P(NbdSparseRead, RandomRangesReadAsTheContent) {
  const char* given = std::getenv("CAIRN_TEST_SEED");
  const unsigned long seed = given != nullptr ? std::strtoul(given, nullptr, 0) : std::random_device{}();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  device_.fill(random);
  connect();
  size_t holes = 0;
  for (int i = 0; i < 200; ++i) {
    const uint64_t length = (1 + random() % 2048) * 512;
    const uint64_t offset = random() % ((HoleyDevice::size - length) / 512 + 1) * 512;
    const auto chunks = client_->request_chunks(request(offset, length));
    for (const Chunk& chunk : chunks) holes += chunk.type == wire::reply_type_offset_hole ? 1 : 0;
    ASSERT_LE(chunks.size(), sparse_runs_max);
    ASSERT_TRUE(assemble(chunks, offset, length) == content(offset, length)) << offset << "+" << length;
  }
  EXPECT_GT(holes, 0U);
}

TEST_P(NbdSparseRead, ARangeOfZerosIsOneHoleAndReadsNothing) {
  device_.holes.assign(device_.holes.size(), true);
  connect();
  const auto chunks = client_->request_chunks(request(4096, mebibyte));
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].type, wire::reply_type_offset_hole);
  EXPECT_EQ(chunks[0].payload, be64(4096) + be32(mebibyte));
  EXPECT_EQ(device_.reads, 0);
}

TEST_P(NbdSparseRead, SmallReadsAndUnfragmentedOnesAreNotLookedAt) {
  device_.holes.assign(device_.holes.size(), true);
  connect();
  EXPECT_EQ(client_->request_chunks(request(0, sparse_read_min - 512)).at(0).type, wire::reply_type_offset_data);
  EXPECT_EQ(client_->request_chunks(request(0, mebibyte, wire::command_flag_df)).at(0).type,
            wire::reply_type_offset_data);
  EXPECT_EQ(device_.questions, 0);
  EXPECT_EQ(client_->request_chunks(request(0, sparse_read_min)).at(0).type, wire::reply_type_offset_hole);
  EXPECT_EQ(device_.questions, 1);
}

TEST_P(NbdSparseRead, AnErrorIsTheOnlyChunk) {
  std::mt19937_64 random(1);
  device_.fill(random);
  device_.holes[0] = false;
  for (size_t i = 1; i < 64; ++i) device_.holes[i] = true;
  device_.failure = Status::from_errno(EIO);
  connect();
  const auto chunks = client_->request_chunks(request(0, mebibyte));
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].error(), wire::error_io);
}

TEST_P(NbdSparseRead, ADeviceThatCannotTellIsJustRead) {
  device_.holes.assign(device_.holes.size(), true);
  device_.known = Status::from_errno(EIO);
  connect();
  const auto chunks = client_->request_chunks(request(0, mebibyte));
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].type, wire::reply_type_offset_data);
}

TEST_P(NbdSparseRead, ZeroesThatKeepTheirSpaceAreFastOnlyWhereTheDeviceSaysSo) {
  device_.fast_zeroes = false;
  connect();
  RequestBytes zeroes = request(0, 4096);
  zeroes.type = wire::command_write_zeroes;
  const auto error_with = [&](unsigned flags) {
    zeroes.flags = static_cast<uint16_t>(flags);
    return client_->request(zeroes).error;
  };
  if (GetParam()) return;  // the shorthand knows the compact form
  EXPECT_EQ(error_with(wire::command_flag_fast_zero | wire::command_flag_no_hole), wire::error_not_supported);
  EXPECT_EQ(error_with(wire::command_flag_fast_zero), 0U);
  EXPECT_EQ(error_with(wire::command_flag_no_hole), 0U);
}

TEST_P(NbdSparseRead, CachingReadsTheRangeAndAnswersWithoutData) {
  connect();
  RequestBytes cache = request(512, 3 * mebibyte);
  cache.type = wire::command_cache;
  if (GetParam()) {
    EXPECT_EQ(client_->request_chunks(cache).at(0).type, wire::reply_type_none);
  } else {
    EXPECT_EQ(client_->request(cache).error, 0U);
  }
  EXPECT_EQ(device_.reads, 3);
}

TEST(NbdCache, FailsWhereReadingFails) {
  HoleyDevice device;
  device.failure = Status::from_errno(EIO);
  RunningServer running;
  ASSERT_TRUE(running.add("disk", device).ok());
  NbdClient client = running.connect();
  client.enter("disk");
  EXPECT_EQ(client.request({.type = wire::command_cache, .length = 4096}).error, wire::error_io);
  EXPECT_EQ(client.request({.type = wire::command_cache, .offset = HoleyDevice::size, .length = 4096}).error,
            wire::error_invalid);
  ASSERT_TRUE(running.remove("disk", true).ok());
}

}  // namespace
}  // namespace cairn::test
