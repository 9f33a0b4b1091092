// volume.json: what is read of older versions, and what is refused.
#include <nlohmann/json.hpp>

#include "base/crc32c.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

store::VolumeMetadata small_metadata() {
  store::VolumeMetadata metadata;
  metadata.volume_id = new_id();
  metadata.replica_id = new_id();
  metadata.size_bytes = 4096;
  metadata.block_size = 4096;
  metadata.next_layer = 1;
  metadata.layers.push_back(store::LayerMetadata());
  return metadata;
}

/// A volume.json that says `size` (JSON text) where the size stands, with the checksum that it then has.
std::string described_with(const std::string& size) {
  nlohmann::json document = nlohmann::json::parse(store::format_metadata(small_metadata()));
  document.erase("checksum");
  document["sizeBytes"] = nlohmann::json::parse(size);
  const std::string text = document.dump();
  char hex[9];
  std::snprintf(hex, sizeof hex, "%08x", crc32c(text.data(), text.size()));
  document["checksum"] = hex;
  return document.dump();
}

TEST(VolumeJson, TakesNoNumberThatDoesNotFitItsField) {
  ASSERT_TRUE(succeeded(store::parse_metadata(described_with("8192"), "volume.json")));
  // The library would make something of each of these: an undefined one of the first, 8192 of the second.
  for (const char* size : {"8e87", "8192.5", "-1", "true", "null", "\"8192\"", "18446744073709551616"})
    EXPECT_EQ(code_of(store::parse_metadata(described_with(size), "volume.json")), "REPLICA_CORRUPT") << size;
}

TEST(VolumeJson, NestedBeyondTheStackIsRefused) {
  constexpr size_t depth = 1'000'000;
  const std::string text = R"({"checksum":"","a":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  EXPECT_EQ(code_of(store::parse_metadata(text, "volume.json")), "REPLICA_CORRUPT");
}

TEST(VolumeJson, NamesAreTheIdsInTheFirstMinorVersionOfTheFormat) {
  // As format 1.0 wrote it.
  const std::string text = R"({"blockSize":4096,"checksum":"6e3a564b","format":{"major":1,"minor":0},"head":1,)"
                           R"("layers":[{"createdMs":1,"number":0,"parent":null,"removed":false,)"
                           R"("snapshot":"00000000-0000-4000-8000-000000000003"},)"
                           R"({"createdMs":2,"number":1,"parent":0,"removed":false,"snapshot":""}],"nextLayer":2,)"
                           R"("replicaId":"00000000-0000-4000-8000-000000000002","sizeBytes":4096,)"
                           R"("volumeId":"00000000-0000-4000-8000-000000000001"})";
  const Result<store::VolumeMetadata> parsed = store::parse_metadata(text, "volume.json");
  ASSERT_TRUE(succeeded(parsed));
  EXPECT_EQ(parsed.value().layers[0].snapshot_name, "00000000-0000-4000-8000-000000000003");
  EXPECT_EQ(parsed.value().layers[1].snapshot_name, "");
}

}  // namespace
}  // namespace cairn::test
