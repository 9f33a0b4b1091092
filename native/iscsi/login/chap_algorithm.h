// CHAP's digests (RFC 7143 section 12.1.3, RFC 1994, the registry "PPP Authentication Algorithms").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace cairn::iscsi {

enum class ChapAlgorithm : uint8_t { md5 = 5, sha1 = 6, sha256 = 7, sha3_256 = 8 };

/// The strongest of an initiator's list (CHAP_A) that the OpenSSL of this process may use: MD5 can be forbidden.
std::optional<ChapAlgorithm> choose_chap_algorithm(std::string_view list);

size_t chap_digest_size(ChapAlgorithm algorithm);

/// Of the identifier, the secret and the challenge. Empty when OpenSSL refuses.
std::vector<std::byte> chap_digest(ChapAlgorithm algorithm, uint8_t identifier, std::span<const std::byte> secret,
                                   std::span<const std::byte> challenge);

}  // namespace cairn::iscsi
