// EXTENDED COPY within a unit, and what RECEIVE COPY RESULTS tells of it (SPC-4 sections 6.4 and 6.21 to 6.24).
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/hesitant_device.h"
#include "test/native/iscsi/scsi/parameter_cdb.h"
#include "test/native/iscsi/scsi/reservation_cdb.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr const char* good_text = "status 00 key 0 code 0000";
constexpr const char* wrong_length = "status 02 key 5 code 1a00";
constexpr const char* unreachable = "status 02 key a code 0d02";
constexpr const char* beyond_the_end = "status 02 key a code 0000";
constexpr const char* no_such_copy = "status 02 key 5 code 2400 cdb byte 2";

struct Segment {
  uint64_t source;
  uint64_t destination;
  uint16_t blocks;
  uint16_t source_target = 0;
  uint16_t destination_target = 0;
};

std::string target_of(Unit& unit, uint32_t block_size = 512) {
  std::string target(32, '\0');
  target[0] = static_cast<char>(0xe4);
  const auto naa = unit->identity().naa();
  target[4] = 1;
  target[5] = 3;
  target[7] = 8;
  std::ranges::copy(naa, target.begin() + 8);
  store_be32(&target[28], block_size);
  return target;
}

std::string segment_text(const Segment& segment) {
  std::string text(28, '\0');
  text[0] = 2;
  text[3] = 0x18;
  store_be16(&text[4], segment.source_target);
  store_be16(&text[6], segment.destination_target);
  store_be16(&text[10], segment.blocks);
  store_be64(&text[12], segment.source);
  store_be64(&text[20], segment.destination);
  return text;
}

std::string copy_list(const std::string& targets, const std::vector<Segment>& segments, uint8_t id = 1,
                      uint8_t usage = 0) {
  std::string list(16, '\0');
  list[0] = static_cast<char>(id);
  list[1] = static_cast<char>(usage << 3);
  store_be16(&list[2], static_cast<uint16_t>(targets.size()));
  store_be32(&list[8], static_cast<uint32_t>(28 * segments.size()));
  list += targets;
  for (const Segment& each : segments) list += segment_text(each);
  return list;
}

Cdb copy_cdb(size_t length) {
  Cdb cdb{0x83};
  store_be32(&cdb[10], static_cast<uint32_t>(length));
  return cdb;
}
Cdb results_cdb(uint8_t action, uint8_t id = 1, uint32_t allocation = 1024) {
  Cdb cdb{0x84, action, id};
  store_be32(&cdb[10], allocation);
  return cdb;
}

class ScsiExtendedCopy : public testing::Test {
 protected:
  std::string copy(const std::string& list) { return text_of(unit_.execute(copy_cdb(list.size()), list)); }
  std::string copy_one(const Segment& segment, uint8_t id = 1, uint8_t usage = 0) {
    return copy(copy_list(target_of(unit_), {segment}, id, usage));
  }
  std::string results(uint8_t action, uint8_t id = 1) {
    const Answer answer = unit_.execute(results_cdb(action, id));
    return answer.good() ? hex_of(answer.data_in) : text_of(answer);
  }
  std::string content() {
    return {reinterpret_cast<const char*>(unit_.memory().content().data()), unit_.memory().content().size()};
  }
  void write(uint64_t first, const std::string& data) {
    ASSERT_TRUE(unit_.execute(write_16(first, static_cast<uint32_t>(data.size() / 512)), data).good());
  }

  Unit unit_{{.size = 4 * mebibyte}};
};

TEST_F(ScsiExtendedCopy, RandomCopiesThatOverlapCopyWhatWasThere) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (uint64_t first = 0; first < 8192; first += 2048) {
    std::string data(2048 * 512, '\0');
    for (char& each : data) each = static_cast<char>(random());
    write(first, data);
  }
  for (int i = 0; i < 60; ++i) {
    std::string expected = content();
    std::vector<Segment> segments;
    for (uint64_t count = random() % 4; count-- > 0;) {
      const auto blocks = static_cast<uint16_t>(random() % 5000);
      const Segment segment{random() % (8192 - blocks), random() % (8192 - blocks), blocks};
      const std::string copied = expected.substr(segment.source * 512, blocks * 512);
      std::ranges::copy(copied, expected.begin() + static_cast<ptrdiff_t>(segment.destination * 512));
      segments.push_back(segment);
    }
    ASSERT_EQ(copy(copy_list(target_of(unit_), segments)), good_text);
    ASSERT_TRUE(content() == expected) << "copy " << i;
  }
}

TEST_F(ScsiExtendedCopy, TheUnitIsNamedByItsUuidToo) {
  std::string target(32, '\0');
  target[0] = static_cast<char>(0xe4);
  target[4] = 1;
  target[5] = 0x0a;
  target[7] = 18;
  target[8] = 0x10;
  std::ranges::copy(unit_->identity().uuid, target.begin() + 10);
  EXPECT_EQ(copy(copy_list(target, {{0, 8, 1}})), good_text);
}

TEST_F(ScsiExtendedCopy, NoListIsNoCopy) { EXPECT_EQ(copy(std::string()), good_text); }

TEST_F(ScsiExtendedCopy, ListsThatAreCutAreRefused) {
  const std::string whole = copy_list(target_of(unit_), {{0, 8, 1}});
  for (size_t length = 1; length < whole.size(); ++length) EXPECT_EQ(copy(whole.substr(0, length)), wrong_length);
  // Less comes than the CDB says.
  EXPECT_EQ(text_of(unit_.execute(copy_cdb(whole.size()), whole.substr(0, 40))), wrong_length);
  EXPECT_EQ(text_of(unit_.execute(copy_cdb(721), whole)), wrong_length) << "more than both lists may have";
}

TEST_F(ScsiExtendedCopy, MoreDescriptorsThanThereAreParametersForAreRefused) {
  std::string targets;
  for (int i = 0; i < 8; ++i) targets += target_of(unit_);
  EXPECT_EQ(copy(copy_list(targets, {{0, 8, 1, 7, 7}})), good_text);
  EXPECT_EQ(copy(copy_list(targets + target_of(unit_), {{0, 8, 1}})), "status 02 key 5 code 2606 parameter byte 2");
  EXPECT_EQ(copy(copy_list(target_of(unit_), std::vector<Segment>(16, {0, 8, 1}))), good_text);
  EXPECT_EQ(copy(copy_list(target_of(unit_), std::vector<Segment>(17, {0, 8, 1}))),
            "status 02 key 5 code 2608 parameter byte 8");
  EXPECT_EQ(copy(copy_list(targets + target_of(unit_), std::vector<Segment>(17, {0, 8, 1}))), wrong_length);
}

TEST_F(ScsiExtendedCopy, DescriptorsOfOtherTypesAreRefusedBeforeAnythingIsCopied) {
  write(0, std::string(512, 'x'));
  const std::string before = content();
  std::string list = copy_list(target_of(unit_), {{0, 8, 1}, {0, 9, 1}});
  list[16] = static_cast<char>(0xe0);
  EXPECT_EQ(copy(list), "status 02 key 5 code 2607 parameter byte 16");
  list[16] = static_cast<char>(0xe4);
  list[16 + 32 + 28] = 3;
  EXPECT_EQ(copy(list), "status 02 key 5 code 2609 parameter byte 76");
  list[16 + 32 + 28] = 2;
  list[16 + 32 + 28 + 3] = 0x14;
  EXPECT_EQ(copy(list), "status 02 key 5 code 2600 parameter byte 78");
  list[16 + 32 + 28 + 3] = 0x18;
  list += std::string(4, '\0');
  store_be32(&list[12], 4);
  EXPECT_EQ(copy(list), "status 02 key 5 code 260b parameter byte 12");
  EXPECT_TRUE(content() == before);
}

TEST_F(ScsiExtendedCopy, SegmentsOfOtherUnitsAndBeyondTheEndEndTheCopy) {
  EXPECT_EQ(copy_one({0, 8, 1, 0, 1}), unreachable);
  EXPECT_EQ(copy_one({0, 8, 1, 0xffff, 0}), unreachable);
  EXPECT_EQ(copy_one({8191, 0, 2}), beyond_the_end);
  EXPECT_EQ(copy_one({0, 8191, 2}), beyond_the_end);
  EXPECT_EQ(copy_one({0, 8191, 1}), good_text);
  EXPECT_EQ(copy_one({UINT64_MAX, 0, 1}), beyond_the_end);
  std::string other = target_of(unit_);
  other[15] = static_cast<char>(other[15] ^ 1);
  EXPECT_EQ(copy(copy_list(other, {{0, 8, 1}})), unreachable);
  std::string tape = target_of(unit_);
  tape[1] = 1;
  EXPECT_EQ(copy(copy_list(tape, {{0, 8, 1}})), "status 02 key a code 0d03");
  EXPECT_EQ(copy(copy_list(target_of(unit_, 4096), {{0, 8, 1}})), "status 02 key a code 0d03");
}

TEST_F(ScsiExtendedCopy, SegmentsBeforeAWrongOneAreCopiedAndCounted) {
  write(0, std::string(512, 'x'));
  EXPECT_EQ(copy(copy_list(target_of(unit_), {{0, 8, 1}, {0, 9, 1, 3, 0}, {0, 10, 1}})), unreachable);
  EXPECT_EQ(content().substr(8 * 512, 1024), std::string(512, 'x') + std::string(512, '\0'));
  EXPECT_EQ(results(0), "00 00 00 08 02 00 01 00 00 00 02 00 ");
  const std::string details = unit_.execute(results_cdb(4)).data_in;
  ASSERT_EQ(details.size(), 60U + 18U);
  EXPECT_EQ(load_be32(&details[0]), details.size() - 4);
  EXPECT_EQ(hex_of(details.substr(56, 7)), "02 00 00 12 70 00 0a ");
  EXPECT_EQ(hex_of(details.substr(72, 2)), "0d 02 ");
}

TEST_F(ScsiExtendedCopy, ResultsAreHeldForTheNexusThatCopied) {
  for (const uint8_t action : {0, 1, 4}) EXPECT_EQ(results(action), no_such_copy);
  ASSERT_EQ(copy_one({0, 8, 3}), good_text);
  EXPECT_EQ(results(0), "00 00 00 08 01 00 01 00 00 00 06 00 ");
  EXPECT_EQ(results(1), "00 00 00 00 ");
  EXPECT_EQ(results(4), "00 00 00 00 ");
  EXPECT_EQ(results(0, 2), no_such_copy);
  auto other = unit_.add_nexus("iqn.2026-11.io.example:second,i,0x400001370000");
  other->forget_attentions();
  EXPECT_EQ(text_of(unit_.execute(*other, results_cdb(0))), no_such_copy);
}

TEST_F(ScsiExtendedCopy, ResultsThatNobodyWantsAreNotHeld) {
  EXPECT_EQ(copy_one({0, 8, 1}, 1, 2), good_text);
  EXPECT_EQ(results(0), no_such_copy);
  EXPECT_EQ(copy_one({0, 8, 1}, 0, 3), good_text);
  EXPECT_EQ(results(0, 0), no_such_copy);
  EXPECT_EQ(copy_one({0, 8, 1}, 1, 3), "status 02 key 5 code 2600 parameter byte 0");
  EXPECT_EQ(copy_one({0, 8, 1}, 1, 1), "status 02 key 5 code 2600 parameter byte 1 bit 4");
}

TEST_F(ScsiExtendedCopy, TheOldestResultsMakeRoom) {
  for (uint8_t id = 1; id <= 17; ++id) ASSERT_EQ(copy_one({0, 8, 1}, id), good_text);
  EXPECT_EQ(results(0, 1), no_such_copy);
  for (uint8_t id = 2; id <= 17; ++id) EXPECT_NE(results(0, id), no_such_copy);
}

TEST_F(ScsiExtendedCopy, OperatingParametersAreWhatIsAccepted) {
  EXPECT_EQ(results(3),
            "00 00 00 2a 01 00 00 00 00 08 00 10 00 00 02 c0 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
            "00 00 00 10 10 09 00 00 00 00 00 02 02 e4 ");
  EXPECT_EQ(
      hex_of(unit_.execute(inquiry_page(0x8f)).data_in),
      "00 8f 00 64 00 01 00 0c 09 83 01 00 84 04 00 01 03 04 00 00 "
      "00 04 00 1c 00 00 00 00 00 08 00 10 00 00 02 c0 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
      "00 08 00 04 02 02 e4 00 00 0c 00 04 00 00 00 00 "
      "80 01 00 20 00 00 00 10 00 00 00 10 04 00 00 00 09 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ");
}

TEST_F(ScsiExtendedCopy, AReadOnlyUnitIsNotCopiedTo) {
  Unit unit({.read_only = true});
  const std::string list = copy_list(target_of(unit), {{0, 8, 1}});
  EXPECT_EQ(text_of(unit.execute(copy_cdb(list.size()), list)), "status 02 key 7 code 2700");
}

TEST_F(ScsiExtendedCopy, OthersReservationsStopIt) {
  auto other = unit_.add_nexus("iqn.2026-11.io.example:second,i,0x400001370000");
  other->forget_attentions();
  ASSERT_TRUE(unit_.execute(*other, reserve_out(ReserveAction::enroll_and_ignore), reserve_list(0, 1)).good());
  ASSERT_TRUE(unit_.execute(*other, reserve_out(ReserveAction::reserve, 1), reserve_list(1, 0)).good());
  EXPECT_EQ(copy_one({0, 8, 1}), "status 18 key 0 code 0000");
  EXPECT_EQ(text_of(unit_.execute(results_cdb(3))), "status 18 key 0 code 0000");
}

// ---- While it runs ----

struct Slow {
  explicit Slow(uint64_t seed, Reactor& reactor) : random(seed), unit({.device = &device, .reactor = &reactor}) {}
  std::mt19937_64 random;
  MemoryDevice memory{16 * kibibyte, 512};
  HesitantDevice device{memory, random};
  Unit unit;

  void begin(TestNexus& nexus, const std::string& list, std::string& ended) {
    run_detached(unit.start(nexus, copy_cdb(list.size()), list),
                 [&ended](const Answer& answer) { ended = text_of(answer); });
    unit->reactor().ready().run();
  }
  void finish(const std::string& ended) {
    while (ended.empty()) {
      ASSERT_TRUE(device.step());
      unit->reactor().ready().run();
    }
  }
};

TEST_F(ScsiExtendedCopy, AnIdentifierNamesOneCopyAtATime) {
  OnReactor loop;
  Slow slow(1, loop.reactor());
  const std::string list = copy_list(target_of(slow.unit), {{0, 8, 4}});
  std::string first, second, other;
  slow.begin(slow.unit.first(), list, first);
  EXPECT_EQ(hex_of(slow.unit.execute(results_cdb(0)).data_in), "00 00 00 08 00 00 00 00 00 00 00 00 ");
  slow.begin(slow.unit.first(), list, second);
  EXPECT_EQ(second, "status 02 key 5 code 0016");
  auto nexus = slow.unit.add_nexus("another");
  nexus->forget_attentions();
  slow.begin(*nexus, list, other);
  slow.finish(first);
  slow.finish(other);
  EXPECT_EQ(first, good_text);
  EXPECT_EQ(other, good_text);
}

TEST_F(ScsiExtendedCopy, AReservationThatIsMadeMeanwhileStopsTheRest) {
  OnReactor loop;
  Slow slow(1, loop.reactor());
  const std::string list = copy_list(target_of(slow.unit), {{0, 8, 4}, {0, 16, 4}});
  auto nexus = slow.unit.add_nexus("another");
  nexus->forget_attentions();
  ASSERT_TRUE(slow.unit.execute(write_16(0, 0)).good());
  std::string ended;
  slow.begin(slow.unit.first(), list, ended);
  ASSERT_TRUE(slow.unit.execute(*nexus, reserve_out(ReserveAction::enroll_and_ignore), reserve_list(0, 1)).good());
  ASSERT_TRUE(slow.unit.execute(*nexus, reserve_out(ReserveAction::reserve, 1), reserve_list(1, 0)).good());
  slow.finish(ended);
  EXPECT_EQ(ended, "status 18 key 0 code 0000");
}

TEST_F(ScsiExtendedCopy, CopiesAndCompareAndWriteDoNotWaitForOneAnother) {
  OnReactor loop;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Slow slow(seed, loop.reactor());
    std::string there, back, compared;
    slow.begin(slow.unit.first(), copy_list(target_of(slow.unit), {{0, 8, 8}}, 1), there);
    slow.begin(slow.unit.first(), copy_list(target_of(slow.unit), {{8, 0, 8}}, 2), back);
    run_detached(slow.unit.start(slow.unit.first(), compare_and_write(0, 16), std::string(32 * 512, '\0')),
                 [&compared](const Answer& answer) { compared = text_of(answer); });
    slow.unit->reactor().ready().run();
    slow.finish(there);
    slow.finish(back);
    slow.finish(compared);
    ASSERT_EQ(compared, good_text) << "seed " << seed;
  }
}

}  // namespace
}  // namespace cairn::test
