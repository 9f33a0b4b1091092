#pragma once

#include <fstream>
#include <string>

#include "nbd/server.h"
#include "test/native/nbd/support/certificates.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {

/// Alice's pre-shared key, as bytes and as psktool writes it.
inline const std::string key_text(32, 'k');
inline const std::string key_hexadecimal = [] {
  std::string text;
  for (int i = 0; i < 32; ++i) text += "6b";
  return text;
}();

/// Files for a server in a directory of their own, and an authority for its clients.
class TlsFiles {
 public:
  TlsFiles() {
    server_ = authority_.issue("localhost");
    authority_.write_certificate(path("ca-cert.pem"));
    write_certificate(server_, path("server-cert.pem"));
    write_key(server_, path("server-key.pem"));
    std::ofstream(path("psk")) << "alice:" << key_hexadecimal << "\n\nbob:" << std::string(64, '0') << "\n";
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  CertificateAuthority& authority() { return authority_; }
  nbd::TlsSettings certificates(nbd::TlsSettings::Mode mode, bool verify_peer = false) const {
    return {.mode = mode, .certificate_directory = directory_.path(), .verify_peer = verify_peer, .psk_file = {}};
  }
  nbd::TlsSettings both(nbd::TlsSettings::Mode mode) const {
    return {.mode = mode, .certificate_directory = directory_.path(), .verify_peer = true, .psk_file = path("psk")};
  }

 private:
  TemporaryDirectory directory_;
  CertificateAuthority authority_;
  Certificate server_;
};

}  // namespace cairn::test
