#include "store/read_index.h"

#include <gtest/gtest.h>

#include "test/native/store/store_fixture.h"

namespace cairn::store {
namespace {

TEST(ReadIndex, RandomAssignmentsReadAsAPlainArray) {
  std::mt19937_64 random(test::test_seed());
  for (int round = 0; round < 60; ++round) {
    const uint64_t blocks = 1 + random() % 5000;
    const uint64_t length_max = round % 3 == 0 ? 3 : round % 3 == 1 ? 300 : 2000;
    ReadIndex index(blocks);
    std::vector<Source> model(blocks);
    for (int step = 0; step < 400; ++step) {
      const uint64_t first = random() % blocks;
      const uint64_t count = std::min(1 + random() % length_max, blocks - first);
      const Source source(static_cast<uint16_t>(random() % 4), random() % 4 == 0);
      index.assign(first, count, source);
      std::fill_n(model.begin() + static_cast<ptrdiff_t>(first), count, source);
      const uint64_t at = random() % blocks;
      const uint64_t end = at + 1 + random() % (blocks - at);
      const SourceRun run = index.run_at(at, end);
      uint64_t expected = 1;
      while (at + expected < end && model[at + expected] == model[at]) ++expected;
      ASSERT_EQ(run.source, model[at]);
      ASSERT_EQ(run.count, expected);
    }
    for (uint64_t block = 0; block < blocks; ++block) ASSERT_EQ(index.at(block), model[block]);
    for (uint16_t slot = 1; slot < 5; ++slot)
      ASSERT_EQ(index.mentions(slot),
                std::any_of(model.begin(), model.end(), [slot](Source s) { return s.slot() == slot; }));
  }
}

TEST(ReadIndex, AnEmptyVolumeTakesNoPages) {
  ReadIndex index(64 * tebibyte / 4096);
  EXPECT_EQ(index.page_bytes(), 0U);
  EXPECT_EQ(index.run_at(0, index.block_count()).count, index.block_count());
}

TEST(ReadIndex, AMillionScatteredBlocksOfOneTebibyteTakeLessThan24MiB) {
  ReadIndex index(tebibyte / 4096);
  std::mt19937_64 random(1);
  for (int i = 0; i < 1'000'000; ++i) index.assign(random() % index.block_count(), 1, Source(1, false));
  EXPECT_LT(index.page_bytes() + tebibyte / (2 * mebibyte) * 8, 24 * mebibyte);
}

TEST(ReadIndex, AChunkWrittenPieceByPieceBecomesOneEntry) {
  ReadIndex index(2048);
  for (uint64_t block = 0; block < 2048; ++block) index.assign(block, 1, Source(1, false));
  EXPECT_EQ(index.page_bytes(), 0U);
}

}  // namespace
}  // namespace cairn::store
