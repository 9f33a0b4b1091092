// VERIFY, WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE, PRE-FETCH.
#include <gtest/gtest.h>

#include "iscsi/scsi/limits.h"
#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint8_t compared = 0x02;
constexpr uint8_t one_block = 0x06;

std::string content(Unit& unit, uint64_t first, uint32_t blocks) {
  return unit.execute(read_16(first, blocks)).data_in;
}

std::string pattern(size_t length) {
  std::string data(length, '\0');
  for (size_t i = 0; i < length; ++i) data[i] = static_cast<char>(i * 31 + i / 512);
  return data;
}

TEST(ScsiVerify, WithoutDataOnlyTheMediumIsRead) {
  Unit unit;
  for (const uint8_t opcode : {0x2f, 0xaf, 0x8f}) {
    const Answer answer = unit.execute(cdb_of(opcode, 0, 2048, 0x10));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(answer.needs.data_out, 0U);
  }
}

TEST(ScsiVerify, AMiscompareSaysWhere) {
  Unit unit({.size = 4 * mebibyte});
  const std::string data = pattern(5000 * 512);  // more than one piece
  ASSERT_TRUE(unit.execute(write_16(9, 5000), data).good());
  for (const uint8_t opcode : {0x2f, 0xaf, 0x8f}) {
    EXPECT_TRUE(unit.execute(cdb_of(opcode, 9, 5000, compared), data).good());
    for (const size_t at : {size_t{0}, size_t{511}, size_t{scratch_max - 1}, size_t{scratch_max}, data.size() - 1}) {
      std::string other = data;
      other[at] = static_cast<char>(other[at] ^ 1);
      EXPECT_EQ(text_of(unit.execute(cdb_of(opcode, 9, 5000, compared), other)),
                "status 02 key e code 1d00 information " + std::to_string(at));
    }
  }
}

TEST(ScsiVerify, OneBlockIsComparedWithEach) {
  Unit unit({.size = 4 * mebibyte});
  const std::string block = pattern(512);
  ASSERT_TRUE(unit.execute(cdb_16(0x93, 4, 3000), block).good());
  const Answer same = unit.execute(cdb_16(0x8f, 4, 3000, one_block), block);
  EXPECT_TRUE(same.good());
  EXPECT_EQ(same.needs.data_out, 512U);
  std::string other = block;
  other[100] = 'x';
  ASSERT_TRUE(unit.execute(write_16(4 + 2999, 1), other).good());
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x8f, 4, 3000, one_block), block)),
            "status 02 key e code 1d00 information " + std::to_string(2999 * 512 + 100));
}

TEST(ScsiVerify, WhatIsNotThereIsNotVerified) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x8f, 0, 2, compared), std::string(512, '\0'))), "status 02 key 5 code 2400");
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x8f, 0, 2, one_block), std::string(511, '\0'))), "status 02 key 5 code 2400");
}

TEST(ScsiVerify, TheReservedCheckIsRefused) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x8f, 0, 1, 0x04))), "status 02 key 5 code 2400 cdb byte 1 bit 2");
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x8e, 0, 1, 0x04))), "status 02 key 5 code 2400 cdb byte 1 bit 2");
}

TEST(ScsiWriteAndVerify, WritesAndComparesOrOnlyReads) {
  Unit unit;
  uint64_t first = 1;
  for (const uint8_t opcode : {0x2e, 0xae, 0x8e})
    for (const uint8_t flags : {uint8_t{0}, compared, uint8_t{0x10}}) {
      const std::string data = pattern(7 * 512);
      EXPECT_TRUE(unit.execute(cdb_of(opcode, ++first, 7, flags), data).good());
      EXPECT_EQ(content(unit, first, 7), data);
    }
}

TEST(ScsiCompareAndWrite, WritesWhatIsEqualAndOnlyThat) {
  for (const uint32_t block_size : {512U, 4096U}) {
    Unit unit({.size = 2 * mebibyte, .block_size = block_size});
    for (const uint8_t blocks : {1, 2, 8, 255}) {
      const std::string before = pattern(blocks * block_size);
      ASSERT_TRUE(unit.execute(write_16(3, blocks), before).good());
      const std::string after(blocks * block_size, 'B');
      for (const size_t at : {size_t{0}, before.size() - 27, before.size() - 1}) {
        std::string other = before;
        other[at] = static_cast<char>(other[at] ^ 0x80);
        EXPECT_EQ(text_of(unit.execute(compare_and_write(3, blocks), other + after)),
                  "status 02 key e code 1d00 information " + std::to_string(at));
        EXPECT_EQ(content(unit, 3, blocks), before);
      }
      EXPECT_TRUE(unit.execute(compare_and_write(3, blocks, 0x18), before + after).good());
      EXPECT_EQ(content(unit, 3, blocks), after);
    }
  }
}

TEST(ScsiCompareAndWrite, DataOfAnotherLengthChangeNothing) {
  Unit unit;
  const Answer answer = unit.execute(compare_and_write(0, 2), std::string(2 * 512, '\0') + std::string(1023, 'x'));
  EXPECT_EQ(text_of(answer), "status 02 key 5 code 2400");
  EXPECT_TRUE(answer.needs.exact_data_out);
  EXPECT_EQ(content(unit, 0, 2), std::string(1024, '\0'));
}

TEST(ScsiCompareAndWrite, MoreBlocksThanTheReactorsBuffersAllowAreRefused) {
  Unit unit({.size = mebibyte, .block_size = 4096, .buffer_bytes = mebibyte});
  EXPECT_EQ(unit->transfer_max(), 512 * kibibyte);
  EXPECT_FALSE(unit->judge(*unit.first(), 0, compare_and_write(0, 64)).refusal);
  EXPECT_EQ(text_of(unit.execute(compare_and_write(0, 65))), "status 02 key 5 code 2400 cdb byte 13");
}

TEST(ScsiOrWrite, SetsBits) {
  Unit unit({.size = 4 * mebibyte});
  const std::string before = pattern(3000 * 512);
  std::string bits(before.rbegin(), before.rend());
  ASSERT_TRUE(unit.execute(write_16(1, 3000), before).good());
  ASSERT_TRUE(unit.execute(cdb_16(0x8b, 1, 3000, 0x08), bits).good());
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<char>(bits[i] | before[i]);
  EXPECT_EQ(content(unit, 1, 3000), bits);
  EXPECT_EQ(content(unit, 0, 1), std::string(512, '\0'));
}

TEST(ScsiPrefetch, SaysWhetherAllOfItWasRead) {
  Unit unit({.size = prefetch_max + mebibyte});
  for (const uint8_t opcode : {0x34, 0x90})
    for (const uint8_t flags : {0x00, 0x02})
      EXPECT_EQ(unit.execute(cdb_of(opcode, 5, 100, flags)).status(), StatusCode::condition_met);
  EXPECT_EQ(unit.execute(cdb_16(0x90, 0, prefetch_max / 512)).status(), StatusCode::condition_met);
  EXPECT_EQ(unit.execute(cdb_16(0x90, 0, prefetch_max / 512 + 1)).status(), StatusCode::good);
}

TEST(ScsiPrefetch, NoBlocksMeanAllToTheEnd) {
  Unit unit({.size = prefetch_max + mebibyte});
  EXPECT_EQ(unit.execute(cdb_16(0x90, 0, 0)).status(), StatusCode::good);
  EXPECT_EQ(unit.execute(cdb_16(0x90, mebibyte / 512, 0)).status(), StatusCode::condition_met);
  EXPECT_EQ(unit.execute(cdb_16(0x90, unit->block_count(), 0)).status(), StatusCode::good);
  EXPECT_EQ(unit.execute(cdb_16(0x90, unit->block_count() + 1, 0)).sense().code, SenseCode::block_address_out_of_range);
}

}  // namespace
}  // namespace cairn::test
