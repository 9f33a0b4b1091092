// Reads and writes that are not whole blocks in aligned memory, durability, and counters.
#include "test/native/store/store_fixture.h"
#include "test/native/store/support/write_together.h"

namespace cairn::test {
namespace {

/// What the block at 4096 is before a write of a part of it.
enum class Before { absent, zero, data, data_below, zero_below, zero_over_data, data_over_data };
constexpr Before all_before[] = {Before::absent,     Before::zero,           Before::data,          Before::data_below,
                                 Before::zero_below, Before::zero_over_data, Before::data_over_data};

/// Makes it so; returns what the block reads as.
Bytes make(StoreFixture& fixture, Before before) {
  const auto write = [&](uint32_t tag) { EXPECT_TRUE(succeeded(fixture.write(4096, pattern(tag, 4096)))); };
  const auto trim = [&] { EXPECT_TRUE(succeeded(fixture.trim(4096, 4096))); };
  const auto cut = [&] { EXPECT_TRUE(succeeded(fixture.snapshot(new_id()))); };
  switch (before) {
    case Before::absent:
      return zeros(4096);
    case Before::zero:
      return cut(), write(1), trim(), zeros(4096);
    case Before::data:
      return write(1), pattern(1, 4096);
    case Before::data_below:
      return write(1), cut(), pattern(1, 4096);
    case Before::zero_below:
      return cut(), write(1), trim(), cut(), zeros(4096);
    case Before::zero_over_data:
      return write(1), cut(), trim(), zeros(4096);
    case Before::data_over_data:
      return write(1), cut(), write(2), pattern(2, 4096);
  }
  return {};
}

TEST(StoreDataPath, APartOfABlockIsWrittenWhateverTheBlockWas) {
  for (const Before before : all_before) {
    for (const auto& [offset, length] :
         {std::pair{0, 512}, std::pair{512, 1024}, std::pair{3584, 512}, std::pair{0, 3584}}) {
      StoreFixture fixture(mebibyte, 512);
      Bytes expected = make(fixture, before);
      const Bytes part = pattern(7, static_cast<size_t>(length));
      ASSERT_TRUE(succeeded(fixture.write(4096 + static_cast<uint64_t>(offset), part)));
      std::copy(part.begin(), part.end(), expected.begin() + offset);
      EXPECT_EQ(fixture.read(4096, 4096), expected) << static_cast<int>(before) << " at " << offset;
      EXPECT_EQ(fixture.read(0, 4096), zeros(4096));
      EXPECT_EQ(fixture.read(8192, 4096), zeros(4096));
      EXPECT_EQ(fixture.read(4096 + static_cast<uint64_t>(offset), static_cast<size_t>(length)), part);
    }
  }
}

TEST(StoreDataPath, AWriteOverSeveralBlocksKeepsTheirOtherParts) {
  StoreFixture fixture(mebibyte, 512);
  Bytes expected = pattern(1, 16384);
  ASSERT_TRUE(succeeded(fixture.write(0, expected)));
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  const Bytes part = pattern(2, 9216);
  ASSERT_TRUE(succeeded(fixture.write(3584, part)));
  std::copy(part.begin(), part.end(), expected.begin() + 3584);
  EXPECT_EQ(fixture.read(0, 16384), expected);
}

TEST(StoreDataPath, MemoryThatDirectIoDoesNotTakeWorksAsWell) {
  for (const store::CacheMode mode : {store::CacheMode::none, store::CacheMode::writeback}) {
    StoreFixture fixture(mebibyte, 4096, mode);
    AlignedMemory memory(16384);
    const Bytes bytes = pattern(3, 8192);
    std::copy(bytes.begin(), bytes.end(), memory.span().begin() + 7);
    ASSERT_TRUE(
        succeeded(fixture.wait(fixture.store().write(4096, memory.span().subspan(7, 8192), Durability::buffered))));
    EXPECT_EQ(fixture.read(4096, 8192), bytes);
    std::fill(memory.span().begin(), memory.span().end(), std::byte{0});
    ASSERT_TRUE(succeeded(fixture.wait(fixture.store().read(4096, memory.span().subspan(13, 8192)))));
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), memory.span().begin() + 13));
    EXPECT_EQ(memory.span()[12], std::byte{0});
    EXPECT_EQ(memory.span()[13 + 8192], std::byte{0});
  }
}

TEST(StoreDataPath, ARangeOverManyLayersIsReadWhole) {
  constexpr uint64_t blocks = 256;
  StoreFixture fixture(4 * mebibyte, 4096);
  Bytes expected(blocks * 4096);
  for (uint32_t layer = 0; layer < 24; ++layer) {
    for (uint64_t block = layer % 7; block < blocks; block += 7 + layer) {
      const Bytes bytes = layer % 5 == 4 ? zeros(4096) : pattern(layer * 1000 + static_cast<uint32_t>(block), 4096);
      const Status done = layer % 5 == 4 ? fixture.trim(block * 4096, 4096) : fixture.write(block * 4096, bytes);
      ASSERT_TRUE(succeeded(done));
      std::copy(bytes.begin(), bytes.end(), expected.begin() + static_cast<ptrdiff_t>(block * 4096));
    }
    ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  }
  EXPECT_EQ(fixture.read(0, expected.size()), expected);
  fixture.close();
  fixture.open();
  EXPECT_EQ(fixture.read(0, expected.size()), expected);
}

TEST(StoreDataPath, TheLastBlockOfAVolumeIsLikeAnyOther) {
  constexpr uint64_t size = 10 * mebibyte + 4096;  // not a whole chunk, and not a whole map sector
  StoreFixture fixture(size, 512);
  ASSERT_TRUE(succeeded(fixture.write(size - 8192, pattern(1, 8192))));
  ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
  ASSERT_TRUE(succeeded(fixture.trim(size - 4096, 4096)));
  ASSERT_TRUE(succeeded(fixture.write(size - 512, pattern(2, 512))));
  fixture.close();
  fixture.open();
  EXPECT_EQ(fixture.read(size - 512, 512), pattern(2, 512));
  EXPECT_EQ(fixture.read(size - 4096, 3584), zeros(3584));
}

/// What reaches the files, by kind and file name.
class IoCounter final : public IoTap {
 public:
  Status before(const Event&) override { return Status(); }
  void after(const Event& event) override {
    if (event.kind == Kind::write && event.durable) ++durable_writes;
    if (event.kind == Kind::write) ++writes;
    if (event.kind == Kind::sync) ++syncs;
    if (event.kind == Kind::punch) ++punches;
  }
  int durable_writes = 0, writes = 0, syncs = 0, punches = 0;
};

class StoreDurability : public ::testing::Test {
 protected:
  explicit StoreDurability(store::CacheMode mode = store::CacheMode::none) : fixture(mebibyte, 4096, mode) {
    fixture.loop().reactor().set_tap(&counter);
  }
  ~StoreDurability() override { fixture.loop().reactor().set_tap(nullptr); }
  StoreFixture fixture;
  IoCounter counter;
};

class StoreWriteThrough : public StoreDurability {
 protected:
  StoreWriteThrough() : StoreDurability(store::CacheMode::writethrough) {}
};

TEST_F(StoreWriteThrough, OverwritesThatAreUnderWayTogetherShareSyncs) {
  constexpr uint64_t count = 32;
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, count * 4096))));
  counter = IoCounter();
  AlignedMemory block(4096);
  std::fill(block.span().begin(), block.span().end(), std::byte{7});
  ASSERT_TRUE(succeeded(fixture.wait(write_together(fixture.store(), block.span(), count))));
  EXPECT_EQ(counter.writes, static_cast<int>(count));
  EXPECT_EQ(counter.durable_writes, 0);
  // One begins when the first write has ended, and those that end meanwhile share the next.
  EXPECT_GE(counter.syncs, 1);
  EXPECT_LE(counter.syncs, static_cast<int>(count) / 2);
}

TEST_F(StoreWriteThrough, EveryOverwriteIsSyncedBeforeItIsAcknowledged) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 8192))));
  for (int i = 1; i <= 4; ++i) {
    counter = IoCounter();
    ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, 4096))));
    EXPECT_EQ(counter.syncs, 1);
  }
}

TEST_F(StoreDurability, ADurableOverwriteIsOneDurableWrite) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096))));
  ASSERT_TRUE(succeeded(fixture.flush()));
  const int syncs = counter.syncs;
  const int writes = counter.writes;
  counter.durable_writes = 0;
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, 4096), Durability::durable)));
  EXPECT_EQ(counter.durable_writes, 1);
  EXPECT_EQ(counter.writes, writes + 1);
  EXPECT_EQ(counter.syncs, syncs);
}

TEST_F(StoreDurability, ADurableWriteOfANewBlockSyncsItsMapToo) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096), Durability::durable)));
  EXPECT_GE(counter.syncs, 2);
}

TEST_F(StoreDurability, ADurableOverwriteWhoseMapIsNotDurableSyncsIt) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096))));
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, 4096), Durability::durable)));
  fixture.loop().reactor().set_tap(nullptr);
  fixture.abandon();
  fixture.new_boot();
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4096), pattern(2, 4096));
}

TEST_F(StoreDurability, AnOverwriteWritesNothingButTheData) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096))));
  const int writes = counter.writes;
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, 4096))));
  EXPECT_EQ(counter.writes, writes + 1);
}

TEST_F(StoreDurability, AFlushWithNothingToDoTouchesNoFile) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096))));
  ASSERT_TRUE(succeeded(fixture.flush()));
  const int syncs = counter.syncs;
  const int writes = counter.writes;
  ASSERT_TRUE(succeeded(fixture.flush()));
  EXPECT_EQ(counter.syncs, syncs);
  EXPECT_EQ(counter.writes, writes);
}

TEST_F(StoreDurability, TrimOfWhatNobodyWroteTouchesNoFile) {
  ASSERT_TRUE(succeeded(fixture.trim(0, mebibyte)));
  EXPECT_EQ(counter.punches, 0);
  EXPECT_EQ(counter.writes, 0);
}

TEST(StoreCounters, CountRequestsAndBytes) {
  StoreFixture fixture(mebibyte, 512);
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 8192))));
  ASSERT_TRUE(succeeded(fixture.write(512, pattern(1, 512))));
  fixture.read(0, 4096);
  ASSERT_TRUE(succeeded(fixture.trim(0, 4096)));
  ASSERT_TRUE(succeeded(fixture.zero(0, 512)));
  ASSERT_TRUE(succeeded(fixture.flush()));
  const store::StoreCounters& counters = fixture.store().counters();
  EXPECT_EQ(counters.writes, 2U);
  EXPECT_EQ(counters.written_bytes, 8704U);
  EXPECT_EQ(counters.reads, 1U);
  EXPECT_EQ(counters.read_bytes, 4096U);
  EXPECT_EQ(counters.trims, 1U);
  EXPECT_EQ(counters.trimmed_bytes, 4096U);
  EXPECT_EQ(counters.write_zeroes, 1U);
  EXPECT_EQ(counters.flushes, 1U);
  EXPECT_EQ(counters.errors, 0U);
}

}  // namespace
}  // namespace cairn::test
