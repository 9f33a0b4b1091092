// An initiator that blocks, and that says whatever a test wants it to say.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "frontend/listen.h"
#include "iscsi/scsi/command.h"
#include "iscsi/wire.h"

namespace cairn::test {

/// A PDU as it was received.
struct Pdu {
  iscsi::wire::Header header;
  std::string data;
  iscsi::wire::Opcode opcode() const { return header.opcode(); }
  template <typename T>
  const T& as() const {
    return iscsi::wire::as<T>(header);
  }
};

/// What a command came to.
struct CommandAnswer {
  uint8_t status = 0xff;
  std::string data_in;
  std::string sense;
  uint8_t residual_flags = 0;
  uint32_t residual = 0;
  size_t r2ts = 0;

  uint8_t sense_key() const { return sense.size() > 2 ? sense[2] & 0x0f : 0; }
  uint16_t sense_code() const {
    return sense.size() > 13
               ? static_cast<uint16_t>(static_cast<uint8_t>(sense[12]) << 8 | static_cast<uint8_t>(sense[13]))
               : 0;
  }
};

class Initiator {
 public:
  Initiator() = default;
  explicit Initiator(const TcpAddress& address) { connect(address); }
  void connect(const TcpAddress& address);

  /// Key=value lines that the login sends beside its names; replaces defaults of the same key.
  std::vector<std::string> keys;
  std::string name = "iqn.2026-11.io.example:one";
  std::string target = "iqn.2026-11.io.cairn:disk";
  iscsi::wire::Isid isid{0x40, 0, 1, 0x37, 0, 0};
  bool discovery = false;
  bool header_digest = false;
  bool data_digest = false;

  /// Logs in without CHAP in one request; the status of the answer. Empty: the connection ended.
  std::optional<uint16_t> log_in();
  std::string login_text;  // of the last answer

  // PDUs. The numbers are filled in unless `raw`.
  template <typename T>
  static T make(iscsi::wire::Opcode opcode, uint8_t flags = iscsi::wire::final_bit) {
    T pdu{};
    pdu.opcode_byte = opcode;
    pdu.flags = flags;
    return pdu;
  }
  /// Sends a header with data, digests and padding as agreed.
  void send(const void* header, std::string_view data = {});
  template <typename T>
  void send_pdu(T pdu, std::string_view data = {}) {
    pdu.data_length = static_cast<uint32_t>(data.size());
    send(&pdu, data);
  }
  void send_bytes(std::string_view bytes);
  /// Empty: the connection has ended.
  std::optional<Pdu> receive();

  iscsi::wire::ScsiCommand command(const scsi::Cdb& cdb, uint32_t expected_length, bool writes);
  /// From the command to its status, with all the data asked for. `unsolicited`: bytes in the command's own PDU.
  CommandAnswer execute(const scsi::Cdb& cdb, uint32_t expected_length, std::string_view data_out = {},
                        size_t immediate = SIZE_MAX);
  CommandAnswer finish(uint32_t tag, std::string_view data_out = {});
  /// The unit attentions that a new nexus has.
  void forget_attentions();

  CommandAnswer read(uint64_t block, uint32_t blocks, uint32_t block_size = 512);
  CommandAnswer write(uint64_t block, std::string_view data, uint32_t block_size = 512, size_t immediate = SIZE_MAX);

  uint32_t next_command_sn() { return command_sn_++; }
  uint32_t command_sn() const { return command_sn_; }
  uint32_t next_tag() { return ++tag_; }
  uint32_t expected_status_sn() const { return expected_status_sn_; }
  uint32_t maximum_command_sn() const { return maximum_command_sn_; }
  int fd() const { return socket_.get(); }
  void close() { socket_.reset(); }

 private:
  bool receive_bytes(void* into, size_t length);

  UniqueFd socket_;
  uint32_t command_sn_ = 1;
  uint32_t expected_status_sn_ = 0;
  uint32_t maximum_command_sn_ = 0;
  uint32_t tag_ = 0;
  bool full_feature_ = false;
};

scsi::Cdb read_16_cdb(uint64_t block, uint32_t blocks);
scsi::Cdb write_16_cdb(uint64_t block, uint32_t blocks);

}  // namespace cairn::test
