// NBD_OPT_INFO and NBD_OPT_GO: what an export is like, and the way into the transmission phase that can fail politely.
#include <algorithm>

#include "nbd/limits.h"
#include "nbd/options/option.h"

namespace cairn::nbd {
namespace {

struct InfoRequest {
  std::string name;
  std::vector<uint16_t> wanted;

  bool wants(wire::Info info) const { return std::ranges::find(wanted, info) != wanted.end(); }
};

std::optional<InfoRequest> parse(std::span<const std::byte> data) {
  MessageReader rest(data);
  InfoRequest parsed;
  std::optional<std::string> name = rest.take_counted();
  const std::optional<wire::u16> count = rest.take<wire::u16>();
  if (!name || !count) return std::nullopt;
  parsed.name = std::move(*name);
  for (uint16_t i = 0; i < *count; ++i) {
    const std::optional<wire::u16> info = rest.take<wire::u16>();
    if (!info) return std::nullopt;
    parsed.wanted.push_back(*info);
  }
  if (!rest.at_end()) return std::nullopt;
  return parsed;
}

/// The export, or null after the error has been written.
ExportName find_or_refuse(OptionRequest& request, const std::optional<InfoRequest>& parsed) {
  if (!parsed) {
    request.reply.error(wire::reply_error_invalid, "the option's data is malformed");
    return {};
  }
  if (parsed->name.size() > name_length_max) {
    request.reply.error(wire::reply_error_too_big, "an export name has at most 4096 bytes");
    return {};
  }
  ExportName found = find_export(request, parsed->name);
  if (found.exported == nullptr || locate(request.site, *found.exported) == Whereabouts::unreachable) {
    request.reply.error(wire::reply_error_unknown,
                        parsed->name.empty() ? "there is no default export" : "there is no such export");
    return {};
  }
  return found;
}

void tell_block_sizes(OptionReply& reply, const ExportDescription& description) {
  const Geometry& geometry = description.geometry;
  wire::InfoBlockSize sizes;
  sizes.minimum = geometry.logical_block_size;
  sizes.preferred = std::max(geometry.preferred_block_size, geometry.logical_block_size);
  sizes.maximum = description.payload_max;
  reply.info(wire::bytes_of(sizes));
}

void describe(OptionRequest& request, const InfoRequest& wanted, const ExportName& name) {
  const ExportDescription& description = request.answer->description;
  wire::InfoExport info;
  info.size = description.geometry.size;
  info.flags = transmission_flags(description, request.negotiated);
  request.reply.info(wire::bytes_of(info));
  if (wanted.wants(wire::info_name)) request.reply.info_string(wire::info_name, name.canonical());
  if (wanted.wants(wire::info_description) && !description.description.empty())
    request.reply.info_string(wire::info_description, description.description);
  if (wanted.wants(wire::info_block_size)) tell_block_sizes(request.reply, description);
  request.reply.ack();
}

}  // namespace

OptionOutcome answer_info(OptionRequest& request) {
  const std::optional<InfoRequest> parsed = parse(request.data);
  const ExportName found = find_or_refuse(request, parsed);
  if (found.exported == nullptr) return {};
  if (request.answer == nullptr) return ask(OptionOutcome::Next::describe, found);
  if (request.answer->found()) {
    describe(request, *parsed, found);
  } else {
    refuse(request.reply, *request.answer);
  }
  return {};
}

OptionOutcome answer_go(OptionRequest& request) {
  using Next = OptionOutcome::Next;
  const std::optional<InfoRequest> parsed = parse(request.data);
  const ExportName found = find_or_refuse(request, parsed);
  if (found.exported == nullptr) return {};
  if (locate(request.site, *found.exported) == Whereabouts::elsewhere) return {Next::transfer, found.exported, {}};
  if (request.answer == nullptr) return ask(Next::enter, found);
  if (!request.answer->found()) {
    refuse(request.reply, *request.answer);
    return {};
  }
  request.negotiated.enter(parsed->name);
  describe(request, *parsed, found);
  return {Next::transmit, found.exported, {}};
}

}  // namespace cairn::nbd
