// INQUIRY and its pages, REPORT LUNS, REQUEST SENSE.
#include <gtest/gtest.h>

#include <set>

#include "iscsi/scsi/limits.h"
#include "test/native/iscsi/scsi/parameter_cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint64_t lun_1 = uint64_t{1} << 48;

std::string page_of(Unit& unit, uint8_t code) {
  const Answer answer = unit.execute(inquiry_page(code));
  EXPECT_TRUE(answer.good()) << text_of(answer);
  EXPECT_GE(answer.data_in.size(), 4U);
  EXPECT_EQ(byte_at(answer.data_in, 0), 0);
  EXPECT_EQ(byte_at(answer.data_in, 1), code);
  EXPECT_EQ(load_be16(&answer.data_in[2]) + 4U, answer.data_in.size());
  return answer.data_in;
}

TEST(ScsiInquiry, TheStandardDataNameAVolumeOfSpc4) {
  Unit unit;
  const std::string data = unit.execute(inquiry()).data_in;
  ASSERT_EQ(data.size(), 96U);
  bool copies = false;
  find_command({0x83}, copies);
  EXPECT_EQ(hex_of(data.substr(0, 8)), copies ? "00 00 06 12 5b 18 00 02 " : "00 00 06 12 5b 10 00 02 ");
  EXPECT_EQ(data.substr(8, 28), "CAIRN   VOLUME          1   ");
  EXPECT_EQ(data.substr(36, 22), std::string(22, '\0'));
  EXPECT_EQ(hex_of(data.substr(58, 10)), "00 a0 04 60 04 c0 09 60 00 00 ");
}

TEST(ScsiInquiry, EveryAllocationLengthGetsTheBeginningOfTheData) {
  Unit unit;
  const std::string whole = unit.execute(inquiry()).data_in;
  for (uint16_t length = 0; length < 300; ++length) {
    const Answer answer = unit.execute(inquiry(length));
    ASSERT_TRUE(answer.good());
    ASSERT_EQ(answer.data_in, whole.substr(0, length));
  }
}

TEST(ScsiInquiry, EveryPageThatIsListedCanBeRead) {
  Unit unit;
  const std::string list = page_of(unit, 0x00).substr(4);
  std::set<uint8_t> listed;
  for (const char code : list) {
    EXPECT_TRUE(listed.empty() || *listed.rbegin() < static_cast<uint8_t>(code)) << "pages are listed in order";
    listed.insert(static_cast<uint8_t>(code));
  }
  for (const uint8_t code : {0x00, 0x80, 0x83, 0x86, 0x87, 0x88, 0xb0, 0xb1, 0xb2}) EXPECT_TRUE(listed.contains(code));
  for (unsigned code = 0; code < 256; ++code) {
    const auto page = static_cast<uint8_t>(code);
    if (listed.contains(page))
      page_of(unit, page);
    else
      EXPECT_EQ(text_of(unit.execute(inquiry_page(page))), "status 02 key 5 code 2400 cdb byte 2");
  }
}

TEST(ScsiInquiry, APageCodeWithoutEvpdIsRefused) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute({0x12, 0, 0x80, 0, 255})), "status 02 key 5 code 2400 cdb byte 2");
  EXPECT_EQ(text_of(unit.execute({0x12, 0x02, 0, 0, 255})), "status 02 key 5 code 2400 cdb byte 1 bit 1");
}

TEST(ScsiInquiry, ALunThatIsNoneHasTheStandardDataOnly) {
  Unit unit;
  const Answer answer = unit.execute(unit.first(), inquiry(), {}, lun_1);
  ASSERT_TRUE(answer.good());
  EXPECT_EQ(byte_at(answer.data_in, 0), 0x7f);
  EXPECT_EQ(text_of(unit.execute(unit.first(), inquiry_page(0), {}, lun_1)),
            "status 02 key 5 code 2400 cdb byte 1 bit 0");
  EXPECT_EQ(text_of(unit.execute(unit.first(), {0x00}, {}, lun_1)), "status 02 key 5 code 2500");
}

TEST(ScsiInquiry, ItTellsNoUnitAttentionAndTakesNone) {
  Unit unit;
  unit.first()->establish(UnitAttention::device_reset);
  EXPECT_TRUE(unit.execute(inquiry()).good());
  EXPECT_TRUE(unit.execute(report_luns()).good());
  EXPECT_EQ(text_of(unit.execute({0x00})), "status 02 key 6 code 2903");
}

TEST(ScsiInquiry, TheSerialNumberIsTheUuidOfTheVolume) {
  Unit unit;
  EXPECT_EQ(page_of(unit, 0x80).substr(4), "0102030405060708090a0b0c0d0e0f10");
}

/// Each as type, association and content.
std::vector<std::string> designators(const std::string& list) {
  std::vector<std::string> found;
  for (size_t at = 0; at + 4 <= list.size();) {
    const size_t length = byte_at(list, at + 3);
    found.push_back(hex_of(list.substr(at, 4)) + "| " + list.substr(at + 4, length));
    at += 4 + length;
  }
  return found;
}

TEST(ScsiInquiry, TheDeviceIsIdentifiedByItsVolumeAlone) {
  Unit unit;
  const std::vector<std::string> found = designators(page_of(unit, 0x83).substr(4));
  ASSERT_EQ(found.size(), 7U);
  const auto naa = unit->identity().naa();
  EXPECT_EQ(naa[0] >> 4, 3);
  EXPECT_EQ(found[0], "01 03 00 08 | " + std::string(naa.begin(), naa.end()));
  EXPECT_EQ(found[1], "02 01 00 28 | CAIRN   0102030405060708090a0b0c0d0e0f10");
  EXPECT_EQ(found[2].substr(0, 14), "01 0a 00 12 | ");
  EXPECT_EQ(hex_of(found[2].substr(14)), "10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 ");
  EXPECT_EQ(found[3], "51 94 00 04 | " + std::string("\0\0\0\1", 4));
  EXPECT_EQ(found[4], "51 95 00 04 | " + std::string("\0\0\0\1", 4));
  EXPECT_EQ(found[5], "53 98 00 24 | " + std::string("iqn.2026-11.io.cairn:disk,t,0x0001\0\0", 36));
  EXPECT_EQ(found[6], "53 a8 00 1c | " + std::string("iqn.2026-11.io.cairn:disk\0\0\0", 28));
}

TEST(ScsiInquiry, TheNameOfTheLongestTargetFits) {
  Identity identity{.uuid = {}, .target_name = std::string(223, 'x'), .volume_name = {}};
  EXPECT_LE(identity.target_port_name().size() + 4, 255U);
}

TEST(ScsiInquiry, TheOnePortHasOneName) {
  Unit unit;
  const std::string data = page_of(unit, 0x88).substr(4);
  EXPECT_EQ(hex_of(data.substr(0, 12)), "00 00 00 01 00 00 00 00 00 00 00 28 ");
  EXPECT_EQ(designators(data.substr(12)).front(),
            "53 98 00 24 | " + std::string("iqn.2026-11.io.cairn:disk,t,0x0001\0\0", 36));
}

TEST(ScsiInquiry, TheLimitsAreThoseThatCommandsAreHeldTo) {
  for (const uint32_t block : {512U, 4096U}) {
    Unit unit({.size = 64 * mebibyte, .block_size = block});
    const std::string data = page_of(unit, 0xb0);
    ASSERT_EQ(data.size(), 64U);
    EXPECT_EQ(byte_at(data, 4), 1);
    EXPECT_EQ(byte_at(data, 5), compare_blocks_max);
    EXPECT_EQ(load_be16(&data[6]), 4096 / block);
    EXPECT_EQ(load_be32(&data[8]) * block, unit->transfer_max());
    EXPECT_EQ(load_be32(&data[12]) * block, transfer_length_optimal);
    EXPECT_EQ(load_be32(&data[16]) * block, prefetch_max);
    EXPECT_EQ(load_be32(&data[20]), UINT32_MAX);
    EXPECT_EQ(load_be32(&data[24]), unmap_descriptors_max);
    EXPECT_EQ(load_be32(&data[28]), 4096 / block);
    EXPECT_EQ(load_be32(&data[32]), 0x80000000);
    EXPECT_EQ(load_be64(&data[36]), block == 512 ? 65528U : 16384U);
    EXPECT_EQ(data.substr(44), std::string(20, '\0'));
  }
}

TEST(ScsiInquiry, TheVolumeIsThinAndDoesNotRotate) {
  Unit unit;
  EXPECT_EQ(hex_of(page_of(unit, 0xb1).substr(4, 4)), "00 01 00 00 ");
  EXPECT_EQ(page_of(unit, 0xb1).size(), 64U);
  EXPECT_EQ(hex_of(page_of(unit, 0xb2)), "00 b2 00 04 00 e4 02 00 ");
}

/// A device that cannot give space back.
class ThickDevice final : public BlockDevice {
 public:
  Geometry geometry() const override {
    Geometry geometry = memory_.geometry();
    geometry.can_trim = false;
    return geometry;
  }
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override { return memory_.read(offset, into); }
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override {
    return memory_.write(offset, from, durability);
  }
  Task<Status> flush() override { return memory_.flush(); }
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

 private:
  MemoryDevice memory_{1 * mebibyte, 512};
};

TEST(ScsiInquiry, WhatCannotBeUnmappedIsNotSaidToBe) {
  ThickDevice device;
  Unit unit({.device = &device});
  EXPECT_EQ(hex_of(page_of(unit, 0xb2)), "00 b2 00 04 00 00 00 00 ");
  EXPECT_EQ(page_of(unit, 0xb0).substr(20, 16), std::string(16, '\0'));
}

TEST(ScsiReportLuns, ThereIsLunZeroAndNoWellKnownOne) {
  Unit unit;
  EXPECT_EQ(unit.execute(report_luns(0)).data_in, std::string("\0\0\0\x08", 4) + std::string(12, '\0'));
  EXPECT_EQ(unit.execute(report_luns(1)).data_in, std::string(8, '\0'));
  EXPECT_EQ(unit.execute(report_luns(2)).data_in, std::string("\0\0\0\x08", 4) + std::string(12, '\0'));
  EXPECT_EQ(text_of(unit.execute(report_luns(3))), "status 02 key 5 code 2400 cdb byte 2");
  EXPECT_EQ(unit.execute(report_luns(0, 4)).data_in, std::string("\0\0\0\x08", 4));
  EXPECT_TRUE(unit.execute(unit.first(), report_luns(), {}, lun_1).good());
}

TEST(ScsiRequestSense, AUnitAttentionIsToldOnce) {
  Unit unit;
  unit.first()->establish(UnitAttention::capacity_changed);
  EXPECT_EQ(hex_of(unit.execute(request_sense()).data_in), "70 00 06 00 00 00 00 0a 00 00 00 00 2a 09 00 00 00 00 ");
  EXPECT_EQ(hex_of(unit.execute(request_sense()).data_in), "70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00 ");
  EXPECT_TRUE(unit.execute({0x00}).good());
}

TEST(ScsiRequestSense, ThatSpaceIsLowIsToldInTheFormatThatIsAskedFor) {
  Unit unit;
  unit->set_space_low(true);
  EXPECT_EQ(hex_of(unit.execute(request_sense(true)).data_in), "72 06 38 07 00 00 00 00 ");
  EXPECT_EQ(hex_of(unit.execute(request_sense(true)).data_in), "72 00 00 00 00 00 00 00 ");
  EXPECT_EQ(unit.execute(request_sense(false, 7)).data_in.size(), 7U);
}

TEST(ScsiRequestSense, ALunThatIsNoneSaysSo) {
  Unit unit;
  unit.first()->establish(UnitAttention::device_reset);
  const Answer answer = unit.execute(unit.first(), request_sense(true), {}, lun_1);
  EXPECT_TRUE(answer.good());
  EXPECT_EQ(hex_of(answer.data_in), "72 05 25 00 00 00 00 00 ");
  EXPECT_TRUE(unit.first()->attentive());
}

}  // namespace
}  // namespace cairn::test
