// READ, WRITE, and what all commands with a range of blocks have in common.
#include <gtest/gtest.h>

#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint64_t blocks = 2048;  // of a Unit of 512
constexpr uint8_t reads[] = {0x08, 0x28, 0xa8, 0x88};
constexpr uint8_t writes[] = {0x0a, 0x2a, 0xaa, 0x8a};

TEST(ScsiReadWrite, WhatEveryWriteWritesEveryReadReads) {
  Unit unit;
  for (const uint8_t write : writes)
    for (const uint8_t read : reads) {
      const std::string data(3 * 512, static_cast<char>(write ^ read));
      ASSERT_TRUE(unit.execute(cdb_of(write, 7, 3), data).good());
      const Answer answer = unit.execute(cdb_of(read, 7, 3));
      EXPECT_TRUE(answer.good());
      EXPECT_EQ(answer.data_in, data);
    }
}

TEST(ScsiReadWrite, NoBlocksAreNoneExceptInSixBytes) {
  Unit unit;
  EXPECT_EQ(unit.execute(cdb_of(0x08, 0, 0)).data_in.size(), 256 * 512U);
  EXPECT_EQ(unit.execute(cdb_of(0x0a, 0, 0), std::string(256 * 512, 'x')).needs.data_out, 256 * 512U);
  for (const uint8_t opcode : {0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x2f, 0xaf, 0x8f, 0x8b, 0x89}) {
    EXPECT_TRUE(unit.execute(cdb_of(opcode, blocks, 0)).good()) << int{opcode};
    EXPECT_EQ(unit.execute(cdb_of(opcode, blocks + 1, 0)).sense().code, SenseCode::block_address_out_of_range)
        << int{opcode};
  }
}

TEST(ScsiReadWrite, ARangeBeyondTheEndIsRefusedWithItsFirstBlockBeyond) {
  Unit unit;
  for (const uint8_t opcode : {0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x2f, 0xaf, 0x8f, 0x34, 0x90, 0x41,
                               0x93, 0x8b, 0x35, 0x91}) {
    const Answer across = unit.execute(cdb_of(opcode, blocks - 1, 2));
    EXPECT_TRUE(across.judged_only);
    EXPECT_EQ(text_of(across), "status 02 key 5 code 2100 information 2048") << int{opcode};
    EXPECT_EQ(text_of(unit.execute(cdb_of(opcode, blocks + 2, 1))), "status 02 key 5 code 2100 information 2050")
        << int{opcode};
  }
  EXPECT_EQ(text_of(unit.execute(compare_and_write(blocks - 1, 2))), "status 02 key 5 code 2100 information 2048");
}

TEST(ScsiReadWrite, ARangeThatWrapsIsBeyondTheEnd) {
  Unit unit;
  for (const uint8_t opcode : {0x88, 0x8a, 0x8e, 0x8f, 0x90, 0x93, 0x8b, 0x91})
    for (const uint64_t first : {UINT64_MAX, UINT64_MAX - 1, uint64_t{1} << 63})
      for (const uint32_t count : {0U, 1U, 2U, UINT32_MAX})
        EXPECT_EQ(unit.execute(cdb_16(opcode, first, count)).sense().code, SenseCode::block_address_out_of_range)
            << int{opcode} << " " << first << " " << count;
}

TEST(ScsiReadWrite, MoreThanOneCommandTransfersIsRefusedWithAPointerToTheLength) {
  Unit unit({.size = 32 * mebibyte});
  const uint32_t most = unit->transfer_max() / 512;
  for (const uint8_t opcode : {0x88, 0x8a, 0x8e, 0x8f, 0x8b}) {
    EXPECT_EQ(text_of(unit.execute(cdb_of(opcode, 0, most + 1))), "status 02 key 5 code 2400 cdb byte 10");
    const Cdb cdb = cdb_of(opcode, 0, most);
    EXPECT_FALSE(unit->judge(*unit.first(), 0, cdb).refusal);
  }
  EXPECT_EQ(text_of(unit.execute(cdb_of(0xa8, 0, most + 1))), "status 02 key 5 code 2400 cdb byte 6");
}

TEST(ScsiReadWrite, ProtectionInformationIsRefused) {
  Unit unit;
  for (const uint8_t opcode :
       {0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x2f, 0xaf, 0x8f, 0x41, 0x93, 0x8b, 0x89})
    for (int protect = 1; protect < 8; ++protect) {
      const Answer answer = unit.execute(cdb_of(opcode, 0, 1, static_cast<uint8_t>(protect << 5)));
      EXPECT_EQ(answer.sense().code, SenseCode::invalid_field_in_cdb) << int{opcode};
      EXPECT_EQ(answer.sense().field->byte, 1);
    }
}

TEST(ScsiReadWrite, GroupNumbersAndCacheHintsAreAllowed) {
  Unit unit;
  for (const uint8_t opcode : {0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x2f, 0xaf, 0x8f, 0x8b, 0x89}) {
    Cdb cdb = cdb_of(opcode, 0, 0, 0x10);
    cdb[cdb_length(opcode) == 10 ? 6 : cdb_length(opcode) - 2] = 0x1f;
    EXPECT_TRUE(unit.execute(cdb).good()) << int{opcode};
  }
}

TEST(ScsiReadWrite, OnlyWholeBlocksOfShortDataAreWritten) {
  for (const uint8_t opcode : {0x2a, 0x8a, 0x2e, 0x8e, 0x8b}) {
    Unit unit;
    EXPECT_TRUE(unit.execute(cdb_of(opcode, 0, 2), std::string(200, 'x')).good());
    EXPECT_EQ(unit.execute(read_16(0, 2)).data_in, std::string(1024, '\0')) << int{opcode};
    EXPECT_TRUE(unit.execute(cdb_of(opcode, 0, 2), std::string(1000, 'x')).good());
    EXPECT_EQ(unit.execute(read_16(0, 2)).data_in, std::string(512, 'x') + std::string(512, '\0')) << int{opcode};
  }
}

/// Remembers how the last write was to be, and how often it was flushed.
class RecordingDevice final : public BlockDevice {
 public:
  Geometry geometry() const override { return memory_.geometry(); }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override {
    flushed_after_read = false;
    return memory_.read(offset, into);
  }
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override {
    last = durability;
    return memory_.write(offset, from, durability);
  }
  Task<Status> flush() override {
    flushed_after_read = true;
    return memory_.flush();
  }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override {
    return memory_.trim(offset, length, durability);
  }
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override {
    return memory_.write_zeroes(offset, length, mode, durability);
  }
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override {
    return memory_.block_status(offset, length, query, extents_max, extents);
  }

  std::optional<Durability> last;
  bool flushed_after_read = false;

 private:
  MemoryDevice memory_{mebibyte, 512};
};

TEST(ScsiReadWrite, FuaIsDurableAndNothingElseIs) {
  RecordingDevice device;
  Unit unit({.device = &device});
  constexpr uint8_t fua = 0x08;
  const std::string zeros(512, '\0');
  for (const uint8_t opcode : {0x2a, 0xaa, 0x8a, 0x8b, 0x89})
    for (const uint8_t flags : {uint8_t{0}, fua, uint8_t{0x10}, uint8_t{0x02}}) {
      device.last.reset();
      const Cdb cdb = opcode == 0x89 ? compare_and_write(0, 1, flags) : cdb_of(opcode, 0, 1, flags);
      ASSERT_TRUE(unit.execute(cdb, zeros + zeros).good());
      EXPECT_EQ(device.last, flags == fua ? Durability::durable : Durability::buffered) << int{opcode};
    }
  for (const uint8_t opcode : {0x28, 0xa8, 0x88})
    for (const uint8_t flags : {uint8_t{0}, fua, uint8_t{0x10}, uint8_t{0x02}}) {
      ASSERT_TRUE(unit.execute(cdb_of(opcode, 0, 1, flags)).good());
      EXPECT_EQ(device.flushed_after_read, flags == fua) << int{opcode};
    }
  // In six bytes the bit is one of the address.
  ASSERT_TRUE(unit.execute({0x0a, 0x00, 0x08, 0x00, 1}, zeros).sense().code == SenseCode::block_address_out_of_range);
  ASSERT_TRUE(unit.execute({0x0a, 0x00, 0x00, 0x08, 1}, zeros).good());
  EXPECT_EQ(device.last, Durability::buffered);
}

TEST(ScsiReadWrite, SynchronizeCacheFlushesWhateverItsRange) {
  RecordingDevice device;
  Unit unit({.device = &device});
  for (const uint8_t opcode : {0x35, 0x91})
    for (const uint8_t flags : {0x00, 0x02, 0x04}) {
      device.flushed_after_read = false;
      EXPECT_TRUE(unit.execute(cdb_of(opcode, 5, 0, flags)).good());
      EXPECT_TRUE(device.flushed_after_read);
    }
}

TEST(ScsiReadWrite, AReadOnlyUnitRefusesWhateverWrites) {
  Unit unit({.read_only = true});
  for (const uint8_t opcode : {0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x41, 0x93, 0x8b, 0x89, 0x42}) {
    const Answer answer = unit.execute(cdb_of(opcode, 0, 1));
    EXPECT_EQ(text_of(answer), "status 02 key 7 code 2700") << int{opcode};
    EXPECT_TRUE(answer.judged_only);
  }
  for (const uint8_t opcode : {0x08, 0x28, 0x2f, 0x34})
    EXPECT_NE(unit.execute(cdb_of(opcode, 0, 1)).status(), StatusCode::check_condition);
}

}  // namespace
}  // namespace cairn::test
