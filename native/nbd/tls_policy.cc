#include "nbd/tls_policy.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nbd/limits.h"

namespace cairn::nbd {
namespace {

using Context = std::unique_ptr<SSL_CTX, SslContextDeleter>;

/// Forward secrecy and authenticated encryption only. TLS 1.3 has no others.
constexpr const char* ciphers_of_tls_1_2 =
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-AES128-GCM-SHA256:"
    "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-CHACHA20-POLY1305";

/// SHA-256 first: pre-shared keys are for it, and where another were chosen their holder would need a certificate.
constexpr const char* ciphers_of_tls_1_3 = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";

Error invalid(const std::string& what) {
  const unsigned long code = ERR_get_error();
  std::string message = "TLS: " + what;
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  if (reason != nullptr) message += std::string(": ") + reason;
  ERR_clear_error();
  return {"INVALID_ARGUMENT", message};
}

// ---- Pre-shared keys ----

std::optional<std::vector<uint8_t>> parse_hexadecimal(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char* at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, bytes[i], 16);
    if (error != std::errc() || end != at + 2) return std::nullopt;
  }
  return bytes;
}

unsigned find_key(SSL* connection, const char* identity, unsigned char* key, unsigned key_max) {
  const auto* keys = static_cast<const PskTable*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection)));
  const std::vector<uint8_t>* found = keys->find(identity);
  if (found == nullptr || found->size() > key_max) return 0;
  std::memcpy(key, found->data(), found->size());
  return static_cast<unsigned>(found->size());
}

Result<std::unique_ptr<PskTable>> read_keys(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return invalid("cannot read the pre-shared keys in " + path);
  if (size > psk_file_max) return invalid(path + " is longer than 1 MiB");
  std::stringstream text;
  text << file.rdbuf();
  Result<PskTable> parsed = PskTable::parse(text.str());
  if (!parsed.ok()) return Error{parsed.error().code, "TLS: " + path + ": " + parsed.error().message};
  return std::make_unique<PskTable>(std::move(parsed.value()));
}

// ---- Certificates ----

bool exists(const std::string& path) { return std::filesystem::exists(path); }

Result<Unit> load_revocations(SSL_CTX* context, const std::string& path) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  X509_LOOKUP* lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
  if (lookup == nullptr || X509_load_crl_file(lookup, path.c_str(), X509_FILETYPE_PEM) <= 0)
    return invalid("cannot use the revocation list " + path);
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  return Unit{};
}

Result<Unit> demand_client_certificates(SSL_CTX* context, const std::string& directory) {
  const std::string authority = directory + "/ca-cert.pem";
  if (SSL_CTX_load_verify_locations(context, authority.c_str(), nullptr) != 1)
    return invalid("cannot use " + authority + ", which clients' certificates are verified with");
  SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(authority.c_str()));
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  const std::string revocations = directory + "/ca-crl.pem";
  if (exists(revocations)) return load_revocations(context, revocations);
  return Unit{};
}

Result<Unit> load_certificates(SSL_CTX* context, const TlsSettings& settings) {
  const std::string certificate = settings.certificate_directory + "/server-cert.pem";
  const std::string key = settings.certificate_directory + "/server-key.pem";
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return invalid("cannot use the certificate " + certificate);
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return invalid("cannot use the private key " + key);
  if (SSL_CTX_check_private_key(context) != 1) return invalid(key + " is not the key of " + certificate);
  if (settings.verify_peer) return demand_client_certificates(context, settings.certificate_directory);
  return Unit{};
}

Context make_context() {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // No resumption: it would let a client in whose certificate has been revoked, or whose key has been taken out, since.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // A pre-shared key is a session to TLS 1.3, and those want a context where clients are verified.
  SSL_CTX_set_session_id_context(context.get(), reinterpret_cast<const unsigned char*>("cairn"), 5);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_dh_auto(context.get(), 1);
  const bool known = SSL_CTX_set_cipher_list(context.get(), ciphers_of_tls_1_2) == 1 &&
                     SSL_CTX_set_ciphersuites(context.get(), ciphers_of_tls_1_3) == 1;
  if (!known) context.reset();
  return context;
}

}  // namespace

void SslContextDeleter::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

PskTable::~PskTable() {
  for (auto& [user, key] : keys_) OPENSSL_cleanse(key.data(), key.size());
}

Result<PskTable> PskTable::parse(const std::string& text) {
  PskTable table;
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const size_t colon = line.rfind(':');
    const bool user = colon != std::string::npos && colon > 0 && colon <= psk_identity_max;
    std::optional<std::vector<uint8_t>> key;
    if (user) key = parse_hexadecimal(std::string_view(line).substr(colon + 1));
    if (!key || key->size() < psk_key_min || key->size() > psk_key_max)
      return Error{"INVALID_ARGUMENT",
                   "line " + std::to_string(number) + " is not USER:KEY with a key of 16 to 64 bytes in hexadecimal"};
    if (!table.keys_.try_emplace(line.substr(0, colon), std::move(*key)).second)
      return Error{"INVALID_ARGUMENT", "line " + std::to_string(number) + " names a user again"};
  }
  return table;
}

const std::vector<uint8_t>* PskTable::find(const std::string& user) const {
  const auto found = keys_.find(user);
  return found == keys_.end() ? nullptr : &found->second;
}

SSL* TlsPolicy::new_connection() const {
  SSL* connection = SSL_new(context_.get());
  if (connection != nullptr) SSL_set_accept_state(connection);
  return connection;
}

Result<std::shared_ptr<const TlsPolicy>> make_tls_policy(const TlsSettings& settings) {
  if (settings.mode == TlsSettings::Mode::off) return std::make_shared<const TlsPolicy>();
  ERR_clear_error();
  if (settings.certificate_directory.empty() && settings.psk_file.empty())
    return invalid("give a directory of certificates, or a file of pre-shared keys, or both");
  if (settings.verify_peer && settings.certificate_directory.empty())
    return invalid("clients' certificates can only be verified with a directory of certificates");
  Context context = make_context();
  if (context == nullptr) return invalid("OpenSSL gives no context");
  if (!settings.certificate_directory.empty())
    if (Result<Unit> loaded = load_certificates(context.get(), settings); !loaded.ok()) return loaded.error();
  std::unique_ptr<PskTable> keys;
  if (!settings.psk_file.empty()) {
    Result<std::unique_ptr<PskTable>> read = read_keys(settings.psk_file);
    if (!read.ok()) return read.error();
    keys = std::move(read.value());
    SSL_CTX_set_app_data(context.get(), keys.get());
    SSL_CTX_set_psk_server_callback(context.get(), find_key);  // TLS 1.3 asks it too
  }
  return std::make_shared<const TlsPolicy>(settings.mode, std::move(context), std::move(keys));
}

}  // namespace cairn::nbd
