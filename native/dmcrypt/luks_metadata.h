// What the JSON area of a LUKS2 header says that libcryptsetup has no call for.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "dmcrypt/luks.h"

namespace cairn::dmcrypt {

/// Which volume key the first segment is encrypted with: its digest (LUKS2 On-Disk Format 1.1, section 3.4). Empty when
/// the metadata does not say.
std::string key_id_of(const nlohmann::json& metadata);

/// The key slots that hold the volume key of this digest.
std::vector<int> slots_of_key(const nlohmann::json& metadata, const std::string& key_id);

/// The token that tells of a change of the volume key (section 3.5), and its number.
struct KeyChangeToken {
  int number = 0;
  KeyChange change;
};
std::optional<KeyChangeToken> key_change_of(const nlohmann::json& metadata);
std::string key_change_json(const KeyChange& change);

}  // namespace cairn::dmcrypt
