// volume.json as any text, its checksum made to match: it is refused, or describes a tree that can be walked and that
// is written as it was read.
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/crc32c.h"
#include "store/volume_metadata.h"

namespace {

using namespace cairn;

/// The text with the checksum that it would have if it had been written so; as it is when it is no JSON object.
std::string with_checksum(const std::string& text) {
  nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return text;
  document.erase("checksum");
  const std::string checked = document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  char hex[9];
  std::snprintf(hex, sizeof hex, "%08x", crc32c(checked.data(), checked.size()));
  document["checksum"] = hex;
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void check(const std::string& text) {
  const Result<store::VolumeMetadata> parsed = store::parse_metadata(text, "volume.json");
  if (!parsed.ok()) {
    CAIRN_ASSERT(parsed.error().code == "REPLICA_CORRUPT");
    return;
  }
  const store::VolumeMetadata& metadata = parsed.value();
  CAIRN_ASSERT(!metadata.chain().empty() && metadata.chain().back()->number == metadata.head);
  for (const store::LayerMetadata& layer : metadata.layers) (void)metadata.children(layer.number);
  const std::string written = store::format_metadata(metadata);
  const Result<store::VolumeMetadata> again = store::parse_metadata(written, "volume.json");
  CAIRN_ASSERT(again.ok() && store::format_metadata(again.value()) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(text);
  check(with_checksum(text));
  return 0;
}
