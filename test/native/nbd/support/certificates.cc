#include "test/native/nbd/support/certificates.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstring>

namespace cairn::test {
namespace {

constexpr long day = 24 * 60 * 60;

template <typename Write>
void to_file(const std::string& path, Write write) {
  FILE* file = std::fopen(path.c_str(), "we");
  ASSERT_NE(file, nullptr) << path;
  EXPECT_EQ(write(file), 1);
  std::fclose(file);
}

Certificate unsigned_certificate(const std::string& name, long serial, int days) {
  Certificate made{OpenSsl<EVP_PKEY>(EVP_EC_gen("P-256")), OpenSsl<X509>(X509_new())};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), days < 0 ? 2L * days * day : -day);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * day);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return made;
}

unsigned give_key(SSL* connection, const char*, char* identity, unsigned identity_max, unsigned char* key, unsigned) {
  const auto* known =
      static_cast<const std::pair<std::string, std::string>*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection)));
  std::strncpy(identity, known->first.c_str(), identity_max);
  std::memcpy(key, known->second.data(), known->second.size());
  return static_cast<unsigned>(known->second.size());
}

OpenSsl<SSL_CTX> context_of(int version) {
  OpenSsl<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  return context;
}

}  // namespace

CertificateAuthority::CertificateAuthority() : own_(unsigned_certificate("authority", 1, 2)) {
  X509* certificate = own_.certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(certificate, own_.key.get(), EVP_sha256());
}

Certificate CertificateAuthority::issue(const std::string& name, int days) {
  Certificate issued = unsigned_certificate(name, next_serial_++, days);
  X509_set_issuer_name(issued.certificate.get(), X509_get_subject_name(certificate()));
  X509_sign(issued.certificate.get(), own_.key.get(), EVP_sha256());
  return issued;
}

void CertificateAuthority::write_certificate(const std::string& path) const { test::write_certificate(own_, path); }

void CertificateAuthority::write_revocations(const std::string& path,
                                             const std::vector<const Certificate*>& revoked) const {
  X509_CRL* list = X509_CRL_new();
  X509_CRL_set_version(list, X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate()));
  ASN1_TIME* time = X509_gmtime_adj(nullptr, -day);
  X509_CRL_set1_lastUpdate(list, time);
  X509_gmtime_adj(time, day);
  X509_CRL_set1_nextUpdate(list, time);
  X509_gmtime_adj(time, -day);
  for (const Certificate* each : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(each->certificate.get()));
    X509_REVOKED_set_revocationDate(entry, time);
    X509_CRL_add0_revoked(list, entry);
  }
  X509_CRL_sign(list, own_.key.get(), EVP_sha256());
  to_file(path, [list](FILE* file) { return PEM_write_X509_CRL(file, list); });
  ASN1_TIME_free(time);
  X509_CRL_free(list);
}

void write_certificate(const Certificate& certificate, const std::string& path) {
  to_file(path, [&](FILE* file) { return PEM_write_X509(file, certificate.certificate.get()); });
}

void write_key(const Certificate& certificate, const std::string& path) {
  to_file(path, [&](FILE* file) {
    return PEM_write_PrivateKey(file, certificate.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

OpenSsl<SSL_CTX> client_context(const CertificateAuthority& authority, const Certificate* own, int version) {
  OpenSsl<SSL_CTX> context = context_of(version);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.certificate());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (own != nullptr) {
    SSL_CTX_use_certificate(context.get(), own->certificate.get());
    SSL_CTX_use_PrivateKey(context.get(), own->key.get());
  }
  return context;
}

OpenSsl<SSL_CTX> psk_client_context(const std::string& user, const std::string& key, int version) {
  static std::vector<std::unique_ptr<std::pair<std::string, std::string>>> known;  // as long as any context
  known.push_back(std::make_unique<std::pair<std::string, std::string>>(user, key));
  OpenSsl<SSL_CTX> context = context_of(version);
  SSL_CTX_set_app_data(context.get(), known.back().get());
  SSL_CTX_set_psk_client_callback(context.get(), give_key);
  SSL_CTX_set_cipher_list(context.get(), "PSK");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

}  // namespace cairn::test
