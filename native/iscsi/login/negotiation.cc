#include "iscsi/login/negotiation.h"

#include <algorithm>
#include <array>

#include "iscsi/login/values.h"

namespace cairn::iscsi {
namespace {

/// One key of one text.
struct Turn {
  const KeyRow& row;
  std::string_view value;
  const Negotiable& offer;
  SessionParameters& parameters;
  TextAnswer& answer;

  void reply(std::string_view text) const { append_pair(answer.text, row.name, text); }
  void reject() const { reply("Reject"); }

  void operator()(const NumberKey& key) const;
  void operator()(const BooleanKey& key) const;
  void operator()(const DigestKey& key) const;
  void operator()(const OnlyKey& key) const;
  void operator()(const FixedKey& key) const { reply(key.answer); }
  void operator()(const DeclaredKey& key) const;
  void operator()(const FirstKey& key) const { answer.violation |= !key.same(parameters, value); }
  void operator()(const SecurityKey& key) const { answer.security.*key.value = value; }
  void operator()(const SendTargetsKey&) const { answer.send_targets = value; }
  /// An initiator may say that it does not care for what a target has declared.
  void operator()(const TargetKey&) const { answer.violation |= !is_reserved_answer(value); }
};

/// FirstBurstLength stays within the MaxBurstLength that both have agreed on (section 13.14).
uint32_t most_offered(const NumberKey& key, const Turn& turn) {
  const uint32_t most = turn.offer.*key.value;
  return key.value == &Negotiable::first_burst ? std::min(most, turn.parameters.max_burst) : most;
}

bool is_irrelevant(const KeyRow& row, const SessionParameters& parameters) {
  if (parameters.type == SessionParameters::Type::discovery && !row.in_discovery) return true;
  const NumberKey* number = std::get_if<NumberKey>(&row.kind);
  return number != nullptr && number->value == &Negotiable::first_burst && parameters.initial_r2t &&
         !parameters.immediate_data;
}

void Turn::operator()(const NumberKey& key) const {
  const std::optional<uint64_t> proposed = parse_number(value);
  if (!proposed || *proposed < key.least || *proposed > key.most) return reject();
  const auto number = static_cast<uint32_t>(*proposed);
  uint32_t& settled = parameters.*key.value;
  if (key.result == NumberKey::Result::declared) {
    settled = number;
    return;
  }
  const uint32_t ours = most_offered(key, *this);
  settled = key.result == NumberKey::Result::minimum ? std::min(number, ours) : std::max(number, ours);
  reply(std::to_string(settled));
}

void Turn::operator()(const BooleanKey& key) const {
  const std::optional<bool> proposed = parse_boolean(value);
  if (!proposed) return reject();
  const bool ours = offer.*key.value;
  const bool settled = key.result == BooleanKey::Result::both ? *proposed && ours : *proposed || ours;
  parameters.*key.value = settled;
  reply(settled ? "Yes" : "No");
}

void Turn::operator()(const DigestKey& key) const {
  static constexpr std::array<std::string_view, 2> known{"None", "CRC32C"};
  const std::optional<std::string_view> chosen = choose(value, known);
  if (!chosen) return reject();
  parameters.*key.value = *chosen == "CRC32C";
  reply(*chosen);
}

void Turn::operator()(const OnlyKey& key) const {
  if (choose(value, std::span(&key.value, 1))) return reply(key.value);
  reject();
}

void Turn::operator()(const DeclaredKey& key) const {
  if (value.size() > text_value_max) return reject();
  parameters.*key.value = value;
}

const KeyRow* find_row(std::string_view name) {
  const auto table = key_table();
  const auto row = std::ranges::find(table, name, &KeyRow::name);
  return row == table.end() ? nullptr : &*row;
}

/// Whether it may be said again: when that changes nothing.
bool repeats(const KeyRow& row, std::string_view value, const SessionParameters& parameters) {
  if (std::holds_alternative<FirstKey>(row.kind)) return true;
  if (std::holds_alternative<TargetKey>(row.kind)) return true;
  const auto* declared = std::get_if<DeclaredKey>(&row.kind);
  return declared != nullptr && parameters.*declared->value == value;
}

}  // namespace

TextAnswer Negotiation::answer(std::span<const TextPair> pairs, uint8_t places, SessionParameters& parameters) {
  TextAnswer answer;
  for (const KeyRow& row : key_table()) {
    for (const auto& [key, value] : pairs) {
      if (key != row.name) continue;
      const bool again = !seen_.insert(&row).second && !repeats(row, value, parameters);
      if (again || (row.places & places) == 0) answer.violation = true;
      const Turn turn{row, value, offer_, parameters, answer};
      if (answer.violation) return answer;
      if (is_irrelevant(row, parameters))
        turn.reply("Irrelevant");
      else
        std::visit(turn, row.kind);
    }
  }
  for (const auto& [key, value] : pairs)
    if (find_row(key) == nullptr && !is_reserved_answer(value)) append_pair(answer.text, key, "NotUnderstood");
  return answer;
}

}  // namespace cairn::iscsi
