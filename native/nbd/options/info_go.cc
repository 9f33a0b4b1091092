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
  OptionData rest(data);
  InfoRequest parsed;
  std::optional<std::string> name = rest.take_string();
  const std::optional<uint16_t> count = rest.take_u16();
  if (!name || !count) return std::nullopt;
  parsed.name = std::move(*name);
  for (uint16_t i = 0; i < *count; ++i) {
    const std::optional<uint16_t> info = rest.take_u16();
    if (!info) return std::nullopt;
    parsed.wanted.push_back(*info);
  }
  if (!rest.at_end()) return std::nullopt;
  return parsed;
}

/// The export, or null after the error has been written.
std::shared_ptr<Export> find_or_refuse(OptionRequest& request, const std::optional<InfoRequest>& parsed) {
  if (!parsed) {
    request.reply.error(wire::reply_error_invalid, "the option's data is malformed");
    return nullptr;
  }
  if (parsed->name.size() > name_length_max) {
    request.reply.error(wire::reply_error_too_big, "an export name has at most 4096 bytes");
    return nullptr;
  }
  std::shared_ptr<Export> found = find_export(request, parsed->name);
  if (found == nullptr || locate(request.site, *found) == Whereabouts::unreachable) {
    request.reply.error(wire::reply_error_unknown,
                        parsed->name.empty() ? "there is no default export" : "there is no such export");
    return nullptr;
  }
  return found;
}

void describe(OptionRequest& request, const InfoRequest& wanted, const Export& exported) {
  const Geometry& geometry = exported.geometry();
  wire::InfoExport info;
  info.size = geometry.size;
  info.flags = exported.transmission_flags(request.negotiated.structured_replies);
  request.reply.info(wire::bytes_of(info));
  if (wanted.wants(wire::info_name)) request.reply.info_string(wire::info_name, exported.name());
  if (wanted.wants(wire::info_description) && !exported.description().empty())
    request.reply.info_string(wire::info_description, exported.description());
  if (wanted.wants(wire::info_block_size)) {
    wire::InfoBlockSize sizes;
    sizes.minimum = geometry.logical_block_size;
    sizes.preferred = std::max(geometry.preferred_block_size, geometry.logical_block_size);
    sizes.maximum = exported.maximum_block_size();
    request.reply.info(wire::bytes_of(sizes));
  }
  request.reply.ack();
}

}  // namespace

OptionOutcome answer_info(OptionRequest& request) {
  const std::optional<InfoRequest> parsed = parse(request.data);
  const std::shared_ptr<Export> found = find_or_refuse(request, parsed);
  if (found != nullptr) describe(request, *parsed, *found);
  return {};
}

OptionOutcome answer_go(OptionRequest& request) {
  using Next = OptionOutcome::Next;
  const std::optional<InfoRequest> parsed = parse(request.data);
  std::shared_ptr<Export> found = find_or_refuse(request, parsed);
  if (found == nullptr) return {};
  if (locate(request.site, *found) == Whereabouts::elsewhere) return {Next::transfer, found};
  if (found->removed()) {
    request.reply.error(wire::reply_error_unknown, "the export has just been removed");
    return {};
  }
  if (found->connections() >= connections_per_export_max) {
    request.reply.error(wire::reply_error_policy, "the export has as many connections as it may have");
    return {};
  }
  // Contexts that were selected for one name do not hold for another.
  if (request.negotiated.meta_export != parsed->name) request.negotiated.base_allocation = false;
  describe(request, *parsed, *found);
  return {Next::transmit, found};
}

}  // namespace cairn::nbd
