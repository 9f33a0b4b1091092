// GET LBA STATUS, READ CAPACITY and READ DEFECT DATA.
#include <gtest/gtest.h>

#include "iscsi/scsi/limits.h"
#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using namespace scsi;

struct LbaRun {
  uint64_t first;
  uint32_t blocks;
  uint8_t status;
  friend bool operator==(const LbaRun&, const LbaRun&) = default;
};

std::vector<LbaRun> runs_of(const std::string& data) {
  std::vector<LbaRun> runs;
  EXPECT_EQ(load_be32(data.data()), data.size() - 4);
  for (size_t at = 8; at + 16 <= data.size(); at += 16)
    runs.push_back({load_be64(&data[at]), load_be32(&data[at + 8]), static_cast<uint8_t>(data[at + 12])});
  return runs;
}

/// A unit over a store of 1 MiB.
struct Stored {
  explicit Stored(uint32_t block_size)
      : store(mebibyte, block_size), unit({.device = &store.store(), .reactor = &store.loop().reactor()}) {}
  StoreFixture store;
  Unit unit;
};

TEST(ScsiLbaStatus, TellsWhatIsMappedFromAnyBlockOn) {
  Stored stored(512);
  ASSERT_TRUE(stored.unit.execute(write_16(16, 16), std::string(8192, 'x')).good());
  using Runs = std::vector<LbaRun>;
  const auto ask = [&](uint64_t first) { return runs_of(stored.unit.execute(get_lba_status(first, 4096)).data_in); };
  EXPECT_EQ(ask(0), (Runs{{0, 16, 1}, {16, 16, 0}, {32, 2016, 1}}));
  EXPECT_EQ(ask(3), (Runs{{3, 13, 1}, {16, 16, 0}, {32, 2016, 1}}));
  EXPECT_EQ(ask(17), (Runs{{17, 15, 0}, {32, 2016, 1}}));
  EXPECT_EQ(ask(2047), (Runs{{2047, 1, 1}}));
}

TEST(ScsiLbaStatus, WhatIsUnmappedInPartStaysMapped) {
  Stored stored(512);
  ASSERT_TRUE(stored.unit.execute(write_16(0, 24), std::string(24 * 512, 'x')).good());
  const std::string list = unmap_list({{4, 16}});
  ASSERT_TRUE(stored.unit.execute(unmap(list.size()), list).good());
  EXPECT_EQ(runs_of(stored.unit.execute(get_lba_status(0, 4096)).data_in),
            (std::vector<LbaRun>{{0, 8, 0}, {8, 8, 1}, {16, 8, 0}, {24, 2024, 1}}));
}

TEST(ScsiLbaStatus, UnmappingAPartOfWhatTakesNoSpaceTakesNone) {
  Stored stored(512);
  const std::string list = unmap_list({{4, 2}, {15, 3}});
  ASSERT_TRUE(stored.unit.execute(unmap(list.size()), list).good());
  ASSERT_TRUE(stored.unit.execute(cdb_16(0x93, 1, 30, 0x09)).good());
  EXPECT_EQ(runs_of(stored.unit.execute(get_lba_status(0, 4096)).data_in), (std::vector<LbaRun>{{0, 2048, 1}}));
}

TEST(ScsiLbaStatus, ZerosTakeSpaceUnlessTheyMayBeUnmapped) {
  Stored stored(4096);
  ASSERT_TRUE(stored.unit.execute(cdb_16(0x93, 0, 4), std::string(4096, '\0')).good());
  ASSERT_TRUE(stored.unit.execute(write_16(4, 4), std::string(16384, 'x')).good());
  ASSERT_TRUE(stored.unit.execute(cdb_16(0x93, 6, 2, 0x08), std::string(4096, '\0')).good());
  EXPECT_EQ(runs_of(stored.unit.execute(get_lba_status(0, 4096)).data_in),
            (std::vector<LbaRun>{{0, 6, 0}, {6, 250, 1}}));
}

TEST(ScsiLbaStatus, AsManyDescriptorsComeAsThereIsRoomFor) {
  Stored stored(4096);
  for (uint64_t first = 0; first < 256; first += 2)
    ASSERT_TRUE(stored.unit.execute(write_16(first, 1), std::string(4096, 'x')).good());
  for (const uint32_t descriptors : {1U, 2U, 100U, 255U}) {
    const std::string data = stored.unit.execute(get_lba_status(0, 8 + 16 * descriptors)).data_in;
    ASSERT_EQ(runs_of(data).size(), descriptors);
    EXPECT_EQ(runs_of(data).back(), (LbaRun{descriptors - 1, 1, static_cast<uint8_t>((descriptors - 1) % 2)}));
  }
  EXPECT_EQ(runs_of(stored.unit.execute(get_lba_status(0, UINT32_MAX)).data_in).size(), 256U);
}

TEST(ScsiLbaStatus, AnAllocationThatIsTooShortCutsTheFirstDescriptor) {
  Unit unit;
  const std::string whole = unit.execute(get_lba_status(5, 24)).data_in;
  ASSERT_EQ(whole.size(), 24U);
  EXPECT_EQ(runs_of(whole), (std::vector<LbaRun>{{5, 2043, 0}}));
  for (uint32_t length = 0; length < 24; ++length)
    EXPECT_EQ(unit.execute(get_lba_status(5, length)).data_in, whole.substr(0, length));
}

TEST(ScsiLbaStatus, AStartBeyondTheEndIsRefused) {
  Unit unit;
  EXPECT_TRUE(unit.execute(get_lba_status(2047, 24)).good());
  for (const uint64_t first : {uint64_t{2048}, uint64_t{2049}, uint64_t{1} << 63, UINT64_MAX})
    EXPECT_EQ(text_of(unit.execute(get_lba_status(first, 24))),
              "status 02 key 5 code 2100 information " + std::to_string(first));
}

TEST(ScsiDefects, ThereAreNone) {
  Unit unit;
  EXPECT_EQ(unit.execute({0x37, 0, 0x1d, 0, 0, 0, 0, 0, 32}).data_in, (std::string{0, 0x1d, 0, 0}));
  EXPECT_EQ(unit.execute({0xb7, 0x1d, 0, 0, 0, 0, 0, 0, 0, 32}).data_in, (std::string{0, 0x1d, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(unit.execute({0x37, 0, 0x08, 0, 0, 0, 0, 0, 2}).data_in, (std::string{0, 8}));
  EXPECT_EQ(unit.execute({0xb7}).data_in, "");
}

TEST(ScsiCapacity, TellsTheLastBlockAndThatWhatIsUnmappedIsZeros) {
  Unit unit({.size = mebibyte, .block_size = 512});
  EXPECT_EQ(unit.execute({0x25}).data_in, std::string("\0\0\x07\xff\0\0\x02\0", 8));
  Cdb cdb = cdb_16(0x9e, 0, 32, 0x10);
  const std::string data = unit.execute(cdb).data_in;
  ASSERT_EQ(data.size(), 32U);
  EXPECT_EQ(load_be64(&data[0]), 2047U);
  EXPECT_EQ(load_be32(&data[8]), 512U);
  EXPECT_EQ(data[13], 3);
  EXPECT_EQ(static_cast<uint8_t>(data[14]), 0xc0);
  for (uint8_t length = 0; length < 32; ++length) {
    cdb[13] = length;
    EXPECT_EQ(unit.execute(cdb).data_in, data.substr(0, length));
  }
}

TEST(ScsiCapacity, ObsoleteFieldsOfTenBytesAreRefused) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute({0x25, 0, 0, 0, 0, 1})), "status 02 key 5 code 2400 cdb byte 5 bit 0");
  EXPECT_EQ(text_of(unit.execute({0x25, 0, 0, 0, 0, 0, 0, 0, 1})), "status 02 key 5 code 2400 cdb byte 8 bit 0");
}

}  // namespace
}  // namespace cairn::test
