#include "test/native/store/support/model_readers.h"

#include <algorithm>

namespace cairn::test {
namespace {
constexpr uint64_t block_sectors = store_block_size / sector_size;
}

Task<> ModelReaders::open(store::LayeredStore& store, std::string id, SectorTags content) {
  Result<std::unique_ptr<BlockDevice>> opened = co_await store.open_snapshot(id);
  EXPECT_TRUE(succeeded(opened));
  if (!opened.ok()) co_return;
  EXPECT_EQ(opened.value()->geometry().size, content.size() * sector_size);
  readers_[id] = {std::move(opened.value()), std::move(content)};
}

Task<> ModelReaders::visit() {
  if (readers_.empty()) co_return;
  const auto at = std::next(readers_.begin(), static_cast<ptrdiff_t>(below(readers_.size())));
  if (below(8) == 0)
    readers_.erase(at);
  else
    co_await read(at->second);
}

Task<> ModelReaders::read(Reader& reader) {
  const uint64_t blocks = reader.content.size() / block_sectors;
  const uint64_t first = below(blocks);
  const uint64_t count = std::min(1 + below(memory_.span().size() / store_block_size), blocks - first);
  const std::span<std::byte> bytes = memory_.span().first(count * store_block_size);
  EXPECT_TRUE(succeeded(co_await reader.device->read(first * store_block_size, bytes)));
  for (uint64_t sector = 0; sector < count * block_sectors; ++sector) {
    const uint64_t of_volume = first * block_sectors + sector;
    if (holds_tag(bytes.subspan(sector * sector_size, sector_size), reader.content[of_volume], of_volume)) continue;
    ADD_FAILURE() << "sector " << of_volume << " of a snapshot that is read does not hold write "
                  << reader.content[of_volume];
    co_return;
  }
}

}  // namespace cairn::test
