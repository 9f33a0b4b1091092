#pragma once

#include <string>
#include <string_view>

namespace cairn::iscsi {

/// Bytes of a name (RFC 7143 section 4.2.7.1).
inline constexpr size_t name_length_max = 223;

/// Whether this is a name of the kind iqn., eui. or naa. Underscores, which the RFC does not admit, are: initiators
/// named after their hosts have them.
bool is_iscsi_name(std::string_view name);

/// ASCII letters in lower case: what names are compared by.
std::string lower_case(std::string_view text);
bool same_name(std::string_view one, std::string_view other);

}  // namespace cairn::iscsi
