// Several connections do random things, each to its own part of a volume, and compare with what they remember.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

constexpr uint32_t block = 512;
constexpr uint64_t part_size = 1 * mebibyte;
constexpr size_t depth_max = 24;

unsigned long seed_of_run() {
  const char* given = std::getenv("CAIRN_TEST_SEED");
  return given != nullptr ? std::strtoul(given, nullptr, 0) : std::random_device{}();
}

/// One connection with several requests in flight that do not overlap.
class RandomClient {
 public:
  RandomClient(NbdClient client, uint64_t start, unsigned long seed, bool structured)
      : client_(std::move(client)), start_(start), random_(seed), model_(part_size, '\0') {
    client_.enter("disk", structured);
  }

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      if (pending_.size() < depth_max) submit(static_cast<uint64_t>(i) + 1);
      while (pending_.size() == depth_max || (!pending_.empty() && below(3) == 0)) collect();
    }
    while (!pending_.empty()) collect();
    EXPECT_EQ(client_.read(start_, part_size), model_);
  }

 private:
  struct Pending {
    RequestBytes request;
    std::string payload;
  };

  uint64_t below(uint64_t limit) { return random_() % limit; }

  bool overlaps(uint64_t offset, uint32_t length) const {
    return std::ranges::any_of(pending_, [&](const auto& entry) {
      const RequestBytes& other = entry.second.request;
      return offset < other.offset + other.length && other.offset < offset + length;
    });
  }

  void submit(uint64_t cookie) {
    constexpr uint16_t types[] = {wire::command_read,         wire::command_read,  wire::command_write,
                                  wire::command_write,        wire::command_write, wire::command_trim,
                                  wire::command_write_zeroes, wire::command_flush};
    Pending pending;
    RequestBytes& request = pending.request;
    request.type = types[below(std::size(types))];
    request.cookie = cookie;
    if (request.type != wire::command_flush) {
      const uint64_t blocks = below(10) == 0 ? 1 + below(part_size / block / 2) : 1 + below(32);
      const uint64_t first = below(part_size / block - blocks + 1);
      request.offset = start_ + first * block;
      request.length = static_cast<uint32_t>(blocks * block);
      if (overlaps(request.offset, request.length)) return;
    }
    if (below(4) == 0 && request.type != wire::command_read) request.flags = wire::command_flag_fua;
    if (request.type == wire::command_write) {
      pending.payload.resize(request.length);
      std::ranges::generate(pending.payload, [this] { return static_cast<char>(random_()); });
    }
    client_.send_request(request, pending.payload);
    pending_.emplace(cookie, std::move(pending));
  }

  /// The next reply, whosever it is.
  void collect() {
    const std::string head = client_.receive(sizeof(wire::SimpleReply));
    ASSERT_EQ(head.size(), sizeof(wire::SimpleReply));
    const bool structured = load_be32(head.data()) == wire::structured_reply_magic;
    const auto found = pending_.find(load_be64(head.data() + 8));
    ASSERT_NE(found, pending_.end());
    const RequestBytes& request = found->second.request;
    if (structured) {
      client_.receive(sizeof(wire::StructuredReply) + sizeof(wire::u64) - head.size());
    } else {
      ASSERT_EQ(load_be32(head.data() + 4), 0U);
    }
    finish(found->second, request.type == wire::command_read ? client_.receive(request.length) : "");
    pending_.erase(found);
  }

  void finish(const Pending& pending, const std::string& data) {
    const RequestBytes& request = pending.request;
    const size_t at = request.offset - start_;
    if (request.type == wire::command_write) model_.replace(at, request.length, pending.payload);
    if (request.type == wire::command_write_zeroes)
      std::fill_n(model_.begin() + static_cast<long>(at), request.length, '\0');
    if (request.type == wire::command_read) {
      EXPECT_TRUE(model_.compare(at, request.length, data) == 0) << "at " << request.offset << "+" << request.length;
    }
    if (request.type == wire::command_trim) {  // whole blocks of 4096 read as zeros, the rest as before
      const size_t first = (at + 4095) / 4096 * 4096;
      const size_t end = (at + request.length) / 4096 * 4096;
      if (first < end) std::fill_n(model_.begin() + static_cast<long>(first), end - first, '\0');
    }
  }

  NbdClient client_;
  uint64_t start_;
  std::mt19937_64 random_;
  std::string model_;
  std::map<uint64_t, Pending> pending_;
};

void run_model(size_t pool_bytes) {
  const unsigned long seed = seed_of_run();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  constexpr size_t count = 6;
  RunningServer running(2, {.buffer_bytes = pool_bytes});
  running.add_memory("disk", {.size = count * part_size, .reactor = 1});
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; ++i)
    threads.emplace_back(
        [&running, i, seed] { RandomClient(running.connect(), i * part_size, seed + i, i % 2 == 0).run(1500); });
  for (std::thread& thread : threads) thread.join();
}

TEST(NbdModel, RandomRequestsOfSeveralConnectionsReadAsTheModel) { run_model(64 * mebibyte); }

TEST(NbdModel, RandomRequestsReadAsTheModelWhenBuffersAreShort) { run_model(1 * mebibyte); }

}  // namespace
}  // namespace cairn::test
