#include "nbd/tls_pump.h"

#include <linux/sockios.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "nbd/branch.h"
#include "nbd/limits.h"

namespace cairn::nbd {

void SslDeleter::operator()(SSL* connection) const { SSL_free(connection); }

// ---- Life -----------------------------------------------------------------------------------------------------------

void TlsPump::start(Branch& branch, Coupling coupling) {
  auto* pump = new TlsPump(branch, std::move(coupling));
  pump->run();
}

TlsPump::TlsPump(Branch& branch, Coupling coupling)
    : branch_(branch),
      reactor_(branch.reactor()),
      presence_(std::move(coupling.presence)),
      network_(reactor_.adopt(std::move(coupling.network))),
      plain_(reactor_.adopt(std::move(coupling.plain))),
      policy_(std::move(coupling.policy)),
      connection_(policy_->new_connection()),
      deadline_(reactor_, [this] { terminate(); }),
      directions_(reactor_.ready()),
      sending_(reactor_.ready()),
      received_(tls_piece),
      decrypted_(tls_piece),
      taken_(tls_piece),
      encrypted_(tls_piece) {
  if (connection_ != nullptr) {
    from_network_ = BIO_new(BIO_s_mem());
    to_network_ = BIO_new(BIO_s_mem());
    SSL_set_bio(connection_.get(), from_network_, to_network_);
  }
  branch_.pumps().push_back(this);
  branch_.checked_started();
}

TlsPump::~TlsPump() {
  branch_.checked_ended();
  unlink();
}

Detached TlsPump::run() {
  if (branch_.closing()) close();
  deadline_.start(branch_.times().tls_handshake);
  const bool agreed = connection_ != nullptr && co_await shake_hands();
  deadline_.stop();
  if (agreed) {
    encrypt_beside();
    co_await decrypt();
    co_await directions_.wait_idle();
  }
  delete this;
}

void TlsPump::close() { ::shutdown(network_.fd(), SHUT_RD); }

void TlsPump::terminate() {
  broken_ = true;
  ::shutdown(network_.fd(), SHUT_RDWR);
  ::shutdown(plain_.fd(), SHUT_RDWR);
}

void TlsPump::check_progress() {
  int unsent = 0;
  ::ioctl(network_.fd(), SIOCOUTQ, &unsent);
  const bool moved = sent_ != sent_seen_ || unsent != unsent_seen_;
  sent_seen_ = sent_;
  unsent_seen_ = unsent;
  stalled_checks_ = sending_.locked() && !moved ? stalled_checks_ + 1 : 0;
  if (stalled_checks_ >= stalled_checks_max) terminate();
}

// ---- Handshake ------------------------------------------------------------------------------------------------------

Task<bool> TlsPump::shake_hands() {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(connection_.get());
    const int error = SSL_get_error(connection_.get(), result);
    // Also the alert that says why not.
    if (!co_await flush()) co_return false;
    if (result == 1) co_return true;
    if (error != SSL_ERROR_WANT_READ) co_return false;
    const int received = co_await reactor_.receive(network_, received_);
    if (received <= 0) co_return false;
    if (!take_from_network(std::span(received_).first(static_cast<size_t>(received)))) co_return false;
  }
}

bool TlsPump::take_from_network(std::span<const std::byte> bytes) {
  const int length = static_cast<int>(bytes.size());
  return BIO_write(from_network_, bytes.data(), length) == length;
}

// ---- From the client ------------------------------------------------------------------------------------------------

Task<> TlsPump::decrypt() {
  // The last message of the handshake may have data behind it.
  bool more = co_await deliver();
  while (more) {
    const int received = co_await reactor_.receive(network_, received_);
    more = received > 0 && take_from_network(std::span(received_).first(static_cast<size_t>(received)));
    if (more) more = co_await deliver();
  }
  ::shutdown(plain_.fd(), SHUT_WR);
}

Task<bool> TlsPump::deliver() {
  for (;;) {
    ERR_clear_error();
    const int length = SSL_read(connection_.get(), decrypted_.data(), static_cast<int>(decrypted_.size()));
    if (length <= 0) {
      const int error = SSL_get_error(connection_.get(), length);
      const bool flushed = BIO_ctrl_pending(to_network_) == 0 || co_await flush();
      // A record that is none, or not for this connection: nothing that comes after it can be believed.
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) broken_ = true;
      const bool goes_on = flushed && error == SSL_ERROR_WANT_READ;
      co_return goes_on;
    }
    const auto bytes = std::span(decrypted_).first(static_cast<size_t>(length));
    // When the other side has ended, what the client still sends is dropped.
    if (!co_await send_all(plain_, bytes) && broken_) co_return false;
  }
}

// ---- To the client --------------------------------------------------------------------------------------------------

Detached TlsPump::encrypt_beside() {
  const InFlightScope direction(directions_);
  co_await encrypt();
}

Task<> TlsPump::encrypt() {
  for (;;) {
    const int taken = co_await reactor_.receive(plain_, taken_);
    if (taken <= 0 || broken_) break;
    ERR_clear_error();
    // Into memory, so that it always takes all of it.
    if (SSL_write(connection_.get(), taken_.data(), taken) != taken) break;
    if (!co_await flush()) break;
  }
  if (!broken_) {
    ERR_clear_error();
    SSL_shutdown(connection_.get());
    co_await flush();
  }
  // As a session's goodbye: what the client sends meanwhile is taken, for a while, so that no reset overtakes the last
  // replies.
  ::shutdown(network_.fd(), SHUT_WR);
  deadline_.start(branch_.times().tls_goodbye);
}

Task<bool> TlsPump::flush() {
  const AsyncMutex::Guard turn = co_await sending_.lock();
  while (BIO_ctrl_pending(to_network_) > 0 && !broken_) {
    const int length = BIO_read(to_network_, encrypted_.data(), static_cast<int>(encrypted_.size()));
    if (length <= 0) co_return false;
    if (!co_await send_all(network_, std::span(encrypted_).first(static_cast<size_t>(length)))) terminate();
    ++sent_;
  }
  co_return !broken_;
}

Task<bool> TlsPump::send_all(const File& to, std::span<const std::byte> bytes) {
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const int sent = co_await reactor_.send(to, &message);
  co_return sent >= 0 && static_cast<size_t>(sent) == bytes.size();
}

}  // namespace cairn::nbd
