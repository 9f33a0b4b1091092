#include "iscsi/login/keys.h"

#include "iscsi/login/iscsi_name.h"

namespace cairn::iscsi {
namespace {

constexpr uint32_t segment_least = 512;
constexpr uint32_t segment_most = (1 << 24) - 1;
constexpr uint32_t seconds_most = 3600;

bool same_initiator(const SessionParameters& parameters, std::string_view value) {
  return same_name(parameters.initiator_name, value);
}
bool same_target(const SessionParameters& parameters, std::string_view value) {
  return same_name(parameters.target_name, value);
}
bool same_type(const SessionParameters& parameters, std::string_view value) {
  return value == (parameters.type == SessionParameters::Type::discovery ? "Discovery" : "Normal");
}

constexpr auto minimum = NumberKey::Result::minimum;
constexpr auto maximum = NumberKey::Result::maximum;
constexpr auto declared = NumberKey::Result::declared;
constexpr auto both = BooleanKey::Result::both;
constexpr auto either = BooleanKey::Result::either;
constexpr uint8_t security = security_stage;
constexpr uint8_t operational = operational_stage;
using N = Negotiable;

constexpr KeyRow table[] = {
    {"InitiatorName", in_login, true, FirstKey{same_initiator}},
    {"SessionType", in_login, true, FirstKey{same_type}},
    {"TargetName", in_login, true, FirstKey{same_target}},
    {"InitiatorAlias", anywhere, true, DeclaredKey{&SessionParameters::initiator_alias}},
    {"TargetAlias", anywhere, true, TargetKey{}},
    {"TargetAddress", anywhere, true, TargetKey{}},
    {"TargetPortalGroupTag", in_login, true, TargetKey{}},

    {"AuthMethod", security, true, SecurityKey{&SecurityText::method}},
    {"CHAP_A", security, true, SecurityKey{&SecurityText::algorithms}},
    {"CHAP_I", security, true, SecurityKey{&SecurityText::identifier}},
    {"CHAP_C", security, true, SecurityKey{&SecurityText::challenge}},
    {"CHAP_N", security, true, SecurityKey{&SecurityText::name}},
    {"CHAP_R", security, true, SecurityKey{&SecurityText::response}},

    {"HeaderDigest", operational, true, DigestKey{&N::header_digest}},
    {"DataDigest", operational, true, DigestKey{&N::data_digest}},
    {"MaxRecvDataSegmentLength", operational | full_feature_phase, true,
     NumberKey{segment_least, segment_most, declared, &N::send_segment_max}},
    {"DefaultTime2Wait", operational, true, NumberKey{0, seconds_most, maximum, &N::time_to_wait}},
    {"DefaultTime2Retain", operational, true, NumberKey{0, seconds_most, minimum, &N::time_to_retain}},
    {"ErrorRecoveryLevel", operational, true, NumberKey{0, 2, minimum, &N::error_recovery_level}},

    {"MaxConnections", operational, false, NumberKey{1, 65535, minimum, &N::connections_max}},
    {"InitialR2T", operational, false, BooleanKey{either, &N::initial_r2t}},
    {"ImmediateData", operational, false, BooleanKey{both, &N::immediate_data}},
    {"MaxBurstLength", operational, false, NumberKey{segment_least, segment_most, minimum, &N::max_burst}},
    {"FirstBurstLength", operational, false, NumberKey{segment_least, segment_most, minimum, &N::first_burst}},
    {"MaxOutstandingR2T", operational, false, NumberKey{1, 65535, minimum, &N::outstanding_r2t_max}},
    {"DataPDUInOrder", operational, false, BooleanKey{either, &N::data_pdu_in_order}},
    {"DataSequenceInOrder", operational, false, BooleanKey{either, &N::data_sequence_in_order}},
    {"TaskReporting", operational, false, OnlyKey{"RFC3720"}},
    {"iSCSIProtocolLevel", operational, false, NumberKey{0, 31, minimum, &N::protocol_level}},

    // Obsolete (section 13.25): never to be answered NotUnderstood.
    {"IFMarker", operational, true, FixedKey{"No"}},
    {"OFMarker", operational, true, FixedKey{"No"}},
    {"IFMarkInt", operational, true, FixedKey{"Reject"}},
    {"OFMarkInt", operational, true, FixedKey{"Reject"}},

    {"SendTargets", full_feature_phase, true, SendTargetsKey{}},
};

}  // namespace

std::span<const KeyRow> key_table() { return table; }

}  // namespace cairn::iscsi
