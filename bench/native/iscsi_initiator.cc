#include "iscsi_initiator.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace bench {

namespace wire = cairn::iscsi::wire;

namespace {

constexpr char name[] = "iqn.2026-11.io.cairn:bench";
constexpr uint32_t burst_max = 1 << 20;
constexpr uint32_t segment_max = 1 << 18;
constexpr size_t receive_bytes = 1 << 18;
constexpr size_t last_data_max = 8192;
constexpr size_t vectors_max = 512;  // below IOV_MAX
constexpr int login_rounds_max = 8;

int connect_to(const TargetAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) != 0) fail("no such host");
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) fail("cannot connect");
  freeaddrinfo(found);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

std::string login_text(const std::string& target) {
  const std::vector<std::string> keys = {
      std::string("InitiatorName=") + name,
      "TargetName=" + target,
      "SessionType=Normal",
      "HeaderDigest=None",
      "DataDigest=None",
      "InitialR2T=No",
      "ImmediateData=Yes",
      "MaxRecvDataSegmentLength=" + std::to_string(segment_max),
      "MaxBurstLength=" + std::to_string(burst_max),
      "FirstBurstLength=" + std::to_string(segment_max),
      "MaxConnections=1",
      "ErrorRecoveryLevel=0",
  };
  std::string text;
  for (const std::string& key : keys) text.append(key).push_back('\0');
  return text;
}

}  // namespace

void fail(const std::string& what) {
  std::fprintf(stderr, "iscsi_load: %s\n", what.c_str());
  std::exit(1);
}

TargetAddress parse_url(const std::string& url) {
  const std::string scheme = "iscsi://";
  const size_t host = scheme.size();
  const size_t target = url.find('/', host);
  const size_t lun = url.rfind('/');
  const size_t port = url.rfind(':', target);
  if (!url.starts_with(scheme) || target == std::string::npos || lun <= target || port < host)
    fail("not iscsi://HOST:PORT/TARGET/LUN: " + url);
  return {.host = url.substr(host, port - host),
          .port = url.substr(port + 1, target - port - 1),
          .target = url.substr(target + 1, lun - target - 1),
          .lun = static_cast<uint8_t>(std::strtoul(url.c_str() + lun + 1, nullptr, 10))};
}

Initiator::Initiator(const TargetAddress& address, size_t data_length_max)
    : fd_(connect_to(address)), lun_(address.lun), noise_(data_length_max), received_(receive_bytes) {
  std::mt19937 random(1);
  std::generate(noise_.begin(), noise_.end(), [&] { return static_cast<uint8_t>(random()); });
  log_in(address.target);
}

Initiator::~Initiator() { close(fd_); }

void Initiator::submit(uint32_t tag, const Cdb& cdb, Direction direction, uint32_t length) {
  if (tag >= commands_.size()) commands_.resize(tag + 1);
  commands_[tag] = {cdb, direction, length};
  waiting_.push_back(tag);
}

void Initiator::turn() {
  send_waiting();
  const ssize_t length = recv(fd_, received_.data(), received_.size(), 0);
  if (length <= 0) fail("the target has closed the connection");
  consume(received_.data(), static_cast<size_t>(length));
}

void Initiator::log_in(const std::string& target) {
  const std::string text = login_text(target);
  for (int round = 0; round < login_rounds_max; ++round) {
    wire::Header header{};
    auto& request = wire::as<wire::LoginRequest>(header);
    request.opcode_byte = wire::login_request | wire::immediate_bit;
    request.flags = wire::transit_bit | wire::stages(wire::Stage::operational, wire::Stage::full_feature);
    request.isid = {0x80, 0x12, 0x34, 0x56, 0, static_cast<uint8_t>(getpid())};
    request.command_sn = command_sn_;
    request.expected_status_sn = expected_status_sn_;
    const std::string sent = round == 0 ? text : "";
    request.data_length = static_cast<uint32_t>(sent.size());
    std::vector<uint8_t> bytes(wire::header_size + wire::padded(sent.size()));
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, sent.data(), sent.size());
    if (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) fail("cannot send");
    last_data_.clear();
    do turn();
    while (header_bytes_ != 0);
    const auto& response = wire::as<wire::LoginResponse>(header_);
    if (response.status != 0) fail("the login failed with status " + std::to_string(response.status));
    negotiate({last_data_.begin(), last_data_.end()});
    if ((response.flags & wire::transit_bit) != 0) return;
  }
  fail("the login does not end");
}

void Initiator::negotiate(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const std::string pair = text.c_str() + at;
    at += pair.size() + 1;
    if (const size_t equals = pair.find('='); equals != std::string::npos)
      keys_[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  const auto number = [&](const char* key, uint32_t& value) {
    if (keys_.contains(key)) value = static_cast<uint32_t>(std::stoul(keys_[key]));
  };
  number("MaxRecvDataSegmentLength", target_segment_max_);
  number("FirstBurstLength", first_burst_);
  if (keys_.contains("InitialR2T")) initial_r2t_ = keys_["InitialR2T"] == "Yes";
  if (keys_.contains("ImmediateData")) immediate_data_ = keys_["ImmediateData"] == "Yes";
}

void Initiator::send_waiting() {
  while (!waiting_.empty() && static_cast<int32_t>(command_sn_max_ - command_sn_) >= 0) {
    const uint32_t tag = waiting_.front();
    waiting_.pop_front();
    send_command(tag, commands_[tag]);
  }
  flush();
}

void Initiator::send_command(uint32_t tag, const Command& command) {
  const bool writes = command.direction == Direction::write;
  const uint32_t unsolicited = writes ? std::min(command.length, first_burst_) : 0;
  const uint32_t immediate = immediate_data_ ? std::min(unsolicited, target_segment_max_) : 0;
  const bool more = !initial_r2t_ && immediate < unsolicited;
  wire::Header header{};
  auto& pdu = wire::as<wire::ScsiCommand>(header);
  pdu.opcode_byte = wire::scsi_command;
  pdu.flags = wire::simple;
  if (!more) pdu.flags |= wire::final_bit;
  if (writes) pdu.flags |= wire::command_write;
  if (command.direction == Direction::read) pdu.flags |= wire::command_read;
  header.lun = uint64_t{lun_} << 48;
  pdu.task_tag = tag;
  pdu.expected_length = command.length;
  pdu.command_sn = command_sn_++;
  pdu.expected_status_sn = expected_status_sn_;
  pdu.cdb = command.cdb;
  queue(header, immediate);
  if (more) send_data(tag, wire::no_tag, immediate, unsolicited);
}

/// From `offset` to `end` of the command's data, in segments that the target takes.
void Initiator::send_data(uint32_t tag, uint32_t transfer_tag, uint32_t offset, uint32_t end) {
  for (uint32_t number = 0; offset < end; ++number) {
    const uint32_t length = std::min(end - offset, target_segment_max_);
    wire::Header header{};
    auto& pdu = wire::as<wire::DataOut>(header);
    pdu.opcode_byte = wire::data_out;
    if (offset + length == end) pdu.flags = wire::final_bit;
    header.lun = uint64_t{lun_} << 48;
    pdu.task_tag = tag;
    pdu.transfer_tag = transfer_tag;
    pdu.expected_status_sn = expected_status_sn_;
    pdu.data_sn = number;
    pdu.buffer_offset = offset;
    queue(header, length);
    offset += length;
  }
}

void Initiator::queue(const wire::Header& header, uint32_t data_length) {
  if (vectors_.size() + 2 > vectors_max) flush();
  headers_.push_back(header);
  headers_.back().data_length = data_length;
  vectors_.push_back({&headers_.back(), sizeof header});
  if (data_length > 0) vectors_.push_back({noise_.data(), wire::padded(data_length)});
}

void Initiator::flush() {
  iovec* vectors = vectors_.data();
  size_t count = vectors_.size();
  while (count > 0) {
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent <= 0) fail("the target takes nothing any more");
    for (; count > 0 && static_cast<size_t>(sent) >= vectors->iov_len; ++vectors, --count)
      sent -= static_cast<ssize_t>(vectors->iov_len);
    if (count > 0)
      *vectors = {static_cast<char*>(vectors->iov_base) + sent, vectors->iov_len - static_cast<size_t>(sent)};
  }
  vectors_.clear();
  headers_.clear();
}

void Initiator::consume(const uint8_t* bytes, size_t length) {
  while (length > 0) {
    if (header_bytes_ < wire::header_size) {
      const size_t part = std::min(length, wire::header_size - header_bytes_);
      std::memcpy(reinterpret_cast<uint8_t*>(&header_) + header_bytes_, bytes, part);
      header_bytes_ += part, bytes += part, length -= part;
      if (header_bytes_ < wire::header_size) return;
      data_missing_ = wire::padded(header_.data_length);
      if (data_missing_ > 0) last_data_.clear();
    }
    const size_t part = std::min(length, data_missing_);
    if (last_data_.size() < last_data_max)
      last_data_.insert(last_data_.end(), bytes, bytes + std::min(part, last_data_max - last_data_.size()));
    data_missing_ -= part, bytes += part, length -= part;
    if (data_missing_ > 0) return;
    header_bytes_ = 0;
    handle();
  }
}

void Initiator::handle() {
  const wire::Opcode opcode = header_.opcode();
  const bool has_status = opcode != wire::data_in || (header_.flags & wire::data_in_status) != 0;
  command_sn_max_ = header_.opcode() == wire::login_response ? wire::as<wire::LoginResponse>(header_).maximum_command_sn
                                                             : header_.sn_3;
  if (has_status && opcode != wire::ready_to_transfer) expected_status_sn_ = header_.sn_1 + 1;
  if (opcode == wire::ready_to_transfer) {
    const auto& r2t = wire::as<wire::ReadyToTransfer>(header_);
    send_data(r2t.task_tag, r2t.transfer_tag, r2t.buffer_offset, r2t.buffer_offset + r2t.desired_length);
  } else if (opcode == wire::scsi_response) {
    answered_(header_.task_tag, wire::as<wire::ScsiResponse>(header_).status);
  } else if (opcode == wire::data_in) {
    if (has_status) answered_(header_.task_tag, wire::as<wire::DataIn>(header_).status);
  } else if (opcode != wire::login_response && opcode != wire::nop_in) {
    fail("the target sent a PDU with opcode " + std::to_string(opcode));
  }
}

}  // namespace bench
