// Certificates for tests, made on the spot.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

namespace cairn::test {

struct OpenSslDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
template <typename T>
using OpenSsl = std::unique_ptr<T, OpenSslDeleter>;

struct Certificate {
  OpenSsl<EVP_PKEY> key;
  OpenSsl<X509> certificate;
};

/// Signs what a test needs.
class CertificateAuthority {
 public:
  CertificateAuthority();
  /// Valid from a day ago for `days`; a negative number has passed.
  Certificate issue(const std::string& name, int days = 1);
  void write_certificate(const std::string& path) const;
  /// A revocation list of these.
  void write_revocations(const std::string& path, const std::vector<const Certificate*>& revoked) const;

  X509* certificate() const { return own_.certificate.get(); }

 private:
  Certificate own_;
  long next_serial_ = 2;
};

void write_certificate(const Certificate& certificate, const std::string& path);
void write_key(const Certificate& certificate, const std::string& path);

/// A client's side that trusts nothing but `authority`; `own` may be null.
OpenSsl<SSL_CTX> client_context(const CertificateAuthority& authority, const Certificate* own, int version);
/// A client's side with a pre-shared key.
OpenSsl<SSL_CTX> psk_client_context(const std::string& user, const std::string& key, int version);

}  // namespace cairn::test
