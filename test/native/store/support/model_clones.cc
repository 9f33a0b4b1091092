#include "test/native/store/support/model_clones.h"

#include <algorithm>

namespace cairn::test {
namespace {
constexpr uint64_t block_sectors = store_block_size / sector_size;
}

store::CloneTarget ModelClones::target(const std::string& snapshot_id) {
  return {snapshot_id, directory_.path() + "/clone-" + std::to_string(++made_), new_id(), new_id()};
}

uint64_t ModelClones::visit() {
  if (clones_.empty()) return 0;
  const auto at = std::next(clones_.begin(), static_cast<ptrdiff_t>(below(clones_.size())));
  if (below(6) == 0) {
    std::filesystem::remove_all(at->first);  // its links go; what it was made of stays
    clones_.erase(at);
    return 1;
  }
  OpenedStore store(at->first, boot_, mode_);
  EXPECT_EQ(store.error(), "");
  if (!store.error().empty()) return 1;
  store->resume_maintenance();
  const uint64_t operations = work(store, at->second);
  EXPECT_TRUE(succeeded(store.wait(store->close())));
  EXPECT_EQ(store.failure(), "");
  return operations;
}

uint64_t ModelClones::work(OpenedStore& store, SectorTags& content) {
  if (below(5) == 0) {
    EXPECT_TRUE(succeeded(store.wait(store->flatten())));
  }
  const uint64_t operations = 5 + below(20);
  for (uint64_t step = 0; step < operations; ++step) {
    if (below(2) == 0) {
      write(store, content);
    } else {
      const uint64_t first = below(content.size());
      check(store, content, first, std::min<uint64_t>(1 + below(200), content.size() - first));
    }
  }
  return operations;
}

void ModelClones::write(OpenedStore& store, SectorTags& content) {
  const uint64_t first = below(content.size() / block_sectors) * block_sectors;
  const uint64_t count = std::min<uint64_t>((1 + below(8)) * block_sectors, content.size() - first);
  const AlignedMemory memory(count * sector_size);
  const uint64_t tag = below(5) == 0 ? 0 : ++last_tag_;
  for (uint64_t at = 0; at < count; ++at)
    fill_model_sector(memory.span().subspan(at * sector_size, sector_size), tag, first + at);
  Task<Status> change = tag == 0 ? store->trim(first * sector_size, count * sector_size, Durability::buffered)
                                 : store->write(first * sector_size, memory.span(), Durability::buffered);
  EXPECT_TRUE(succeeded(store.wait(std::move(change))));
  std::fill_n(content.begin() + static_cast<ptrdiff_t>(first), count, tag);
}

void ModelClones::check(OpenedStore& store, const SectorTags& content, uint64_t first, uint64_t count) {
  const uint64_t begin = first / block_sectors * block_sectors;
  const uint64_t end = (first + count + block_sectors - 1) / block_sectors * block_sectors;
  const AlignedMemory memory((end - begin) * sector_size);
  EXPECT_TRUE(succeeded(store.wait(store->read(begin * sector_size, memory.span()))));
  for (uint64_t sector = begin; sector < end; ++sector) {
    if (holds_tag(memory.span().subspan((sector - begin) * sector_size, sector_size), content[sector], sector))
      continue;
    ADD_FAILURE() << "sector " << sector << " of a clone does not hold write " << content[sector];
    return;
  }
}

void ModelClones::check_all() {
  for (const auto& [directory, content] : clones_) {
    OpenedStore store(directory, boot_, mode_);
    ASSERT_EQ(store.error(), "");
    check(store, content, 0, content.size());
    EXPECT_TRUE(succeeded(store.wait(store->close())));
  }
}

}  // namespace cairn::test
