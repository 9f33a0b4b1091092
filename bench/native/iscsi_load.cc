// Load on an iSCSI target: so many requests in flight on one session, no data looked at. Prints one JSON object of what
// was measured. The client is the same whoever serves.
//
//   iscsi_load URL PATTERN BLOCK_BYTES DEPTH SECONDS [--flush-each]
//     PATTERN      randread, randwrite, read, write
//     SECONDS      0: until each block was met once; after writes a SYNCHRONIZE CACHE, which counts into the time
//     --flush-each a SYNCHRONIZE CACHE after every request; an operation is then the pair
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/big_endian.h"
#include "iscsi_initiator.h"

namespace {

using bench::Cdb;
using bench::Direction;
using bench::fail;
using Clock = std::chrono::steady_clock;

constexpr uint8_t read_16 = 0x88;
constexpr uint8_t write_16 = 0x8a;
constexpr uint8_t synchronize_cache_10 = 0x35;
constexpr uint8_t service_action_in_16 = 0x9e;
constexpr uint8_t read_capacity_16 = 0x10;
constexpr uint8_t capacity_bytes = 32;
constexpr uint8_t good = 0;
/// A new session may have unit attentions to tell first.
constexpr int capacity_attempts = 8;
constexpr size_t latencies_reserved = size_t{1} << 22;

struct Work {
  std::string url;
  bool is_random = false;
  bool is_write = false;
  bool flush_each = false;
  uint32_t block_bytes = 0;
  uint32_t depth = 0;
  double seconds = 0;
};

void put(Cdb& cdb, size_t at, uint64_t value, size_t bytes) {
  for (size_t index = 0; index < bytes; ++index)
    cdb[at + index] = static_cast<uint8_t>(value >> 8 * (bytes - 1 - index));
}

uint64_t get(const std::vector<uint8_t>& data, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t index = 0; index < bytes; ++index) value = value << 8 | data.at(at + index);
  return value;
}

class Load {
 public:
  explicit Load(const Work& work)
      : work_(work),
        initiator_(bench::parse_url(work.url), std::max<size_t>(work.block_bytes, capacity_bytes)),
        starts_(work.depth),
        flushing_(work.depth) {
    read_capacity();
    latencies_.reserve(latencies_reserved);
    initiator_.on_answered([this](uint32_t tag, uint8_t status) { answered(tag, status); });
  }

  void run() {
    const Clock::time_point start = Clock::now();
    end_ = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(work_.seconds));
    for (uint32_t tag = 0; tag < work_.depth; ++tag) issue(tag);
    while (in_flight_ > 0) initiator_.turn();
    if (work_.seconds == 0 && work_.is_write) alone(flush_command(), Direction::none, 0);
    elapsed_ = std::chrono::duration<double>(Clock::now() - start).count();
  }

  void print() {
    std::sort(latencies_.begin(), latencies_.end());
    std::printf(
        "{\"operations\": %zu, \"seconds\": %.6f, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, "
        "\"clientSeconds\": %.6f}\n",
        latencies_.size(), elapsed_, quantile(0.5), quantile(0.99), quantile(0.999), client_seconds());
  }

 private:
  void read_capacity() {
    Cdb cdb{service_action_in_16, read_capacity_16};
    cdb[13] = capacity_bytes;
    for (int attempt = 0; alone(cdb, Direction::read, capacity_bytes) != good; ++attempt)
      if (attempt == capacity_attempts) fail("READ CAPACITY (16) fails");
    const auto& data = initiator_.last_data();
    sector_ = static_cast<uint32_t>(get(data, 8, 4));
    blocks_ = (get(data, 0, 8) + 1) * sector_ / work_.block_bytes;
    if (blocks_ == 0 || work_.block_bytes % sector_ != 0) fail("BLOCK_BYTES does not fit the logical unit");
  }

  /// One command while nothing else is in flight.
  uint8_t alone(const Cdb& cdb, Direction direction, uint32_t length) {
    int status = -1;
    initiator_.on_answered([&](uint32_t, uint8_t answer) { status = answer; });
    initiator_.submit(0, cdb, direction, length);
    while (status < 0) initiator_.turn();
    return static_cast<uint8_t>(status);
  }

  void issue(uint32_t tag) {
    const uint64_t block = work_.is_random ? random_() % blocks_ : issued_ % blocks_;
    Cdb cdb{work_.is_write ? write_16 : read_16};
    put(cdb, 2, block * (work_.block_bytes / sector_), 8);
    put(cdb, 10, work_.block_bytes / sector_, 4);
    starts_[tag] = Clock::now();
    initiator_.submit(tag, cdb, work_.is_write ? Direction::write : Direction::read, work_.block_bytes);
    ++issued_;
    ++in_flight_;
  }

  void answered(uint32_t tag, uint8_t status) {
    if (status != good) fail("a command ended with status " + std::to_string(status));
    if (work_.flush_each && !flushing_[tag]) {
      flushing_[tag] = true;
      return initiator_.submit(tag, flush_command(), Direction::none, 0);
    }
    flushing_[tag] = false;
    --in_flight_;
    const Clock::time_point now = Clock::now();
    latencies_.push_back(std::chrono::duration<float, std::micro>(now - starts_[tag]).count());
    if (work_.seconds == 0 ? issued_ < blocks_ : now < end_) issue(tag);
  }

  static Cdb flush_command() { return Cdb{synchronize_cache_10}; }

  double quantile(double share) const {
    if (latencies_.empty()) return 0;
    return latencies_[static_cast<size_t>(share * static_cast<double>(latencies_.size() - 1))];
  }

  static double client_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + time.tv_usec / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }

  const Work work_;
  bench::Initiator initiator_;
  uint32_t sector_ = 0;
  uint64_t blocks_ = 0;  // of block_bytes
  uint64_t issued_ = 0;
  uint32_t in_flight_ = 0;
  std::mt19937_64 random_{1};
  std::vector<Clock::time_point> starts_;  // by tag
  std::vector<bool> flushing_;             // by tag
  std::vector<float> latencies_;
  Clock::time_point end_;
  double elapsed_ = 0;
};

Work parse(int count, char** words) {
  if (count < 6) fail("usage: iscsi_load URL PATTERN BLOCK_BYTES DEPTH SECONDS [--flush-each]");
  const std::string_view pattern = words[2];
  Work work;
  work.url = words[1];
  work.is_random = pattern.starts_with("rand");
  work.is_write = pattern.ends_with("write");
  if (!work.is_write && !pattern.ends_with("read")) fail("PATTERN is randread, randwrite, read or write");
  work.block_bytes = static_cast<uint32_t>(std::strtoul(words[3], nullptr, 10));
  work.depth = static_cast<uint32_t>(std::strtoul(words[4], nullptr, 10));
  work.seconds = std::strtod(words[5], nullptr);
  work.flush_each = count > 6 && std::string_view(words[6]) == "--flush-each";
  if (work.block_bytes == 0 || work.depth == 0) fail("BLOCK_BYTES and DEPTH are above 0");
  return work;
}

}  // namespace

int main(int count, char** words) {
  Load load(parse(count, words));
  load.run();
  load.print();
}
