#include "test/native/iscsi/support/initiator.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/byte_order.h"
#include "base/crc32c.h"

namespace cairn::test {

using namespace iscsi;

namespace {

constexpr int receive_timeout_seconds = 20;

std::string key_of(const std::string& line) { return line.substr(0, line.find('=')); }

}  // namespace

void Initiator::connect(const TcpAddress& address) {
  socket_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  inet_pton(AF_INET, address.host.c_str(), &to.sin_addr);
  ASSERT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0) << std::strerror(errno);
  const timeval limit{receive_timeout_seconds, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

// ---- PDUs -----------------------------------------------------------------------------------------------------------

void Initiator::send_bytes(std::string_view bytes) {
  // A connection that the target has ended is seen when something is received.
  (void)::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

void Initiator::send(const void* header, std::string_view data) {
  std::string bytes(static_cast<const char*>(header), wire::header_size);
  const auto add_digest = [&bytes](const std::string& over) {
    const uint32_t digest = htole32(crc32c(over.data(), over.size()));
    bytes.append(reinterpret_cast<const char*>(&digest), sizeof digest);
  };
  if (full_feature_ && header_digest) add_digest(bytes);
  if (!data.empty()) {
    std::string padded(data);
    padded.resize(wire::padded(data.size()));
    bytes += padded;
    if (full_feature_ && data_digest) add_digest(padded);
  }
  send_bytes(bytes);
}

bool Initiator::receive_bytes(void* into, size_t length) {
  return ::recv(socket_.get(), into, length, MSG_WAITALL) == static_cast<ssize_t>(length);
}

std::optional<Pdu> Initiator::receive() {
  Pdu pdu;
  if (!receive_bytes(&pdu.header, sizeof pdu.header)) return {};
  uint32_t digest = 0;
  if (full_feature_ && header_digest) {
    if (!receive_bytes(&digest, sizeof digest)) return {};
    EXPECT_EQ(le32toh(digest), crc32c(&pdu.header, sizeof pdu.header));
  }
  const size_t length = pdu.header.data_length;
  pdu.data.resize(wire::padded(length));
  if (length > 0 && !receive_bytes(pdu.data.data(), pdu.data.size())) return {};
  if (length > 0 && full_feature_ && data_digest) {
    if (!receive_bytes(&digest, sizeof digest)) return {};
    EXPECT_EQ(le32toh(digest), crc32c(pdu.data.data(), pdu.data.size()));
  }
  pdu.data.resize(length);
  const bool carries_status = pdu.opcode() != wire::data_in || (pdu.header.flags & wire::data_in_status) != 0;
  const bool consumes = carries_status && pdu.opcode() != wire::ready_to_transfer &&
                        !(pdu.opcode() == wire::nop_in && pdu.header.task_tag == wire::no_tag);
  if (consumes) expected_status_sn_ = pdu.header.sn_1 + 1;
  maximum_command_sn_ = pdu.header.sn_3;
  return pdu;
}

// ---- Login ----------------------------------------------------------------------------------------------------------

std::optional<uint16_t> Initiator::log_in() {
  std::vector<std::string> lines{"InitiatorName=" + name};
  lines.push_back(std::string("SessionType=") + (discovery ? "Discovery" : "Normal"));
  if (!discovery) lines.push_back("TargetName=" + target);
  lines.push_back(std::string("HeaderDigest=") + (header_digest ? "CRC32C" : "None"));
  lines.push_back(std::string("DataDigest=") + (data_digest ? "CRC32C" : "None"));
  for (const std::string& line : keys) {
    std::erase_if(lines, [&](const std::string& known) { return key_of(known) == key_of(line); });
    lines.push_back(line);
  }
  std::string text;
  for (const std::string& line : lines) text += line + '\0';
  auto request = make<wire::LoginRequest>(
      wire::login_request, wire::transit_bit | wire::stages(wire::Stage::operational, wire::Stage::full_feature));
  request.opcode_byte |= wire::immediate_bit;
  request.isid = isid;
  request.task_tag = next_tag();
  request.command_sn = command_sn_;
  send_pdu(request, text);
  const std::optional<Pdu> reply = receive();
  if (!reply) return {};
  EXPECT_EQ(reply->opcode(), wire::login_response);
  login_text = reply->data;
  const auto& response = reply->as<wire::LoginResponse>();
  full_feature_ = response.status == 0;
  return response.status;
}

// ---- Commands -------------------------------------------------------------------------------------------------------

wire::ScsiCommand Initiator::command(const scsi::Cdb& cdb, uint32_t expected_length, bool writes) {
  auto pdu = make<wire::ScsiCommand>(wire::scsi_command);
  pdu.flags |= wire::simple;
  if (expected_length > 0) pdu.flags |= writes ? wire::command_write : wire::command_read;
  pdu.task_tag = next_tag();
  pdu.expected_length = expected_length;
  pdu.command_sn = next_command_sn();
  pdu.expected_status_sn = expected_status_sn_;
  pdu.cdb = cdb;
  return pdu;
}

CommandAnswer Initiator::execute(const scsi::Cdb& cdb, uint32_t expected_length, std::string_view data_out,
                                 size_t immediate) {
  const wire::ScsiCommand pdu = command(cdb, expected_length, !data_out.empty());
  send_pdu(pdu, data_out.substr(0, immediate));
  return finish(pdu.task_tag, data_out);
}

CommandAnswer Initiator::finish(uint32_t tag, std::string_view data_out) {
  CommandAnswer answer;
  uint32_t data_sn = 0;
  while (const std::optional<Pdu> pdu = receive()) {
    EXPECT_EQ(pdu->header.task_tag, tag) << "opcode " << pdu->opcode();
    if (pdu->opcode() == wire::ready_to_transfer) {
      const auto& r2t = pdu->as<wire::ReadyToTransfer>();
      EXPECT_EQ(r2t.r2t_sn, answer.r2ts++);
      auto data = make<wire::DataOut>(wire::data_out);
      data.task_tag = tag;
      data.transfer_tag = r2t.transfer_tag;
      data.buffer_offset = r2t.buffer_offset;
      send_pdu(data, data_out.substr(r2t.buffer_offset, r2t.desired_length));
    } else if (pdu->opcode() == wire::data_in) {
      const auto& data = pdu->as<wire::DataIn>();
      EXPECT_EQ(data.data_sn, data_sn++);
      EXPECT_EQ(data.buffer_offset, answer.data_in.size());
      answer.data_in += pdu->data;
      if ((data.flags & wire::data_in_status) == 0) continue;
      answer.status = data.status;
      answer.residual_flags = data.flags & (wire::residual_overflow | wire::residual_underflow);
      answer.residual = data.residual;
      return answer;
    } else if (pdu->opcode() == wire::scsi_response) {
      const auto& response = pdu->as<wire::ScsiResponse>();
      answer.status = response.status;
      answer.residual_flags = response.flags & (wire::residual_overflow | wire::residual_underflow);
      answer.residual = response.residual;
      if (pdu->data.size() > 2) answer.sense = pdu->data.substr(2);
      return answer;
    } else {
      ADD_FAILURE() << "unexpected PDU " << pdu->opcode();
      return answer;
    }
  }
  return answer;
}

void Initiator::forget_attentions() {
  while (execute({}, 0).status != 0) {
  }
}

CommandAnswer Initiator::read(uint64_t block, uint32_t blocks, uint32_t block_size) {
  return execute(read_16_cdb(block, blocks), blocks * block_size);
}

CommandAnswer Initiator::write(uint64_t block, std::string_view data, uint32_t block_size, size_t immediate) {
  const auto blocks = static_cast<uint32_t>(data.size() / block_size);
  return execute(write_16_cdb(block, blocks), static_cast<uint32_t>(data.size()), data, immediate);
}

namespace {

scsi::Cdb cdb_16(uint8_t opcode, uint64_t block, uint32_t blocks) {
  scsi::Cdb cdb{opcode};
  store_be64(&cdb[2], block);
  store_be32(&cdb[10], blocks);
  return cdb;
}

}  // namespace

scsi::Cdb read_16_cdb(uint64_t block, uint32_t blocks) { return cdb_16(0x88, block, blocks); }
scsi::Cdb write_16_cdb(uint64_t block, uint32_t blocks) { return cdb_16(0x8a, block, blocks); }

}  // namespace cairn::test
