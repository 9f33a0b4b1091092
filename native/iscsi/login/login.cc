#include "iscsi/login/login.h"

#include <algorithm>

#include "iscsi/login/check_access.h"
#include "iscsi/login/iscsi_name.h"

namespace cairn::iscsi {
namespace {

using wire::Stage;
using Status = wire::LoginStatus;

bool has(const wire::LoginRequest& request, uint8_t bit) { return (request.flags & bit) != 0; }

Login::Reply response_to(const wire::LoginRequest& request) {
  Login::Reply reply{};
  reply.header.opcode_byte = wire::login_response;
  reply.header.flags = wire::stages(wire::current_stage(request.flags), Stage::security);
  reply.header.version_max = wire::protocol_version;
  reply.header.version_active = wire::protocol_version;
  reply.header.isid = request.isid;
  reply.header.tsih = request.tsih;
  reply.header.task_tag = request.task_tag;
  return reply;
}

/// One stage after the other; the operational one may be left out (section 6.3).
bool is_transition(Stage from, Stage to) {
  if (from == Stage::security) return to == Stage::operational || to == Stage::full_feature;
  return from == Stage::operational && to == Stage::full_feature;
}

Status status_of(const FoundTarget& found) {
  if (std::holds_alternative<TargetMissing>(found)) return Status::target_not_found;
  if (std::holds_alternative<TargetRemoved>(found)) return Status::target_removed;
  if (std::holds_alternative<TargetMoved>(found)) return Status::target_moved_temporarily;
  if (std::holds_alternative<TargetUnavailable>(found)) return Status::service_unavailable;
  return Status::success;
}

}  // namespace

Login::Login(LoginPolicy policy) : policy_(std::move(policy)), negotiation_(policy_.offer) {}

Login::Reply Login::ask_for_more(const wire::LoginRequest& request) { return response_to(request); }

Login::Reply Login::fail(const wire::LoginRequest& request, Status status) {
  Reply reply = response_to(request);
  reply.header.flags = 0;  // reserved then (section 11.13)
  reply.header.status = static_cast<uint16_t>(status);
  reply.outcome = Outcome::failed;
  return reply;
}

Login::Reply Login::handle(const wire::LoginRequest& request, std::span<const std::byte> data) {
  if (over_) return fail(request, Status::invalid_during_login);
  Reply reply = take(request, data);
  over_ = reply.outcome != Outcome::go_on;
  return reply;
}

Login::Reply Login::take(const wire::LoginRequest& request, std::span<const std::byte> data) {
  if (const Status status = check(request); status != Status::success) return fail(request, status);
  switch (received_.add(has(request, wire::continue_bit), data)) {
    case TextCollector::State::too_long:
      return fail(request, Status::initiator_error);
    case TextCollector::State::more:
      return ask_for_more(request);
    case TextCollector::State::whole:
      break;
  }
  const Status status = take_text();
  received_.clear();
  if (status == Status::success) return respond(request);
  Reply reply = fail(request, status);
  if (status == Status::target_moved_temporarily) append_pair(reply.text, "TargetAddress", moved_to_);
  return reply;
}

// ---- Headers ----

Login::Status Login::check(const wire::LoginRequest& request) {
  if (requests_ == login_requests_max) return Status::initiator_error;
  if (request.version_min > wire::protocol_version) return Status::unsupported_version;
  if (requests_++ == 0) {
    stage_ = wire::current_stage(request.flags);
    parameters_.isid = request.isid;
    parameters_.tsih = request.tsih;
    parameters_.connection_id = request.connection_id;
  }
  const bool same = parameters_.isid == request.isid && parameters_.tsih == request.tsih &&
                    parameters_.connection_id == request.connection_id;
  return same && are_stages_right(request) ? Status::success : Status::initiator_error;
}

bool Login::are_stages_right(const wire::LoginRequest& request) const {
  const Stage current = wire::current_stage(request.flags);
  if (current != stage_ || (current != Stage::security && current != Stage::operational)) return false;
  if (!has(request, wire::transit_bit)) return true;
  return !has(request, wire::continue_bit) && is_transition(current, wire::next_stage(request.flags));
}

// ---- Text ----

Login::Status Login::take_text() {
  const auto pairs = parse_text(received_.text());
  if (!pairs) return Status::initiator_error;
  // While an answer goes out in parts, the initiator only asks for the next one.
  if (!answers_.empty()) return pairs->empty() ? Status::success : Status::initiator_error;
  if (!begun_) {
    if (const Status status = begin(*pairs); status != Status::success) return status;
    begun_ = true;
  }
  return negotiate(*pairs);
}

Login::Status Login::begin(std::span<const TextPair> pairs) {
  const std::string_view initiator = find_value(pairs, "InitiatorName").value_or("");
  const std::string_view target = find_value(pairs, "TargetName").value_or("");
  const std::string_view type = find_value(pairs, "SessionType").value_or("Normal");
  if (initiator.empty()) return Status::missing_parameter;
  if (!is_iscsi_name(initiator)) return Status::initiator_error;
  parameters_.initiator_name = lower_case(initiator);
  if (type == "Normal") return begin_normal(target);
  if (type != "Discovery") return Status::session_type_unsupported;
  parameters_.type = SessionParameters::Type::discovery;
  parameters_.target_name = target;
  return begin_with(policy_.discovery_access);
}

Login::Status Login::begin_normal(std::string_view target_name) {
  if (target_name.empty()) return Status::missing_parameter;
  FoundTarget found = is_iscsi_name(target_name) ? policy_.find_target(target_name) : TargetMissing{};
  if (const auto* moved = std::get_if<TargetMoved>(&found)) moved_to_ = moved->address;
  auto* target = std::get_if<LoginTarget>(&found);
  if (target == nullptr) return status_of(found);
  parameters_.target_name = target->name;
  parameters_.portal_group = target->portal_group;
  std::string answer;
  append_pair(answer, "TargetPortalGroupTag", std::to_string(target->portal_group));
  if (!target->alias.empty()) append_pair(answer, "TargetAlias", target->alias);
  answers_.add(answer);
  return begin_with(target->access);
}

Login::Status Login::begin_with(const Access& access) {
  if (!admits(access, parameters_.initiator_name)) return Status::authorization_failure;
  authentication_.emplace(access, policy_.randomize);
  const bool skips_proof = authentication_->required() && stage_ != Stage::security;
  return skips_proof ? Status::authentication_failure : Status::success;
}

Login::Status Login::negotiate(std::span<const TextPair> pairs) {
  const uint8_t place = stage_ == Stage::security ? security_stage : operational_stage;
  TextAnswer answer = negotiation_.answer(pairs, place, parameters_);
  if (answer.violation) return Status::initiator_error;
  if (!authentication_->step(answer.security, answer.text)) return Status::authentication_failure;
  if (stage_ == Stage::operational && !declared_) {
    parameters_.receive_segment_max = policy_.offer.receive_segment_max;
    append_pair(answer.text, "MaxRecvDataSegmentLength", std::to_string(parameters_.receive_segment_max));
    declared_ = true;
  }
  answers_.add(answer.text);
  return Status::success;
}

// ---- Stages ----

Login::Reply Login::respond(const wire::LoginRequest& request) {
  Reply reply = response_to(request);
  reply.text = answers_.next(segment_max_default);
  if (!answers_.empty()) reply.header.flags |= wire::continue_bit;
  if (!answers_.empty() || !has(request, wire::transit_bit)) return reply;
  if (stage_ == Stage::security && !authentication_->over())
    return authentication_->begun() ? reply : fail(request, Status::authentication_failure);
  const Stage next = wire::next_stage(request.flags);
  if (next == Stage::full_feature) {
    if (const Status status = enter_session(); status != Status::success) return fail(request, status);
    reply.header.tsih = parameters_.tsih;
    reply.outcome = Outcome::full_feature;
  }
  reply.header.flags = wire::transit_bit | wire::stages(stage_, next);
  stage_ = next;
  return reply;
}

Login::Status Login::enter_session() {
  parameters_.first_burst = std::min(parameters_.first_burst, parameters_.max_burst);
  if (parameters_.tsih != 0) return join_session();
  parameters_.tsih = policy_.assign_tsih(parameters_);
  return parameters_.tsih == 0 ? Status::out_of_resources : Status::success;
}

/// A session has one connection here, and nothing is recovered on another one (section 6.3.5).
Login::Status Login::join_session() const {
  switch (policy_.find_session(parameters_)) {
    case FoundSession::none:
      return Status::session_does_not_exist;
    case FoundSession::with_connection:
      return Status::cannot_include_in_session;
    case FoundSession::without_connection:
      return Status::too_many_connections;
  }
  return Status::target_error;
}

}  // namespace cairn::iscsi
