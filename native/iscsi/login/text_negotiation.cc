#include "iscsi/login/text_negotiation.h"

#include <algorithm>

#include "iscsi/login/iscsi_name.h"

namespace cairn::iscsi {
namespace {

bool has(const wire::TextRequest& request, uint8_t bit) { return (request.flags & bit) != 0; }

void append_target(std::string& text, const ListedTarget& target) {
  append_pair(text, "TargetName", target.name);
  for (const std::string& address : target.addresses) append_pair(text, "TargetAddress", address);
}

}  // namespace

TextNegotiation::TextNegotiation(SessionParameters& parameters, const Negotiable& offer, ListTargets list_targets)
    : parameters_(parameters), negotiation_(offer), list_targets_(std::move(list_targets)) {}

TextNegotiation::Reply TextNegotiation::handle(const wire::TextRequest& request, std::span<const std::byte> data) {
  if (!enter(request)) return reject();
  switch (received_.add(has(request, wire::continue_bit), data)) {
    case TextCollector::State::too_long:
      return reject();
    case TextCollector::State::more:
      return respond(request);
    case TextCollector::State::whole:
      break;
  }
  const bool answered = answer(received_.text());
  received_.clear();
  return answered ? respond(request) : reject();
}

void TextNegotiation::reset() {
  task_tag_.reset();
  negotiation_.reset();
  received_.clear();
  answers_.clear();
}

/// A request without a transfer tag begins an exchange, and ends one that is not over (section 11.10.4).
bool TextNegotiation::enter(const wire::TextRequest& request) {
  if (has(request, wire::final_bit) && has(request, wire::continue_bit)) return false;
  if (request.transfer_tag != wire::no_tag)
    return task_tag_ == request.task_tag && transfer_tag_ == request.transfer_tag;
  reset();
  settled_ = parameters_;
  task_tag_ = request.task_tag;
  if (++transfer_tag_ == wire::no_tag) transfer_tag_ = 0;
  return true;
}

bool TextNegotiation::answer(std::string_view text) {
  const auto pairs = parse_text(text);
  if (!pairs) return false;
  // While an answer goes out in parts, the initiator only asks for the next one.
  if (!answers_.empty()) return pairs->empty();
  const TextAnswer answer = negotiation_.answer(*pairs, full_feature_phase, settled_);
  if (answer.violation) return false;
  answers_.add(answer.text);
  if (answer.send_targets) answers_.add(send_targets(*answer.send_targets));
  return true;
}

/// "All" is for discovery sessions, the empty value for normal ones, which see no target but their own (appendix C).
std::string TextNegotiation::send_targets(std::string_view which) const {
  const bool discovery = parameters_.type == SessionParameters::Type::discovery;
  std::string text;
  if (discovery ? which.empty() : which == "All") {
    append_pair(text, "SendTargets", "Reject");
    return text;
  }
  for (const ListedTarget& target : list_targets_(parameters_)) {
    const bool asked = which.empty() || which == "All" || same_name(which, target.name);
    if (asked && (discovery || same_name(target.name, parameters_.target_name))) append_target(text, target);
  }
  return text;
}

TextNegotiation::Reply TextNegotiation::respond(const wire::TextRequest& request) {
  Reply reply{};
  reply.header.opcode_byte = wire::text_response;
  reply.header.task_tag = request.task_tag;
  reply.header.transfer_tag = transfer_tag_;
  reply.text = answers_.next(std::min<size_t>(parameters_.send_segment_max, text_part_max));
  if (!answers_.empty()) reply.header.flags = wire::continue_bit;
  if (!answers_.empty() || !has(request, wire::final_bit)) return reply;
  reply.header.flags = wire::final_bit;
  reply.header.transfer_tag = wire::no_tag;
  parameters_ = settled_;
  reset();
  return reply;
}

TextNegotiation::Reply TextNegotiation::reject() {
  reset();
  Reply reply{};
  reply.reject = wire::RejectReason::protocol_error;
  return reply;
}

}  // namespace cairn::iscsi
