#include <gtest/gtest.h>

#include <random>

#include "nbd/limits.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

/// Says what a test tells it to about its blocks; holds no data.
class ExtentDevice final : public BlockDevice {
 public:
  explicit ExtentDevice(std::vector<Extent> extents) : extents_(std::move(extents)) {}
  Geometry geometry() const override { return {.size = 1 * tebibyte, .logical_block_size = 4096}; }
  Task<Status> read(uint64_t, std::span<std::byte>) override { co_return Status(); }
  Task<Status> write(uint64_t, std::span<const std::byte>, Durability) override { co_return Status(); }
  Task<Status> flush() override { co_return Status(); }
  Task<Status> trim(uint64_t, uint64_t, Durability) override { co_return Status(); }
  Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { co_return Status(); }
  Task<Status> block_status(uint64_t, uint64_t, StatusQuery, size_t extents_max,
                            std::vector<Extent>& extents) override {
    for (const Extent& extent : extents_)
      if (extents.size() < extents_max) extents.push_back(extent);
    co_return Status();
  }

 private:
  std::vector<Extent> extents_;
};

/// Length and flags of every descriptor.
std::vector<std::pair<uint32_t, uint32_t>> descriptors(const Reply& reply) {
  EXPECT_EQ(reply.type, wire::reply_type_block_status);
  EXPECT_EQ(reply.flags, wire::reply_flag_done);
  EXPECT_EQ(reply.payload.substr(0, 4), be32(1));
  std::vector<std::pair<uint32_t, uint32_t>> all;
  for (size_t at = 4; at + 8 <= reply.payload.size(); at += 8)
    all.emplace_back(load_be32(reply.payload.data() + at), load_be32(reply.payload.data() + at + 4));
  return all;
}

class NbdBlockStatus : public testing::Test {
 protected:
  /// A client that has selected base:allocation for a device with these extents.
  NbdClient client_of(std::vector<Extent> extents) {
    device_ = std::make_unique<ExtentDevice>(std::move(extents));
    EXPECT_TRUE(running_->add("disk", *device_).ok());
    NbdClient client = running_->connect();
    client.greet();
    client.option(wire::option_structured_reply);
    EXPECT_EQ(client.option(wire::option_set_meta_context, meta_data("disk", {"base:allocation"})).size(), 2U);
    client.go("disk");
    return client;
  }
  ~NbdBlockStatus() override { running_.reset(); }

  std::unique_ptr<ExtentDevice> device_;
  std::unique_ptr<RunningServer> running_ = std::make_unique<RunningServer>();
};

TEST_F(NbdBlockStatus, TellsHolesAndZeroesAsTheProtocolDoes) {
  NbdClient client = client_of({{4096, false, false}, {8192, true, true}, {4096, false, true}, {4096, true, false}});
  const Reply reply = client.request({.type = wire::command_block_status, .length = 20480});
  const std::vector<std::pair<uint32_t, uint32_t>> expected = {{4096, 0}, {8192, 3}, {4096, 2}, {4096, 1}};
  EXPECT_EQ(descriptors(reply), expected);
}

TEST_F(NbdBlockStatus, JoinsNeighboursOfOneState) {
  NbdClient client = client_of({{4096, false, false}, {4096, false, false}, {4096, true, true}, {4096, true, true}});
  const Reply reply = client.request({.type = wire::command_block_status, .length = 16384});
  const std::vector<std::pair<uint32_t, uint32_t>> expected = {{8192, 0}, {8192, 3}};
  EXPECT_EQ(descriptors(reply), expected);
}

TEST_F(NbdBlockStatus, TellsOneExtentWhenAskedForOne) {
  NbdClient client = client_of({{4096, false, false}, {4096, true, true}});
  const Reply reply =
      client.request({.type = wire::command_block_status, .flags = wire::command_flag_req_one, .length = 8192});
  const std::vector<std::pair<uint32_t, uint32_t>> expected = {{4096, 0}};
  EXPECT_EQ(descriptors(reply), expected);
}

TEST_F(NbdBlockStatus, NeverReachesBeyondTheRequest) {
  NbdClient client = client_of({{4096, false, false}, {512 * gibibyte, true, true}, {4096, false, false}});
  const Reply reply = client.request({.type = wire::command_block_status, .length = 0xfffff000});
  const std::vector<std::pair<uint32_t, uint32_t>> expected = {{4096, 0}, {0xfffff000 - 4096, 3}};
  EXPECT_EQ(descriptors(reply), expected);
}

TEST_F(NbdBlockStatus, TellsAtMostAsManyExtentsAsTheLimit) {
  std::vector<Extent> many;
  for (int i = 0; i < 2000; ++i) many.push_back({4096, i % 2 == 0, i % 2 == 0});
  NbdClient client = client_of(many);
  const Reply reply = client.request({.type = wire::command_block_status, .length = 2000 * 4096});
  EXPECT_EQ(descriptors(reply).size(), block_status_extents_max);
}

TEST_F(NbdBlockStatus, RefusesRangesThatAreNot) {
  NbdClient client = client_of({{4096, false, false}});
  const uint64_t size = 1 * tebibyte;
  for (const auto& [offset, length] :
       {std::pair{uint64_t{0}, 0U}, {uint64_t{1}, 4096U}, {uint64_t{0}, 4095U}, {size, 4096U}, {size - 4096, 8192U}})
    EXPECT_EQ(client.request({.type = wire::command_block_status, .offset = offset, .length = length}).error,
              wire::error_invalid);
  EXPECT_EQ(client.request({.type = wire::command_block_status, .offset = size - 4096, .length = 4096}).error, 0U);
}

}  // namespace
}  // namespace cairn::test
