#pragma once

#include <memory>
#include <span>
#include <vector>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "frontend/presence.h"
#include "nbd/tls_policy.h"

typedef struct bio_st BIO;

namespace cairn::nbd {

class Branch;

struct SslDeleter {
  void operator()(SSL* connection) const;
};

/// Couples a client's connection, which speaks TLS, with one end of a pair of sockets, whose other end a negotiation or
/// session has for a client that does not: it knows nothing of NBD, and they know nothing of TLS. What it holds is
/// bounded: it takes from one side only what the other has taken from it.
class TlsPump final : public ListLink {
 public:
  struct Coupling {
    UniqueFd network;
    UniqueFd plain;
    std::shared_ptr<const TlsPolicy> policy;
    Presence presence;
  };
  /// Begins with the handshake, whose time is limited.
  static void start(Branch& branch, Coupling coupling);

  /// Takes nothing more from the client; ends when the other side has.
  void close();
  void terminate();
  /// Called now and then: disconnects a client that takes nothing.
  void check_progress();

 private:
  TlsPump(Branch& branch, Coupling coupling);
  ~TlsPump();

  Detached run();
  Task<bool> shake_hands();
  /// From the network to the other side, until the client ends or cannot be understood.
  Task<> decrypt();
  /// All that has been received; false when nothing more will come.
  Task<bool> deliver();
  /// From the other side to the network, until that ends.
  Task<> encrypt();
  Detached encrypt_beside();
  /// What TLS has to say to the client, in whole.
  Task<bool> flush();
  Task<bool> send_all(const File& to, std::span<const std::byte> bytes);
  bool take_from_network(std::span<const std::byte> bytes);

  Branch& branch_;
  Reactor& reactor_;
  Presence presence_;
  File network_;
  File plain_;
  std::shared_ptr<const TlsPolicy> policy_;
  std::unique_ptr<SSL, SslDeleter> connection_;
  BIO* from_network_ = nullptr;  // the connection's
  BIO* to_network_ = nullptr;
  Timer deadline_;
  InFlight directions_;
  AsyncMutex sending_;
  bool broken_ = false;

  std::vector<std::byte> received_;   // from the network
  std::vector<std::byte> decrypted_;  // to the other side
  std::vector<std::byte> taken_;      // from the other side
  std::vector<std::byte> encrypted_;  // to the network

  // For check_progress().
  uint64_t sent_ = 0;
  uint64_t sent_seen_ = 0;
  int unsent_seen_ = 0;
  unsigned stalled_checks_ = 0;
};

}  // namespace cairn::nbd
