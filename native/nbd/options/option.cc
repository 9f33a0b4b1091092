#include "nbd/options/option.h"

#include <algorithm>
#include <cstring>

namespace cairn::nbd {
namespace {

struct Row {
  wire::Option option;
  OptionHandler answer;
};

constexpr Row table[] = {
    {wire::option_export_name, answer_export_name},
    {wire::option_abort, answer_abort},
    {wire::option_list, answer_list},
    {wire::option_starttls, answer_starttls},
    {wire::option_info, answer_info},
    {wire::option_go, answer_go},
    {wire::option_structured_reply, answer_structured_reply},
    {wire::option_list_meta_context, answer_list_meta_context},
    {wire::option_set_meta_context, answer_set_meta_context},
};

}  // namespace

OptionHandler find_option_handler(uint32_t option) {
  const auto* row = std::ranges::find(table, option, &Row::option);
  return row == std::end(table) ? nullptr : row->answer;
}

std::shared_ptr<Export> find_export(const OptionRequest& request, const std::string& name) {
  if (!name.empty()) return request.site.exports.find(name);
  const std::string& chosen_before = request.negotiated.default_export;
  return chosen_before.empty() ? request.site.exports.find_default() : request.site.exports.find(chosen_before);
}

Whereabouts locate(const HandshakeSite& site, const Export& exported) {
  if (exported.reactor() == site.reactor) return Whereabouts::here;
  const bool leaves_process = exported.reactor() == nullptr;
  return leaves_process && !site.may_leave_process ? Whereabouts::unreachable : Whereabouts::elsewhere;
}

template <typename Field>
std::optional<Field> OptionData::take() {
  Field field;
  if (rest_.size() < sizeof field) return std::nullopt;
  std::memcpy(&field, rest_.data(), sizeof field);
  rest_ = rest_.subspan(sizeof field);
  return field;
}

std::optional<uint16_t> OptionData::take_u16() { return take<wire::u16>(); }
std::optional<uint32_t> OptionData::take_u32() { return take<wire::u32>(); }

std::optional<std::string> OptionData::take_string() {
  const std::optional<uint32_t> length = take_u32();
  if (!length || *length > rest_.size()) return std::nullopt;
  std::string text(reinterpret_cast<const char*>(rest_.data()), *length);
  rest_ = rest_.subspan(*length);
  return text;
}

}  // namespace cairn::nbd
