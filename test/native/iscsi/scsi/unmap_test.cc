// UNMAP and WRITE SAME.
#include <gtest/gtest.h>

#include "iscsi/scsi/limits.h"
#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint8_t with_unmap = 0x08;
constexpr uint8_t no_data = 0x01;

std::string content(Unit& unit, uint64_t first, uint32_t blocks) {
  return unit.execute(read_16(first, blocks)).data_in;
}

void fill(Unit& unit, char with) {
  const auto blocks = static_cast<uint32_t>(unit->block_count());
  ASSERT_TRUE(unit.execute(write_16(0, blocks), std::string(unit.memory().content().size(), with)).good());
}

TEST(ScsiUnmap, WhatIsUnmappedReadsAsZerosAndNothingElseDoes) {
  for (const uint32_t block_size : {512U, 4096U}) {
    Unit unit({.size = 256 * kibibyte, .block_size = block_size});
    for (uint32_t first = 0; first < 17; ++first)
      for (uint32_t count = 1; count < 34; count += 4) {
        fill(unit, 'x');
        const std::string list = unmap_list({{first, count}});
        ASSERT_TRUE(unit.execute(unmap(list.size()), list).good());
        const std::string expected = std::string(first * block_size, 'x') + std::string(count * block_size, '\0') +
                                     std::string((64 - first - count) * block_size, 'x');
        ASSERT_EQ(content(unit, 0, 64), expected) << first << "+" << count;
      }
  }
}

TEST(ScsiUnmap, SeveralDescriptorsMayOverlapAndBeEmpty) {
  Unit unit;
  fill(unit, 'x');
  const std::string list = unmap_list({{8, 8}, {0, 0}, {12, 8}, {2048, 0}, {8, 1}});
  ASSERT_TRUE(unit.execute(unmap(list.size()), list).good());
  EXPECT_EQ(content(unit, 0, 24), std::string(8 * 512, 'x') + std::string(12 * 512, '\0') + std::string(4 * 512, 'x'));
}

TEST(ScsiUnmap, NoListAndNoDescriptorsDoNothing) {
  Unit unit;
  EXPECT_TRUE(unit.execute(unmap(0)).good());
  EXPECT_TRUE(unit.execute(unmap(8), std::string(8, '\0')).good());
  const std::string list = unmap_list({});
  EXPECT_TRUE(unit.execute(unmap(list.size()), list).good());
}

TEST(ScsiUnmap, AnIncompleteLastDescriptorIsNone) {
  Unit unit;
  fill(unit, 'x');
  std::string list = unmap_list({{0, 1}, {1, 1}});
  store_be16(list.data() + 2, 31);
  EXPECT_TRUE(unit.execute(unmap(list.size()), list).good());
  EXPECT_EQ(content(unit, 0, 2), std::string(512, '\0') + std::string(512, 'x'));
}

TEST(ScsiUnmap, AListThatIsShorterThanItSaysIsRefused) {
  Unit unit;
  const std::string list = unmap_list({{0, 1}, {1, 1}});
  for (const size_t length : {1U, 7U, 8U, 24U, 39U})
    EXPECT_EQ(text_of(unit.execute(unmap(length), list)), "status 02 key 5 code 1a00") << length;
  EXPECT_EQ(text_of(unit.execute(unmap(list.size()), list.substr(0, 39))), "status 02 key 5 code 1a00");
  std::string contradiction = list;
  store_be16(contradiction.data(), 37);
  EXPECT_EQ(text_of(unit.execute(unmap(list.size()), contradiction)), "status 02 key 5 code 2600 parameter byte 2");
}

TEST(ScsiUnmap, MoreDescriptorsThanTheLimitAreRefused) {
  Unit unit;
  for (const uint32_t count : {unmap_descriptors_max, unmap_descriptors_max + 1}) {
    std::string list(8 + 16 * count, '\0');
    store_be16(list.data(), static_cast<uint16_t>(list.size() - 2));
    store_be16(list.data() + 2, static_cast<uint16_t>(list.size() - 8));
    EXPECT_EQ(text_of(unit.execute(unmap(list.size()), list)), count == unmap_descriptors_max
                                                                   ? "status 00 key 0 code 0000"
                                                                   : "status 02 key 5 code 2600 parameter byte 2");
  }
}

TEST(ScsiUnmap, ABadDescriptorKeepsAllOthersFromBeingDone) {
  Unit unit;
  fill(unit, 'x');
  const std::string list = unmap_list({{0, 8}, {2040, 9}});
  EXPECT_EQ(text_of(unit.execute(unmap(list.size()), list)), "status 02 key 5 code 2100 information 2048");
  EXPECT_EQ(content(unit, 0, 8), std::string(8 * 512, 'x'));
  const std::string wrapping = unmap_list({{UINT64_MAX, 2}});
  EXPECT_EQ(unit.execute(unmap(wrapping.size()), wrapping).sense().code, SenseCode::block_address_out_of_range);
}

TEST(ScsiUnmap, AnchorIsRefusedWithAPointer) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute(cdb_10(0x42, 0, 8, 0x01))), "status 02 key 5 code 2400 cdb byte 1 bit 0");
  for (const uint8_t flags : {0x10, 0x18})
    for (const uint8_t opcode : {0x41, 0x93})
      EXPECT_EQ(text_of(unit.execute(cdb_of(opcode, 0, 1, flags))), "status 02 key 5 code 2400 cdb byte 1 bit 4");
}

TEST(ScsiWriteSame, TheBlockIsRepeated) {
  Unit unit({.size = 4 * mebibyte});
  std::string block(512, '\0');
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(i * 7);
  for (const uint8_t opcode : {0x41, 0x93})
    for (const uint8_t flags : {uint8_t{0}, with_unmap})  // what is not zeros is written, and not unmapped
      for (const uint32_t count : {1U, 2U, 255U, 2047U, 2048U, 2049U, 5000U}) {
        fill(unit, 'x');
        ASSERT_TRUE(unit.execute(cdb_of(opcode, 3, count, flags), block).good());
        std::string expected(3 * 512, 'x');
        for (uint32_t i = 0; i < count; ++i) expected += block;
        ASSERT_EQ(content(unit, 0, count + 4), expected + std::string(512, 'x')) << count;
      }
}

TEST(ScsiWriteSame, ZerosAndNoDataReadAsZeros) {
  Unit unit;
  for (const uint8_t flags : {uint8_t{0}, with_unmap, no_data, uint8_t{no_data | with_unmap}}) {
    fill(unit, 'x');
    const Answer answer = unit.execute(cdb_16(0x93, 5, 20, flags), std::string(512, '\0'));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(answer.needs.data_out, (flags & no_data) != 0 ? 0U : 512U);
    EXPECT_EQ(content(unit, 4, 22), std::string(512, 'x') + std::string(20 * 512, '\0') + std::string(512, 'x'));
  }
  EXPECT_EQ(text_of(unit.execute(cdb_10(0x41, 0, 1, no_data))), "status 02 key 5 code 2400 cdb byte 1 bit 0");
}

TEST(ScsiWriteSame, NoBlocksDoNotMeanAllToTheEnd) {
  Unit unit;
  fill(unit, 'x');
  const std::string refused = "status 02 key 5 code 2400 cdb byte ";
  EXPECT_EQ(text_of(unit.execute(cdb_of(0x41, 2000, 0), std::string(512, 'y'))), refused + "7");
  EXPECT_EQ(text_of(unit.execute(cdb_of(0x93, 2000, 0), std::string(512, 'y'))), refused + "10");
  EXPECT_EQ(text_of(unit.execute(cdb_of(0x93, 2049, 0))), "status 02 key 5 code 2100 information 2049");
  EXPECT_EQ(content(unit, 2000, 48), std::string(48 * 512, 'x'));
}

TEST(ScsiWriteSame, MoreThanTheLimitIsRefused) {
  for (const uint32_t block_size : {512U, 4096U}) {
    Unit unit({.size = write_same_max + mebibyte, .block_size = block_size});
    const uint32_t most = block_size == 512 ? write_same_blocks_max : write_same_max / block_size;
    for (const char with : {'\0', 'x'}) {
      const std::string data(block_size, with);
      EXPECT_EQ(text_of(unit.execute(cdb_16(0x93, 0, most + 1), data)), "status 02 key 5 code 2400 cdb byte 10");
      EXPECT_TRUE(unit.execute(cdb_16(0x93, 0, most), data).good());
      EXPECT_EQ(content(unit, most - 1, 1), data);
    }
  }
}

TEST(ScsiWriteSame, LessThanABlockOfDataIsRefused) {
  Unit unit;
  fill(unit, 'x');
  for (const size_t length : {0U, 256U, 511U})
    EXPECT_EQ(text_of(unit.execute(cdb_16(0x93, 0, 1), std::string(length, '\0'))), "status 02 key 5 code 2400");
  EXPECT_EQ(content(unit, 0, 1), std::string(512, 'x'));
}

TEST(ScsiWriteSame, ObsoleteBitsAreRefused) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x93, 0, 1, 0x02))), "status 02 key 5 code 2400 cdb byte 1 bit 1");
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x93, 0, 1, 0x04))), "status 02 key 5 code 2400 cdb byte 1 bit 2");
}

}  // namespace
}  // namespace cairn::test
