// Where targets are, as SendTargets tells it (RFC 7143 appendix C).
#pragma once

#include <string>
#include <vector>

#include "iscsi/login/text_negotiation.h"
#include "iscsi/server.h"
#include "iscsi/target.h"

namespace cairn::iscsi {

/// HOST:PORT of the end of a connection that is here, IPv6 in brackets; empty when the system does not tell it.
std::string local_address(int socket);

/// Of the targets whose access admits an initiator that has connected to `reached_at`.
std::vector<ListedTarget> list_targets(const TargetTable& targets, const std::vector<Portal>& portals,
                                       const std::string& initiator_name, const std::string& reached_at);

}  // namespace cairn::iscsi
