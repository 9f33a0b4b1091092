#include "iscsi/login/chap_algorithm.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/assert.h"
#include "iscsi/login/values.h"

namespace cairn::iscsi {
namespace {

struct Row {
  ChapAlgorithm algorithm;
  size_t size;
  const EVP_MD* (*digest)();
};

/// The strongest first.
constexpr Row table[] = {
    {ChapAlgorithm::sha3_256, 32, EVP_sha3_256},
    {ChapAlgorithm::sha256, 32, EVP_sha256},
    {ChapAlgorithm::sha1, 20, EVP_sha1},
    {ChapAlgorithm::md5, 16, EVP_md5},
};

const Row& row_of(ChapAlgorithm algorithm) {
  const Row* row = std::ranges::find(table, algorithm, &Row::algorithm);
  CAIRN_ASSERT(row != std::end(table));
  return *row;
}

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, ContextDeleter>;

/// Null when a policy of the system forbids the digest.
Context begin(const Row& row) {
  Context context(EVP_MD_CTX_new());
  if (context != nullptr && EVP_DigestInit_ex(context.get(), row.digest(), nullptr) != 1) context.reset();
  ERR_clear_error();
  return context;
}

}  // namespace

std::optional<ChapAlgorithm> choose_chap_algorithm(std::string_view list) {
  const std::vector<std::string_view> offered = split_list(list);
  for (const Row& row : table) {
    const auto is_this = [&](std::string_view text) {
      return parse_number(text) == static_cast<uint64_t>(row.algorithm);
    };
    if (std::ranges::any_of(offered, is_this) && begin(row) != nullptr) return row.algorithm;
  }
  return std::nullopt;
}

size_t chap_digest_size(ChapAlgorithm algorithm) { return row_of(algorithm).size; }

std::vector<std::byte> chap_digest(ChapAlgorithm algorithm, uint8_t identifier, std::span<const std::byte> secret,
                                   std::span<const std::byte> challenge) {
  const Row& row = row_of(algorithm);
  const Context context = begin(row);
  std::vector<std::byte> digest(row.size);
  const bool made = context != nullptr && EVP_DigestUpdate(context.get(), &identifier, 1) == 1 &&
                    EVP_DigestUpdate(context.get(), secret.data(), secret.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), challenge.data(), challenge.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr) == 1;
  if (!made) digest.clear();
  return digest;
}

}  // namespace cairn::iscsi
