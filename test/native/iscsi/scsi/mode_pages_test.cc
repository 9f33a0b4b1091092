// MODE SENSE and MODE SELECT.
#include <gtest/gtest.h>

#include "block/fault_device.h"
#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/parameter_cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint8_t changeable = 0x40;
constexpr uint8_t defaults = 0x80;
constexpr uint8_t saved = 0xc0;
constexpr uint8_t no_descriptors = 0x08;
constexpr uint8_t long_addresses = 0x10;
constexpr uint8_t caching = 0x08;
constexpr uint8_t control = 0x0a;
constexpr size_t swp_byte = 4;
constexpr uint8_t swp_bit = 0x08;

/// A page alone, without header and block descriptor.
std::string page_of(Unit& unit, uint8_t code, uint8_t subpage = 0) {
  const Answer answer = unit.execute(mode_sense_6(code, subpage, no_descriptors));
  EXPECT_TRUE(answer.good()) << text_of(answer);
  return answer.data_in.substr(4);
}
std::string control_with(Unit& unit, bool protect) {
  std::string page = page_of(unit, control);
  page[swp_byte] = static_cast<char>(protect ? swp_bit : 0);
  return page;
}
Answer select(Unit& unit, const std::string& pages) {
  const std::string list = std::string(4, '\0') + pages;
  return unit.execute(mode_select_6(list.size()), list);
}

TEST(ScsiModeSense, HeadersSayHowLongTheDataAreAndDescribeTheBlocks) {
  Unit unit;
  EXPECT_EQ(hex_of(unit.execute(mode_sense_6(caching)).data_in.substr(0, 12)), "1f 00 10 08 00 00 08 00 00 00 02 00 ");
  EXPECT_EQ(hex_of(unit.execute(mode_sense_6(caching, 0, no_descriptors)).data_in.substr(0, 6)), "17 00 10 00 08 12 ");
  EXPECT_EQ(hex_of(unit.execute(mode_sense_10(caching)).data_in.substr(0, 16)),
            "00 22 00 10 00 00 00 08 00 00 08 00 00 00 02 00 ");
  EXPECT_EQ(hex_of(unit.execute(mode_sense_10(caching, 0, long_addresses)).data_in.substr(0, 24)),
            "00 2a 00 10 01 00 00 10 00 00 00 00 00 00 08 00 00 00 00 00 00 00 02 00 ");
  EXPECT_EQ(hex_of(unit.execute(mode_sense_10(caching, 0, long_addresses | no_descriptors)).data_in.substr(0, 10)),
            "00 1a 00 10 00 00 00 00 08 12 ");
}

TEST(ScsiModeSense, AReadOnlyVolumeIsWriteProtected) {
  Unit unit({.read_only = true});
  EXPECT_EQ(byte_at(unit.execute(mode_sense_6(0x3f)).data_in, 2), 0x90);
  EXPECT_EQ(byte_at(unit.execute(mode_sense_10(0x3f)).data_in, 3), 0x90);
}

TEST(ScsiModeSense, PagesSayWhatTheVolumeDoes) {
  Unit unit;
  EXPECT_EQ(hex_of(page_of(unit, 0x01)), "01 0a c0 00 00 00 00 80 00 00 00 00 ");
  EXPECT_EQ(hex_of(page_of(unit, 0x02)), "02 0e 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ");
  EXPECT_EQ(hex_of(page_of(unit, caching)), "08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ");
  EXPECT_EQ(hex_of(page_of(unit, control)), "0a 0a 02 10 00 00 00 00 ff ff 00 00 ");
  EXPECT_EQ(hex_of(page_of(unit, control, 1).substr(0, 8)), "4a 01 00 1c 01 00 1c 00 ");
  EXPECT_EQ(page_of(unit, control, 1).size(), 32U);
  EXPECT_EQ(hex_of(page_of(unit, 0x1c)), "1c 0a 08 00 00 00 00 00 00 00 00 00 ");
}

TEST(ScsiModeSense, AllPagesAreThoseWithoutSubpagesUnlessTheyAreAskedFor) {
  Unit unit;
  const std::string pages = page_of(unit, 0x01) + page_of(unit, 0x02) + page_of(unit, caching) + page_of(unit, control);
  EXPECT_EQ(page_of(unit, 0x3f), pages + page_of(unit, 0x1c));
  EXPECT_EQ(page_of(unit, 0x3f, 0xff), pages + page_of(unit, control, 1) + page_of(unit, 0x1c));
  EXPECT_EQ(page_of(unit, control, 0xff), page_of(unit, control) + page_of(unit, control, 1));
}

TEST(ScsiModeSense, OnlyTheWriteCacheAndTheWriteProtectionCanBeChanged) {
  Unit unit;
  std::string expected = page_of(unit, 0x3f, 0xff);
  for (size_t at = 0; at < expected.size();) {
    const bool subpaged = (expected[at] & 0x40) != 0;
    const size_t header = subpaged ? 4 : 2;
    const size_t size = header + (subpaged ? load_be16(&expected[at + 2]) : byte_at(expected, at + 1));
    const uint8_t code = byte_at(expected, at);
    for (size_t i = header; i < size; ++i) expected[at + i] = 0;
    if (code == caching) expected[at + 2] = 0x04;
    if (code == control) expected[at + swp_byte] = swp_bit;
    at += size;
  }
  EXPECT_EQ(hex_of(page_of(unit, changeable | 0x3f, 0xff)), hex_of(expected));
}

TEST(ScsiModeSense, NothingIsSavedAndUnknownPagesAreRefused) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute(mode_sense_6(saved | caching))), "status 02 key 5 code 3900");
  EXPECT_EQ(text_of(unit.execute(mode_sense_10(0x05))), "status 02 key 5 code 2400 cdb byte 2 bit 5");
  EXPECT_EQ(text_of(unit.execute(mode_sense_10(control, 0x02))), "status 02 key 5 code 2400 cdb byte 3");
  EXPECT_EQ(text_of(unit.execute(mode_sense_10(0x3f, 0x02))), "status 02 key 5 code 2400 cdb byte 3");
}

TEST(ScsiModeSense, EveryAllocationLengthGetsTheBeginningOfTheData) {
  Unit unit;
  const std::string whole = unit.execute(mode_sense_6(0x3f)).data_in;
  EXPECT_LT(unit.execute(mode_sense_6(0x3f, 0xff)).data_in.size(), 255U);
  for (unsigned length = 0; length < 256; ++length) {
    const auto allocation = static_cast<uint8_t>(length);
    ASSERT_EQ(unit.execute(mode_sense_6(0x3f, 0, 0, allocation)).data_in, whole.substr(0, length));
  }
}

TEST(ScsiModeSelect, AWriteProtectedVolumeIsReadAndNotWritten) {
  Unit unit;
  const std::unique_ptr<TestNexus> other = unit.add_nexus("iqn.2026-11.io.example:other,i,0x400001370000");
  other->forget_attentions();
  ASSERT_TRUE(select(unit, control_with(unit, true)).good());
  EXPECT_EQ(byte_at(page_of(unit, control), swp_byte), swp_bit);
  EXPECT_EQ(byte_at(page_of(unit, defaults | control), swp_byte), 0);
  EXPECT_EQ(byte_at(unit.execute(mode_sense_6(0x3f)).data_in, 2), 0x90);
  EXPECT_TRUE(unit.execute(read_16(0, 1)).good());
  EXPECT_EQ(text_of(unit.execute(write_16(0, 1), std::string(512, 'x'))), "status 02 key 7 code 2702");
  EXPECT_EQ(text_of(unit.execute(*other, {0x00})), "status 02 key 6 code 2a01");
  EXPECT_EQ(text_of(unit.execute(*other, write_16(0, 1), std::string(512, 'x'))), "status 02 key 7 code 2702");
  ASSERT_TRUE(select(unit, control_with(unit, false)).good());
  EXPECT_TRUE(unit.execute(write_16(0, 1), std::string(512, 'x')).good());
}

TEST(ScsiModeSelect, WhatChangesNothingIsToldToNobody) {
  Unit unit;
  const std::unique_ptr<TestNexus> other = unit.add_nexus("iqn.2026-11.io.example:other,i,0x400001370000");
  other->forget_attentions();
  EXPECT_TRUE(select(unit, page_of(unit, 0x3f, 0xff)).good());
  EXPECT_TRUE(unit.execute(mode_select_6(0)).good());
  EXPECT_TRUE(unit.execute(mode_select_10(0)).good());
  EXPECT_FALSE((*other)->attentive());
}

TEST(ScsiModeSelect, PagesThatAreNotSentStayAsTheyAre) {
  Unit unit;
  ASSERT_TRUE(select(unit, control_with(unit, true)).good());
  std::string page = page_of(unit, caching);
  page[2] = 0;
  ASSERT_TRUE(select(unit, page).good());
  EXPECT_EQ(byte_at(page_of(unit, caching), 2), 0);
  EXPECT_EQ(byte_at(page_of(unit, control), swp_byte), swp_bit);
}

TEST(ScsiModeSelect, AResetBringsTheDefaultsBack) {
  Unit unit;
  ASSERT_TRUE(select(unit, control_with(unit, true)).good());
  bool done = false;
  run_detached(unit->reset(), [&] { done = true; });
  unit->reactor().run([&] { return done; });
  unit.first().forget_attentions();
  EXPECT_EQ(byte_at(page_of(unit, control), swp_byte), 0);
}

TEST(ScsiModeSelect, ListsOfBothLengthsMayDescribeTheBlocks) {
  Unit unit;
  const std::string page = control_with(unit, true);
  std::string list = unit.execute(mode_sense_6(caching)).data_in.substr(0, 12) + page;
  list[0] = 0;
  EXPECT_TRUE(unit.execute(mode_select_6(list.size()), list).good());
  list = unit.execute(mode_sense_10(caching)).data_in.substr(0, 16) + control_with(unit, false);
  EXPECT_TRUE(unit.execute(mode_select_10(list.size()), list).good());
  list = unit.execute(mode_sense_10(caching, 0, long_addresses)).data_in.substr(0, 24) + page;
  EXPECT_TRUE(unit.execute(mode_select_10(list.size()), list).good());
  EXPECT_EQ(byte_at(page_of(unit, control), swp_byte), swp_bit);
}

TEST(ScsiModeSelect, WhatIsWrongIsPointedAt) {
  Unit unit;
  const std::string page = control_with(unit, true);
  const auto refusal = [&](std::string list) { return text_of(unit.execute(mode_select_6(list.size()), list)); };
  const std::string header(4, '\0');
  const std::string pointed = "status 02 key 5 code 2600 parameter byte ";
  EXPECT_EQ(refusal(std::string("\0\1\0\0", 4) + page), pointed + "1");
  EXPECT_EQ(refusal(std::string("\0\0\0\7", 4) + std::string(7, '\0')), pointed + "3");
  EXPECT_EQ(refusal(std::string("\0\0\0\x08\0\0\0\1\0\0\2\0", 12) + page), pointed + "4");
  EXPECT_EQ(refusal(std::string("\0\0\0\x08\0\0\0\0\0\0\x10\0", 12) + page), pointed + "9");
  EXPECT_EQ(refusal(header + "\x05\x01x"), pointed + "4 bit 5");
  EXPECT_EQ(refusal(header + std::string("\x4a\x00\x00\x08", 4) + std::string(8, '\0')), pointed + "4 bit 5");
  EXPECT_EQ(refusal(header + std::string("\x0a\x09", 2) + std::string(9, '\0')), pointed + "5");
  std::string fixed = page;
  fixed[2] = 0;
  EXPECT_EQ(refusal(header + fixed), pointed + "6");
  fixed = page;
  fixed[swp_byte] = swp_bit | 0x10;
  EXPECT_EQ(refusal(header + page_of(unit, caching) + fixed), pointed + "28");
  EXPECT_EQ(byte_at(page_of(unit, control), swp_byte), 0) << "a list that is refused changes nothing";
}

TEST(ScsiModeSelect, AListThatIsCutIsRefused) {
  Unit unit;
  const std::string list = std::string(4, '\0') + control_with(unit, true);
  for (size_t length = 1; length < list.size(); ++length) {
    const std::string expected = length == 4 ? "status 00 key 0 code 0000" : "status 02 key 5 code 1a00";
    EXPECT_EQ(text_of(unit.execute(mode_select_6(length), list)), expected) << length;
    EXPECT_EQ(text_of(unit.execute(mode_select_6(list.size()), list.substr(0, length))), "status 02 key 5 code 1a00");
  }
  const std::string longer(7, '\0');
  EXPECT_EQ(text_of(unit.execute(mode_select_10(7), longer)), "status 02 key 5 code 1a00");
  EXPECT_EQ(text_of(unit.execute(mode_select_10(12), std::string("\0\0\0\0\0\0\0\x08\0\0\0\0", 12))),
            "status 02 key 5 code 1a00");
}

TEST(ScsiModeSelect, PagesOfNoStandardAndSavingAreRefused) {
  Unit unit;
  const std::string list = std::string(4, '\0') + page_of(unit, control);
  EXPECT_EQ(text_of(unit.execute(mode_select_6(list.size(), 0x00), list)),
            "status 02 key 5 code 2400 cdb byte 1 bit 4");
  EXPECT_EQ(text_of(unit.execute(mode_select_6(list.size(), 0x11), list)),
            "status 02 key 5 code 2400 cdb byte 1 bit 0");
}

TEST(ScsiModeSelect, WithoutAWriteCacheEveryWriteIsFlushed) {
  int flushes = 0;
  bool flush_fails = false;
  MemoryDevice memory(1 * mebibyte, 512);
  FaultDevice device(memory, [&](FaultDevice::Operation operation, uint64_t, uint64_t) -> FaultDevice::Fault {
    if (operation != FaultDevice::Operation::flush) return {};
    ++flushes;
    return {.before = flush_fails ? Status::from_errno(EIO) : Status(), .after = {}};
  });
  Unit unit({.device = &device});
  const std::string data(512, 'x');
  ASSERT_TRUE(unit.execute(write_16(0, 1), data).good());
  EXPECT_EQ(flushes, 0);
  std::string page = page_of(unit, caching);
  page[2] = 0;
  ASSERT_TRUE(select(unit, page).good());
  EXPECT_EQ(flushes, 1) << "what was in the cache";
  ASSERT_TRUE(unit.execute(write_16(0, 1), data).good());
  EXPECT_EQ(flushes, 2);
  const std::string list = unmap_list({{0, 1}});
  ASSERT_TRUE(unit.execute(unmap(list.size()), list).good());
  EXPECT_EQ(flushes, 3);
  ASSERT_TRUE(unit.execute(read_16(0, 1)).good());
  EXPECT_EQ(flushes, 3);
  flush_fails = true;
  EXPECT_EQ(text_of(unit.execute(write_16(0, 1), data)), "status 02 key 3 code 0c00");
}

}  // namespace
}  // namespace cairn::test
