#include "test/native/nbd/support/nbd_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace cairn::test {
namespace {

using namespace nbd;

constexpr timeval receive_deadline{20, 0};

template <typename Structure>
std::string bytes(const Structure& structure) {
  const auto span = wire::bytes_of(structure);
  return {reinterpret_cast<const char*>(span.data()), span.size()};
}

/// Zeroes when the text is shorter.
template <typename Structure>
Structure parse(const std::string& text) {
  Structure structure;
  std::memset(static_cast<void*>(&structure), 0, sizeof structure);
  std::memcpy(static_cast<void*>(&structure), text.data(), std::min(sizeof structure, text.size()));
  return structure;
}

}  // namespace

std::string be16(uint16_t value) { return bytes(wire::u16(value)); }
std::string be32(uint32_t value) { return bytes(wire::u32(value)); }
std::string be64(uint64_t value) { return bytes(wire::u64(value)); }
std::string counted(std::string_view text) { return be32(static_cast<uint32_t>(text.size())) + std::string(text); }

std::string option_bytes(uint32_t option, std::string_view data) {
  return be64(wire::option_magic) + be32(option) + counted(data);
}

std::string info_data(std::string_view name, const std::vector<uint16_t>& wanted) {
  std::string data = counted(name) + be16(static_cast<uint16_t>(wanted.size()));
  for (uint16_t info : wanted) data += be16(info);
  return data;
}

std::string meta_data(std::string_view name, const std::vector<std::string>& queries) {
  std::string data = counted(name) + be32(static_cast<uint32_t>(queries.size()));
  for (const std::string& query : queries) data += counted(query);
  return data;
}

std::string RequestBytes::encode() const {
  const bool extended = magic == wire::extended_request_magic;
  return be32(magic) + be16(flags) + be16(type) + be64(cookie) + be64(offset) +
         (extended ? be64(length) : be32(static_cast<uint32_t>(length)));
}

uint32_t Chunk::error() const { return is_error() ? uint32_t{parse<wire::u32>(payload)} : 0; }

NbdClient::NbdClient(UniqueFd fd) : fd_(std::move(fd)) {
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &receive_deadline, sizeof receive_deadline);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &receive_deadline, sizeof receive_deadline);
}

NbdClient NbdClient::connect_unix(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int result = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  EXPECT_EQ(result, 0) << "connect to " << path << ": " << std::strerror(errno);
  return NbdClient(std::move(fd));
}

NbdClient NbdClient::connect_tcp(const TcpAddress& where) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(where.port);
  EXPECT_EQ(::inet_pton(AF_INET, where.host.c_str(), &address.sin_addr), 1);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return NbdClient(std::move(fd));
}

bool NbdClient::start_tls(SSL_CTX* context) {
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  tls_.reset(SSL_new(context));
  SSL_set_fd(tls_.get(), fd_.get());
  return SSL_connect(tls_.get()) == 1;
}

ssize_t NbdClient::send_some(std::string_view bytes) {
  if (tls_ == nullptr) return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
}

ssize_t NbdClient::receive_some(char* into, size_t length) {
  if (tls_ == nullptr) return ::recv(fd_.get(), into, length, 0);
  errno = 0;
  return SSL_read(tls_.get(), into, static_cast<int>(length));
}

bool NbdClient::send(std::string_view rest) {
  while (!rest.empty()) {
    const ssize_t sent = send_some(rest);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) ADD_FAILURE() << "the server does not receive";
    if (sent < 0) return false;
    rest.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string NbdClient::receive(size_t length) {
  std::string received(length, '\0');
  size_t done = 0;
  while (done < length) {
    const ssize_t count = receive_some(received.data() + done, length - done);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      ADD_FAILURE() << "the server sends nothing and does not close";
      break;
    }
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  received.resize(done);
  return received;
}

std::string NbdClient::greet(uint32_t flags) {
  std::string greeting = receive(sizeof(wire::Greeting));
  send(be32(flags));
  return greeting;
}

OptionReply NbdClient::receive_option_reply() {
  const std::string head = receive(sizeof(wire::OptionReplyHeader));
  if (head.size() < sizeof(wire::OptionReplyHeader)) return {};
  const auto header = parse<wire::OptionReplyHeader>(head);
  EXPECT_EQ(header.magic, wire::option_reply_magic);
  return {header.option, header.type, receive(header.length)};
}

std::vector<OptionReply> NbdClient::option(uint32_t option, std::string_view data) {
  send_option(option, data);
  std::vector<OptionReply> replies;
  for (;;) {
    OptionReply reply = receive_option_reply();
    if (reply.type == 0) return replies;
    EXPECT_EQ(reply.option, option);
    replies.push_back(reply);
    if (reply.type == wire::reply_ack || reply.is_error()) return replies;
  }
}

std::vector<OptionReply> NbdClient::go(std::string_view name, const std::vector<uint16_t>& wanted) {
  return option(wire::option_go, info_data(name, wanted));
}

void NbdClient::enter(std::string_view name, bool structured_replies) {
  greet();
  if (structured_replies) {
    EXPECT_EQ(option(wire::option_structured_reply).at(0).type, wire::reply_ack);
  }
  const auto replies = go(name);
  ASSERT_FALSE(replies.empty());
  ASSERT_EQ(replies.back().type, wire::reply_ack) << replies.back().data;
}

Reply NbdClient::receive_reply(size_t read_length) {
  const std::string start = receive(sizeof(wire::SimpleReply));
  const auto simple = parse<wire::SimpleReply>(start);
  if (simple.magic == wire::simple_reply_magic) {
    Reply reply{.error = simple.error, .cookie = simple.cookie};
    if (reply.error == 0) reply.payload = receive(read_length);
    return reply;
  }
  EXPECT_EQ(simple.magic, wire::structured_reply_magic) << "after " << start.size() << " bytes";
  const auto header = parse<wire::StructuredReply>(start + receive(sizeof(wire::StructuredReply) - start.size()));
  Reply reply{.structured = true, .flags = header.flags, .type = header.type, .cookie = header.cookie};
  std::string payload = receive(header.length);
  if (reply.type == wire::reply_type_offset_data) payload.erase(0, sizeof(uint64_t));
  if ((reply.type & 0x8000) != 0) {
    reply.error = parse<wire::u32>(payload);
    payload.erase(0, sizeof(uint32_t) + sizeof(uint16_t));
  }
  reply.payload = std::move(payload);
  return reply;
}

std::vector<Chunk> NbdClient::receive_chunks() {
  std::vector<Chunk> chunks;
  do {
    const std::string start = receive(sizeof(wire::StructuredReply));
    if (start.size() < sizeof(wire::StructuredReply)) return chunks;
    Chunk chunk;
    size_t length = 0;
    if (load_be32(start.data()) == wire::extended_reply_magic) {
      const auto header =
          parse<wire::ExtendedReply>(start + receive(sizeof(wire::ExtendedReply) - sizeof(wire::StructuredReply)));
      chunk = {header.flags, header.type, header.cookie, header.offset, {}};
      length = header.length;
    } else {
      const auto header = parse<wire::StructuredReply>(start);
      EXPECT_EQ(header.magic, wire::structured_reply_magic);
      chunk = {header.flags, header.type, header.cookie, 0, {}};
      length = header.length;
    }
    chunk.payload = receive(length);
    chunks.push_back(std::move(chunk));
  } while (!chunks.back().last());
  return chunks;
}

std::vector<Chunk> NbdClient::request_chunks(const RequestBytes& request, std::string_view payload) {
  send_request(request, payload);
  std::vector<Chunk> chunks = receive_chunks();
  for (const Chunk& chunk : chunks) EXPECT_EQ(chunk.cookie, request.cookie);
  return chunks;
}

Reply NbdClient::request(const RequestBytes& request, std::string_view payload) {
  send_request(request, payload);
  Reply reply = receive_reply(request.type == wire::command_read ? request.length : 0);
  EXPECT_EQ(reply.cookie, request.cookie);
  return reply;
}

uint32_t NbdClient::write(uint64_t offset, std::string_view data, uint16_t flags) {
  return request({.type = wire::command_write,
                  .flags = flags,
                  .cookie = next_cookie_++,
                  .offset = offset,
                  .length = static_cast<uint32_t>(data.size())},
                 data)
      .error;
}

uint32_t NbdClient::flush() { return request({.type = wire::command_flush, .cookie = next_cookie_++}).error; }

std::string NbdClient::read(uint64_t offset, uint32_t length) {
  return request({.type = wire::command_read, .cookie = next_cookie_++, .offset = offset, .length = length}).payload;
}

}  // namespace cairn::test
