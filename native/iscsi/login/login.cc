// A stand-in: no authentication, few keys.
#include "iscsi/login/login.h"

#include <algorithm>

#include "iscsi/limits.h"

namespace cairn::iscsi {
namespace {

std::vector<std::pair<std::string, std::string>> parse(std::span<const std::byte> text) {
  std::vector<std::pair<std::string, std::string>> all;
  const char* at = reinterpret_cast<const char*>(text.data());
  const char* end = at + text.size();
  while (at < end) {
    const char* stop = std::find(at, end, '\0');
    const std::string line(at, stop);
    const size_t equals = line.find('=');
    if (equals != std::string::npos) all.emplace_back(line.substr(0, equals), line.substr(equals + 1));
    at = stop + 1;
  }
  return all;
}

}  // namespace

FirstRequest peek(const wire::LoginRequest&, std::span<const std::byte> text) {
  FirstRequest first;
  for (const auto& [key, value] : parse(text)) {
    if (key == "TargetName") first.target_name = value;
    if (key == "SessionType") first.discovery = value == "Discovery";
  }
  return first;
}

Login::Reply Login::handle(const wire::LoginRequest& request, std::span<const std::byte> text) {
  Reply reply;
  wire::LoginResponse& header = reply.header;
  header.opcode_byte = wire::login_response;
  header.isid = request.isid;
  header.tsih = request.tsih;
  header.task_tag = request.task_tag;
  header.flags = request.flags & (wire::transit_bit | 0x0f);
  const auto say = [&reply](const std::string& key, const std::string& value) {
    reply.text += key + '=' + value + '\0';
  };
  parameters_.isid = request.isid;
  parameters_.connection_id = request.connection_id;
  if (!found_) {
    header.status = static_cast<uint16_t>(wire::LoginStatus::target_not_found);
    reply.outcome = Outcome::failed;
    return reply;
  }
  for (const auto& [key, value] : parse(text)) {
    const auto number = static_cast<uint32_t>(std::strtoul(value.c_str(), nullptr, 0));
    const auto lesser = [&](uint32_t ours, uint32_t& kept) {
      kept = std::min(ours, number);
      say(key, std::to_string(kept));
    };
    if (key == "InitiatorName") {
      parameters_.initiator_name = value;
    } else if (key == "TargetName") {
      parameters_.target_name = value;
    } else if (key == "SessionType") {
      parameters_.type = value == "Discovery" ? SessionParameters::Type::discovery : SessionParameters::Type::normal;
    } else if (key == "AuthMethod") {
      say(key, "None");
    } else if (key == "HeaderDigest" || key == "DataDigest") {
      const bool crc = value.starts_with("CRC32C");
      (key == "HeaderDigest" ? parameters_.header_digest : parameters_.data_digest) = crc;
      say(key, crc ? "CRC32C" : "None");
    } else if (key == "MaxRecvDataSegmentLength") {
      parameters_.send_segment_max = number;
    } else if (key == "InitialR2T") {
      parameters_.initial_r2t = value == "Yes";
      say(key, value);
    } else if (key == "ImmediateData") {
      parameters_.immediate_data = value == "Yes";
      say(key, value);
    } else if (key == "MaxBurstLength") {
      lesser(burst_max, parameters_.max_burst);
    } else if (key == "FirstBurstLength") {
      lesser(first_burst_max, parameters_.first_burst);
    } else if (key == "MaxConnections" || key == "MaxOutstandingR2T") {
      say(key, "1");
    } else if (key == "ErrorRecoveryLevel") {
      say(key, "0");
    } else if (key == "DefaultTime2Wait") {
      say(key, "2");
    } else if (key == "DefaultTime2Retain") {
      say(key, "0");
    } else if (key == "DataPDUInOrder" || key == "DataSequenceInOrder") {
      say(key, "Yes");
    } else if (key == "InitiatorAlias") {
    } else if (key == "IFMarker" || key == "OFMarker") {
      say(key, "No");
    } else {
      say(key, "NotUnderstood");
    }
  }
  if (wire::current_stage(request.flags) == wire::Stage::operational && !declared_) {
    declared_ = true;
    say("MaxRecvDataSegmentLength", std::to_string(receive_segment_max));
    say("TargetPortalGroupTag", "1");
  }
  const bool over =
      (request.flags & wire::transit_bit) != 0 && wire::next_stage(request.flags) == wire::Stage::full_feature;
  if (over) reply.outcome = Outcome::full_feature;
  return reply;
}

}  // namespace cairn::iscsi
