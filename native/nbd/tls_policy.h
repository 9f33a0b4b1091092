#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "nbd/server.h"

// OpenSSL's own declarations: its headers are included where they are used.
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

namespace cairn::nbd {

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const;
};

/// Pre-shared keys by user; wiped when they go.
class PskTable {
 public:
  PskTable() = default;
  PskTable(PskTable&&) = default;
  PskTable& operator=(PskTable&&) = default;
  ~PskTable();
  /// psktool's lines: USER:KEY. INVALID_ARGUMENT with the number of the first line that is none.
  static Result<PskTable> parse(const std::string& text);
  /// Null for an unknown user.
  const std::vector<uint8_t>* find(const std::string& user) const;
  bool empty() const { return keys_.empty(); }

 private:
  std::map<std::string, std::vector<uint8_t>> keys_;
};

/// Whether and how connections are encrypted: TlsSettings with their files read. Constant, and shared by threads.
class TlsPolicy {
 public:
  /// Without TLS.
  TlsPolicy() = default;
  TlsPolicy(TlsSettings::Mode mode, std::unique_ptr<SSL_CTX, SslContextDeleter> context, std::unique_ptr<PskTable> keys)
      : mode_(mode), keys_(std::move(keys)), context_(std::move(context)) {}

  bool available() const { return mode_ != TlsSettings::Mode::off; }
  bool required() const { return mode_ == TlsSettings::Mode::require; }
  /// Of the server's side of a new connection; null when there is no memory. Only where TLS is available.
  SSL* new_connection() const;

 private:
  TlsSettings::Mode mode_ = TlsSettings::Mode::off;
  std::unique_ptr<PskTable> keys_;  // the context's callback reads it
  std::unique_ptr<SSL_CTX, SslContextDeleter> context_;
};

Result<std::shared_ptr<const TlsPolicy>> make_tls_policy(const TlsSettings& settings);

}  // namespace cairn::nbd
