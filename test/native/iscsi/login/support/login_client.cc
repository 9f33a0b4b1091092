#include "test/native/iscsi/login/support/login_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "iscsi/login/iscsi_name.h"

namespace cairn::test {

using namespace iscsi;

std::string text_of(std::initializer_list<std::string_view> pairs) {
  std::string text;
  for (const std::string_view pair : pairs) text.append(pair).push_back('\0');
  return text;
}

std::map<std::string, std::string> pairs_of(std::string_view text) {
  const auto parsed = parse_text(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  std::map<std::string, std::string> pairs;
  if (!parsed) return pairs;
  for (const auto& [key, value] : *parsed) EXPECT_TRUE(pairs.emplace(key, value).second) << key << " comes twice";
  return pairs;
}

Credential credential(std::string_view user, std::string_view secret) {
  auto memory =
      std::make_shared<SecureMemory>(std::move(SecureMemory::create(std::max<size_t>(secret.size(), 1)).value()));
  std::ranges::copy(std::as_bytes(std::span(secret)), memory->span().begin());
  return {std::string(user), memory};
}

LoginPolicy LoginWorld::policy() {
  LoginPolicy policy;
  policy.discovery_access = discovery_access;
  policy.find_target = [this](std::string_view name) -> FoundTarget {
    const std::string key = lower_case(name);
    const std::string prefix = "iqn.2026-11.io.cairn:";
    if (key == prefix + "moved") return TargetMoved{"192.0.2.7:3260"};
    if (key == prefix + "removed") return TargetRemoved{};
    if (key == prefix + "busy") return TargetUnavailable{};
    if (key == test_target) return LoginTarget{test_target, alias, access, 1};
    return TargetMissing{};
  };
  policy.find_session = [](const SessionParameters& parameters) {
    if (parameters.tsih != 7) return FoundSession::none;
    return parameters.connection_id == 3 ? FoundSession::with_connection : FoundSession::without_connection;
  };
  policy.assign_tsih = [this](const SessionParameters& parameters) {
    EXPECT_EQ(parameters.tsih, 0);
    return next_tsih;
  };
  policy.randomize = [](std::span<std::byte> bytes) {
    uint8_t value = 0;
    for (std::byte& byte : bytes) byte = std::byte{++value};
  };
  return policy;
}

wire::LoginRequest LoginClient::default_header() {
  wire::LoginRequest header{};
  header.opcode_byte = wire::login_request | wire::immediate_bit;
  header.isid = {0x80, 1, 2, 3, 4, 5};
  header.task_tag = 0x11223344;
  header.connection_id = 3;
  return header;
}

Login::Reply LoginClient::say(wire::Stage stage, std::optional<wire::Stage> next, std::string_view text) {
  wire::LoginRequest request = header;
  request.flags = wire::stages(stage, next.value_or(wire::Stage::security));
  if (next) request.flags |= wire::transit_bit;
  return send(request, text);
}

Login::Reply LoginClient::begin_to_say(wire::Stage stage, std::string_view text) {
  wire::LoginRequest request = header;
  request.flags = wire::stages(stage, wire::Stage::security) | wire::continue_bit;
  return send(request, text);
}

Login::Reply LoginClient::send(const wire::LoginRequest& request, std::string_view text) {
  Login::Reply reply = login.handle(request, std::as_bytes(std::span(text)));
  EXPECT_EQ(reply.header.opcode_byte, wire::login_response);
  EXPECT_EQ(reply.header.task_tag, request.task_tag);
  EXPECT_EQ(reply.header.isid, request.isid);
  EXPECT_EQ(reply.outcome == Login::Outcome::failed, reply.header.status != 0);
  EXPECT_LE(reply.text.size(), segment_max_default);
  return reply;
}

std::string names() {
  return text_of({std::string("InitiatorName=") + test_initiator, std::string("TargetName=") + test_target});
}

}  // namespace cairn::test
