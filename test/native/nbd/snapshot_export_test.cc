// NAME@SNAPSHOT: which device a name means, how long a snapshot is open, and what a client may do with it.
#include <gtest/gtest.h>

#include "nbd/limits.h"
#include "test/native/nbd/support/memory_snapshots.h"
#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

class NbdSnapshotExport : public testing::Test {
 protected:
  NbdSnapshotExport() : volume_(&running_.add_memory("disk", {.reactor = 1, .snapshots = &snapshots_})) {
    NbdClient client = running_.connect();
    client.enter("disk");
    client.write(0, std::string(512, 'a'));
    running_.on_reactor([this] { snapshots_.take("monday", *volume_); }, 1);
    client.write(0, std::string(512, 'b'));
    running_.on_reactor([this] { snapshots_.take("tuesday", *volume_); }, 1);
    client.write(0, std::string(512, 'c'));
  }

  MemorySnapshots snapshots_;
  RunningServer running_{2};
  MemoryDevice* volume_;
};

TEST_F(NbdSnapshotExport, EachNameReadsItsOwnContent) {
  for (const auto& [name, content] : {std::pair{"disk@monday", 'a'}, {"disk@tuesday", 'b'}, {"disk", 'c'}}) {
    NbdClient client = running_.connect();
    client.enter(name);
    EXPECT_EQ(client.read(0, 512), std::string(512, content)) << name;
  }
}

TEST_F(NbdSnapshotExport, IsReadOnlyAndSaysSo) {
  NbdClient client = running_.connect();
  client.greet();
  const auto replies = client.go("disk@monday", {wire::info_name});
  ASSERT_EQ(replies.size(), 3U);
  const auto flags = load_be16(replies[0].data.data() + 10);
  EXPECT_TRUE(flags & wire::flag_read_only);
  EXPECT_TRUE(flags & wire::flag_can_multi_conn);
  EXPECT_FALSE(flags & (wire::flag_send_trim | wire::flag_send_write_zeroes));
  EXPECT_EQ(replies[1].data.substr(2), "disk@monday");
  EXPECT_EQ(client.write(0, std::string(512, 'x')), wire::error_not_permitted);
  EXPECT_EQ(client.request({.type = wire::command_trim, .length = 4096}).error, wire::error_not_permitted);
  EXPECT_EQ(client.flush(), 0U);
}

TEST_F(NbdSnapshotExport, IsOpenFromTheFirstConnectionToTheLast) {
  std::vector<NbdClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(running_.connect());
    clients.back().enter("disk@monday");
  }
  EXPECT_EQ(snapshots_.open(), 1U);
  EXPECT_EQ(snapshots_.opened(), 1U);
  clients.pop_back();
  clients.pop_back();
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 1; }));
  EXPECT_EQ(snapshots_.open(), 1U);
  EXPECT_EQ(clients.front().read(0, 512), std::string(512, 'a'));
  clients.clear();
  EXPECT_TRUE(eventually([this] { return snapshots_.open() == 0; }));
}

TEST_F(NbdSnapshotExport, InfoOpensItOnlyToLook) {
  NbdClient client = running_.connect();
  client.greet();
  EXPECT_EQ(client.option(wire::option_info, info_data("disk@tuesday")).back().type, wire::reply_ack);
  EXPECT_EQ(snapshots_.opened(), 1U);
  EXPECT_EQ(snapshots_.open(), 0U);
}

TEST_F(NbdSnapshotExport, NamesOfNoSnapshotAreUnknown) {
  NbdClient client = running_.connect();
  client.greet();
  for (const char* name : {"disk@", "disk@wednesday", "disk@@monday", "@", "nope@monday", "disk@monday@tuesday"}) {
    EXPECT_EQ(client.option(wire::option_info, info_data(name)).at(0).type, wire::reply_error_unknown) << name;
    EXPECT_EQ(client.go(name).at(0).type, wire::reply_error_unknown) << name;
  }
  NbdClient old = running_.connect();
  old.greet();
  old.send_option(wire::option_export_name, "disk@wednesday");
  EXPECT_TRUE(old.closed());
  EXPECT_TRUE(eventually([this] { return running_.server().connections("disk") == 0; }));
}

TEST_F(NbdSnapshotExport, ADefaultExportHasSnapshotsToo) {
  NbdClient client = running_.connect();
  client.enter("@monday");
  EXPECT_EQ(client.read(0, 512), std::string(512, 'a'));
}

TEST_F(NbdSnapshotExport, AnExportWhoseNameHasAnAtComesFirst) {
  running_.add_memory("disk@monday");
  running_.add_memory("disk@x", {.reactor = 1, .snapshots = &snapshots_});
  NbdClient client = running_.connect();
  client.enter("disk@monday");
  EXPECT_EQ(client.read(0, 512), std::string(512, '\0'));
  EXPECT_EQ(client.write(0, std::string(512, 'x')), 0U);
  NbdClient longest = running_.connect();
  longest.enter("disk@x@monday");
  EXPECT_EQ(longest.read(0, 512), std::string(512, 'a'));
  EXPECT_EQ(running_.server().connections("disk@x"), 1U);
}

TEST_F(NbdSnapshotExport, ARemovedExportTakesItsSnapshotsAlong) {
  NbdClient client = running_.connect();
  client.enter("disk@monday");
  EXPECT_EQ(running_.remove("disk", false).error().code, "VOLUME_IN_USE");
  ASSERT_TRUE(running_.remove("disk", true).ok());
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(snapshots_.open(), 0U);
}

TEST_F(NbdSnapshotExport, ListShowsVolumesOnly) {
  NbdClient client = running_.connect();
  client.greet();
  EXPECT_EQ(client.option(wire::option_list).size(), 2U);
}

TEST_F(NbdSnapshotExport, IsServedThroughAnotherProcess) {
  const std::string path = running_.directory() + "/handover";
  ASSERT_TRUE(running_.server().listen_handover(path).ok());
  RunningServer front;
  ASSERT_TRUE(front.server().add_export({.name = "disk", .target = RemoteTarget{path}}).ok());
  NbdClient client = front.connect();
  client.greet();
  EXPECT_EQ(client.option(wire::option_info, info_data("disk@monday")).back().type, wire::reply_ack);
  EXPECT_EQ(client.option(wire::option_info, info_data("disk@never")).back().type, wire::reply_error_unknown);
  client.option(wire::option_structured_reply);
  const std::string changes = "cairn:changed-since:monday";
  const auto set =
      client.option(wire::option_set_meta_context, meta_data("disk@tuesday", {changes, "base:allocation"}));
  ASSERT_EQ(set.size(), 3U);
  EXPECT_EQ(set[0].data, be32(1) + changes);
  EXPECT_EQ(client.go("disk@tuesday").back().type, wire::reply_ack);
  EXPECT_EQ(client.request({.type = wire::command_read, .length = 512}).payload, std::string(512, 'b'));
  EXPECT_EQ(client.request_chunks({.type = wire::command_block_status, .length = 4096}).size(), 2U);
}

// ---- A device that grows ----

/// Grows while it is exported, as an online resize of a volume does.
class GrowingDevice final : public BlockDevice {
 public:
  Geometry geometry() const override { return {.size = size_, .logical_block_size = 512}; }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override { return below_.read(offset, into); }
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override {
    return below_.write(offset, from, durability);
  }
  Task<Status> flush() override { return below_.flush(); }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override {
    return below_.trim(offset, length, durability);
  }
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override {
    return below_.write_zeroes(offset, length, mode, durability);
  }
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override {
    return below_.block_status(offset, length, query, extents_max, extents);
  }
  std::atomic<uint64_t> size_ = mebibyte;

 private:
  MemoryDevice below_{4 * mebibyte, 512};
};

TEST(NbdGrowth, AConnectedClientUsesTheNewSizeAndANewOneSeesIt) {
  GrowingDevice device;
  RunningServer running(2);
  ASSERT_TRUE(running.add("disk", device, 1).ok());
  NbdClient connected = running.connect();
  connected.enter("disk");
  EXPECT_EQ(connected.write(mebibyte, std::string(512, 'x')), wire::error_no_space);
  device.size_ = 2 * mebibyte;
  EXPECT_EQ(connected.write(mebibyte, std::string(512, 'x')), 0U);
  EXPECT_EQ(connected.read(2 * mebibyte - 512, 512).size(), 512U);
  EXPECT_EQ(connected.request({.type = wire::command_read, .offset = 2 * mebibyte, .length = 512}).error,
            wire::error_invalid);
  NbdClient later = running.connect();
  later.greet();
  EXPECT_EQ(later.go("disk").at(0).data.substr(2, 8), be64(2 * mebibyte));
}

}  // namespace
}  // namespace cairn::test
