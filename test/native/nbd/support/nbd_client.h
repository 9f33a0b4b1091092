// An NBD client that says exactly what a test tells it to, valid or not, byte by byte. Blocking, with a deadline on
// every receive.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "nbd/server.h"
#include "nbd/wire.h"

namespace cairn::test {

std::string be16(uint16_t value);
std::string be32(uint32_t value);
std::string be64(uint64_t value);
/// A string after its 32-bit length.
std::string counted(std::string_view text);

struct OptionReply {
  uint32_t option = 0;
  uint32_t type = 0;
  std::string data;
  bool is_error() const { return (type & 0x80000000) != 0; }
};

struct Reply {
  bool structured = false;
  uint16_t flags = 0;  // of a structured reply
  uint16_t type = 0;
  uint32_t error = 0;
  uint64_t cookie = 0;
  std::string payload;  // of a read: the data alone; of an error chunk: its message
};

struct RequestBytes {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint64_t cookie = 1;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t magic = nbd::wire::request_magic;  // the extended one: a 32-byte header
  std::string encode() const;
};

/// One chunk of a structured or an extended reply.
struct Chunk {
  uint16_t flags = 0;
  uint16_t type = 0;
  uint64_t cookie = 0;
  uint64_t offset = 0;  // of an extended one
  std::string payload;

  bool is_error() const { return (type & 0x8000) != 0; }
  bool last() const { return (flags & nbd::wire::reply_flag_done) != 0; }
  /// Of an error chunk.
  uint32_t error() const;
};

/// An option's bytes, header included.
std::string option_bytes(uint32_t option, std::string_view data);
/// The data of NBD_OPT_INFO and NBD_OPT_GO.
std::string info_data(std::string_view name, const std::vector<uint16_t>& wanted = {});
/// The data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT.
std::string meta_data(std::string_view name, const std::vector<std::string>& queries);

class NbdClient {
 public:
  explicit NbdClient(UniqueFd fd);
  static NbdClient connect_unix(const std::string& path);
  static NbdClient connect_tcp(const TcpAddress& address);

  /// TLS over the same connection from here on; false when the handshake fails. `context`: the client's side.
  bool start_tls(SSL_CTX* context);
  /// Says that it ends, as TLS wants it.
  void end_tls() { SSL_shutdown(tls_.get()); }
  /// The server has ended TLS properly, not only the connection.
  bool tls_ended() const { return (SSL_get_shutdown(tls_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  int fd() const { return fd_.get(); }
  void disconnect() {
    tls_.reset();
    fd_.reset();
  }
  /// All of it, or as much as the server takes before it closes; false then.
  bool send(std::string_view bytes);
  /// As many bytes; fewer when the server closes before. Fails the test when the deadline passes.
  std::string receive(size_t length);
  /// The server closes without another byte.
  bool closed() { return receive(1).empty(); }

  /// Takes the greeting and answers it.
  std::string greet(uint32_t flags = nbd::wire::client_fixed_newstyle | nbd::wire::client_no_zeroes);
  void send_option(uint32_t option, std::string_view data = {}) { send(option_bytes(option, data)); }
  /// The replies up to the final one; fewer when the server closes.
  std::vector<OptionReply> option(uint32_t option, std::string_view data = {});
  std::vector<OptionReply> go(std::string_view name, const std::vector<uint16_t>& wanted = {});
  /// Greets and enters transmission; fails the test when that is refused.
  void enter(std::string_view name, bool structured_replies = false);

  void send_request(const RequestBytes& request, std::string_view payload = {}) {
    send(request.encode() + std::string(payload));
  }
  /// `read_length`: of the data, when it answers a read that succeeds with a simple reply.
  Reply receive_reply(size_t read_length = 0);
  Reply request(const RequestBytes& request, std::string_view payload = {});

  /// The chunks of the next reply, which is structured or extended, up to its last one.
  std::vector<Chunk> receive_chunks();
  std::vector<Chunk> request_chunks(const RequestBytes& request, std::string_view payload = {});

  // Shorthands; each waits for its reply, and yields its error number.
  uint32_t write(uint64_t offset, std::string_view data, uint16_t flags = 0);
  uint32_t flush();
  /// The data; empty on an error.
  std::string read(uint64_t offset, uint32_t length);

 private:
  OptionReply receive_option_reply();
  ssize_t send_some(std::string_view bytes);
  ssize_t receive_some(char* into, size_t length);
  struct SslDeleter {
    void operator()(SSL* connection) const { SSL_free(connection); }
  };

  UniqueFd fd_;
  std::unique_ptr<SSL, SslDeleter> tls_;
  uint64_t next_cookie_ = 1000;
};

}  // namespace cairn::test
