// A session of an iSCSI initiator that costs as little as it can, so that what is measured is the target: one
// connection, no digests, no error recovery; data that arrives is counted and forgotten, data that is sent is noise.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "iscsi/wire.h"

namespace bench {

/// `iscsi://HOST:PORT/TARGET/LUN`, the host as a number.
struct TargetAddress {
  std::string host;
  std::string port;
  std::string target;
  uint8_t lun = 0;
};

/// Writes the reason to stderr and ends the process.
[[noreturn]] void fail(const std::string& what);

TargetAddress parse_url(const std::string& url);

using Cdb = std::array<uint8_t, 16>;
enum class Direction { none, read, write };

class Initiator {
 public:
  /// What becomes of each command: its tag and its SCSI status. It may submit the next one.
  using Answered = std::function<void(uint32_t tag, uint8_t status)>;

  /// Connected and logged in. Commands have no more than `data_length_max` bytes.
  Initiator(const TargetAddress& address, size_t data_length_max);
  ~Initiator();
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  void on_answered(Answered answered) { answered_ = std::move(answered); }
  /// Sent by the next turn(), as soon as the target's window allows. Tags in flight differ.
  void submit(uint32_t tag, const Cdb& cdb, Direction direction, uint32_t length);
  /// Sends what was submitted, waits for something to arrive, handles all of it.
  void turn();
  /// The first bytes of the data that arrived last.
  const std::vector<uint8_t>& last_data() const { return last_data_; }

 private:
  struct Command {
    Cdb cdb{};
    Direction direction = Direction::none;
    uint32_t length = 0;
  };

  void log_in(const std::string& target);
  void negotiate(const std::string& text);
  void send_waiting();
  void send_command(uint32_t tag, const Command& command);
  void send_data(uint32_t tag, uint32_t transfer_tag, uint32_t offset, uint32_t end);
  void queue(const cairn::iscsi::wire::Header& header, uint32_t data_length);
  void flush();
  void consume(const uint8_t* bytes, size_t length);
  void handle();

  int fd_ = -1;
  uint8_t lun_;
  Answered answered_;
  uint32_t command_sn_ = 1;
  uint32_t command_sn_max_ = 1;
  uint32_t expected_status_sn_ = 0;

  // What the login has agreed on: RFC 7143's defaults until then.
  uint32_t target_segment_max_ = 8192;
  uint32_t first_burst_ = 65536;
  bool initial_r2t_ = true;
  bool immediate_data_ = true;

  std::map<std::string, std::string> keys_;
  std::vector<Command> commands_;  // by tag
  std::deque<uint32_t> waiting_;   // for the window
  std::vector<uint8_t> noise_;
  std::deque<cairn::iscsi::wire::Header> headers_;  // that vectors_ point to
  std::vector<iovec> vectors_;

  std::vector<uint8_t> received_;
  cairn::iscsi::wire::Header header_{};
  size_t header_bytes_ = 0;  // of header_ that have arrived
  size_t data_missing_ = 0;  // of its data segment
  std::vector<uint8_t> last_data_;
};

}  // namespace bench
