#include "store/volume_metadata.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/crc32c.h"
#include "store/replica_files.h"
#include "store/uuid.h"

namespace cairn::store {
namespace {

using nlohmann::json;

/// A layer's fields are the deepest; what a newer minor version adds may go further.
constexpr int document_depth_max = 16;

/// The document is JSON, but no description of a volume.
struct Unfit {
  const char* why;
};

// Keys are sorted and the text has no white space, so that the checksum is over one well-defined text.
std::string checksum_of(const json& document) {
  const std::string text = document.dump();
  char hex[9];
  std::snprintf(hex, sizeof hex, "%08x", crc32c(text.data(), text.size()));
  return hex;
}

/// The number in `value`. The library would convert whatever number it finds: a fraction or a negative one without a
/// word, and one out of range with undefined behaviour.
template <typename Number>
Number whole_number(const json& value) {
  if (!value.is_number_unsigned()) throw Unfit{"a number is missing or is not a whole one"};
  const uint64_t number = value.get<uint64_t>();
  if (number > std::numeric_limits<Number>::max()) throw Unfit{"a number is out of range"};
  return static_cast<Number>(number);
}

/// The library parses a document of any depth, and then walks it recursively: one made of brackets would end the stack.
json parse_shallow(const std::string& text) {
  return json::parse(text, [](int depth, json::parse_event_t, json&) {
    if (depth > document_depth_max) throw Unfit{"it is nested too deeply"};
    return true;
  });
}

json layer_to_json(const LayerMetadata& layer) {
  return {{"number", layer.number},        {"snapshot", layer.snapshot_id},
          {"name", layer.snapshot_name},   {"parent", layer.parent ? json(*layer.parent) : json(nullptr)},
          {"removed", layer.removed},      {"createdMs", layer.created_ms},
          {"sizeBytes", layer.size_bytes}, {"checksummed", layer.checksummed}};
}

LayerMetadata layer_from_json(const json& document) {
  LayerMetadata layer;
  layer.number = whole_number<uint32_t>(document.at("number"));
  layer.snapshot_id = document.at("snapshot").get<std::string>();
  // Format 1.0 had no names: the rule for what a newer minor version adds is that it has a default.
  layer.snapshot_name = document.value("name", layer.snapshot_id);
  if (!document.at("parent").is_null()) layer.parent = whole_number<uint32_t>(document.at("parent"));
  layer.removed = document.at("removed").get<bool>();
  layer.created_ms = whole_number<uint64_t>(document.at("createdMs"));
  layer.checksummed = document.value("checksummed", false);
  layer.size_bytes = whole_number<uint64_t>(document.value("sizeBytes", json(uint64_t{0})));
  return layer;
}

/// What is inconsistent, or empty.
std::string inconsistency(const VolumeMetadata& metadata) {
  if (!parse_uuid(metadata.volume_id) || !parse_uuid(metadata.replica_id)) return "an identity is not a UUID";
  if (metadata.block_size != 512 && metadata.block_size != 4096) return "the block size is not 512 or 4096";
  if (metadata.size_bytes == 0 || metadata.size_bytes % store_block_size != 0 || metadata.size_bytes > volume_size_max)
    return "the size is not a multiple of 4096 in range";
  if (metadata.layers.size() > layer_count_max) return "there are too many layers";
  std::set<uint32_t> known;
  for (const LayerMetadata& layer : metadata.layers) {
    if (layer.number >= metadata.next_layer) return "a layer's number is out of range";
    // Parents stand before their children, which also rules cycles out.
    if (layer.parent && !known.contains(*layer.parent)) return "a layer's parent is missing";
    if (!known.insert(layer.number).second) return "a layer is there twice";
    if ((layer.number == metadata.head) != layer.snapshot_id.empty())
      return "the head is not the one layer without a snapshot";
  }
  if (!known.contains(metadata.head)) return "the head is missing";
  if (metadata.overlay) {
    const LayerMetadata* overlay = metadata.layer(*metadata.overlay);
    if (overlay == nullptr || !overlay->removed || overlay->parent != metadata.head)
      return "the overlay does not lie over the head";
  }
  return "";
}

Error corrupt(const std::string& path, const std::string& what) {
  return {"REPLICA_CORRUPT", path + " is damaged (" + what + "): restore this replica from a backup or a peer"};
}

Result<VolumeMetadata> read_from(const std::string& path) {
  Result<std::string> text = read_text(path);
  if (!text.ok()) return text.error();
  return parse_metadata(text.value(), path);
}

Result<Unit> write_text(const std::string& path, const std::string& text) {
  Result<UniqueFd> file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.ok()) return file.error();
  Result<Unit> written = write_all(file.value().get(), path, std::as_bytes(std::span(text)), 0);
  return written.ok() ? sync_file(file.value().get(), path) : written;
}

Result<Unit> rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error("replace", to, errno);
  return Unit{};
}

}  // namespace

LayerMetadata* VolumeMetadata::layer(uint32_t number) {
  for (LayerMetadata& candidate : layers)
    if (candidate.number == number) return &candidate;
  return nullptr;
}

const LayerMetadata* VolumeMetadata::layer(uint32_t number) const {
  return const_cast<VolumeMetadata*>(this)->layer(number);
}

const LayerMetadata* VolumeMetadata::snapshot(const std::string& id) const {
  for (const LayerMetadata& candidate : layers)
    if (candidate.snapshot_id == id && !id.empty()) return &candidate;
  return nullptr;
}

const LayerMetadata* VolumeMetadata::snapshot_named(const std::string& name) const {
  for (const LayerMetadata& candidate : layers)
    if (!candidate.snapshot_id.empty() && !candidate.removed && candidate.snapshot_name == name) return &candidate;
  return nullptr;
}

std::vector<const LayerMetadata*> VolumeMetadata::chain() const { return chain_of(head); }

std::vector<const LayerMetadata*> VolumeMetadata::chain_of(uint32_t number) const {
  // Parents stand before their children: one pass from behind finds them all.
  std::vector<const LayerMetadata*> found;
  std::optional<uint32_t> next = number;
  for (auto at = layers.rbegin(); at != layers.rend() && next; ++at) {
    if (at->number != *next) continue;
    found.push_back(&*at);
    next = at->parent;
  }
  std::reverse(found.begin(), found.end());
  return found;
}

std::vector<const LayerMetadata*> VolumeMetadata::open_chain() const {
  std::vector<const LayerMetadata*> layers_read = chain();
  if (overlay) layers_read.push_back(layer(*overlay));
  return layers_read;
}

std::vector<uint32_t> VolumeMetadata::children(uint32_t number) const {
  std::vector<uint32_t> found;
  for (const LayerMetadata& candidate : layers)
    if (candidate.parent == number) found.push_back(candidate.number);
  return found;
}

std::string metadata_path(const std::string& directory) { return directory + "/volume.json"; }

std::string format_metadata(const VolumeMetadata& metadata) {
  json layers = json::array();
  for (const LayerMetadata& layer : metadata.layers) layers.push_back(layer_to_json(layer));
  json document = {{"format", {{"major", format_major}, {"minor", format_minor}}},
                   {"volumeId", metadata.volume_id},
                   {"replicaId", metadata.replica_id},
                   {"sizeBytes", metadata.size_bytes},
                   {"blockSize", metadata.block_size},
                   {"head", metadata.head},
                   {"nextLayer", metadata.next_layer},
                   {"overlay", metadata.overlay ? json(*metadata.overlay) : json(nullptr)},
                   {"flattening", metadata.flattening},
                   {"layers", std::move(layers)}};
  document["checksum"] = checksum_of(document);
  return document.dump(2) + "\n";
}

Result<VolumeMetadata> parse_metadata(const std::string& text, const std::string& path) {
  try {
    json document = parse_shallow(text);
    const std::string checksum = document.at("checksum").get<std::string>();
    document.erase("checksum");
    if (checksum != checksum_of(document)) return corrupt(path, "its checksum does not match");
    if (whole_number<uint32_t>(document.at("format").at("major")) != format_major)
      return Error{"REPLICA_CORRUPT", path + " was written by a newer Cairn: upgrade this node"};
    VolumeMetadata metadata;
    metadata.volume_id = document.at("volumeId").get<std::string>();
    metadata.replica_id = document.at("replicaId").get<std::string>();
    metadata.size_bytes = whole_number<uint64_t>(document.at("sizeBytes"));
    metadata.block_size = whole_number<uint32_t>(document.at("blockSize"));
    metadata.head = whole_number<uint32_t>(document.at("head"));
    metadata.next_layer = whole_number<uint32_t>(document.at("nextLayer"));
    metadata.flattening = document.value("flattening", false);
    const json overlay = document.value("overlay", json(nullptr));
    if (!overlay.is_null()) metadata.overlay = whole_number<uint32_t>(overlay);
    for (const json& layer : document.at("layers")) metadata.layers.push_back(layer_from_json(layer));
    const std::string wrong = inconsistency(metadata);
    if (!wrong.empty()) return corrupt(path, wrong);
    return metadata;
  } catch (const Unfit& found) {
    return corrupt(path, found.why);
  } catch (const json::exception&) {
    return corrupt(path, "it is not the JSON document it should be");
  }
}

std::string metadata_copy_path(const std::string& directory) { return directory + "/volume.copy.json"; }

Result<VolumeMetadata> read_metadata(const std::string& directory) { return read_from(metadata_path(directory)); }

Result<FoundMetadata> find_metadata(const std::string& directory) {
  Result<VolumeMetadata> present = read_from(metadata_path(directory));
  Result<VolumeMetadata> copy = read_from(metadata_copy_path(directory));
  if (present.ok() && copy.ok()) {
    // The copy of a change that was cut short is newer than what it is a copy of: no damage, but it must not stay.
    const bool agree = format_metadata(present.value()) == format_metadata(copy.value());
    return FoundMetadata{std::move(present.value()), "", agree};
  }
  if (present.ok()) return FoundMetadata{std::move(present.value()), copy.error().message, false};
  if (copy.ok()) return FoundMetadata{std::move(copy.value()), present.error().message, false};
  return present.error();
}

Result<Unit> write_metadata(const std::string& directory, const VolumeMetadata& metadata) {
  Result<Unit> done = stage_metadata(directory, metadata);
  if (done.ok()) done = publish_metadata(directory);
  return done.ok() ? sync_directory(directory) : done;
}

Result<Unit> stage_metadata(const std::string& directory, const VolumeMetadata& metadata) {
  CAIRN_ASSERT(inconsistency(metadata).empty());
  const std::string text = format_metadata(metadata);
  // The copy first, and durably: if volume.json is damaged later, the copy is never an older tree, whose files may be
  // gone.
  Result<Unit> done = write_text(metadata_copy_path(directory) + ".new", text);
  if (done.ok()) done = rename_file(metadata_copy_path(directory) + ".new", metadata_copy_path(directory));
  if (done.ok()) done = sync_directory(directory);
  return done.ok() ? write_text(metadata_path(directory) + ".new", text) : done;
}

Result<Unit> publish_metadata(const std::string& directory) {
  return rename_file(metadata_path(directory) + ".new", metadata_path(directory));
}

}  // namespace cairn::store
