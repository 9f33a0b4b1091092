// Persistent reservations and RESERVE, command by command (SPC-4 sections 5.12, 6.15 and 6.16; SPC-2 section 5.5).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/parameter_cdb.h"
#include "test/native/iscsi/scsi/reservation_cdb.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint64_t key_a = 0xaaaa;
constexpr uint64_t key_b = 0xbbbb;
constexpr const char* port_a = "iqn.2026-11.io.example:first,i,0x400001370000";
constexpr const char* port_b = "iqn.2026-11.io.example:second,i,0x400001370000";
constexpr const char* conflicts = "status 18 key 0 code 0000";
constexpr const char* wrong_length = "status 02 key 5 code 1a00";

class ScsiReservations : public testing::Test {
 protected:
  void SetUp() override { start(); }
  /// The unit as its process finds it again.
  void start(std::string path = {}) {
    b_.reset();
    unit_.reset();
    unit_ = std::make_unique<Unit>(UnitOptions{.reservations_path = std::move(path)});
    b_ = unit_->add_nexus(port_b);
    b_->forget_attentions();
  }
  TestNexus& a() { return unit_->first(); }
  TestNexus& b() { return *b_; }
  Unit& unit() { return *unit_; }

  std::string out(TestNexus& who, ReserveAction action, uint8_t type, const std::string& list) {
    return text_of(unit_->execute(who, reserve_out(action, type, static_cast<uint32_t>(list.size())), list));
  }
  bool enroll(TestNexus& who, uint64_t key, uint8_t flags = 0) {
    return unit_->execute(who, reserve_out(ReserveAction::enroll_and_ignore), reserve_list(0, key, flags)).good();
  }
  bool reserve(TestNexus& who, uint64_t key, uint8_t type) {
    return unit_->execute(who, reserve_out(ReserveAction::reserve, type), reserve_list(key, 0)).good();
  }
  std::string in(ReserveReport report) { return hex_of(unit_->execute(reserve_in(report)).data_in); }
  Result<cairn::Unit> open() { return unit_->wait((*unit_)->open()); }

 private:
  std::unique_ptr<Unit> unit_;
  std::unique_ptr<TestNexus> b_;
};

TEST_F(ScsiReservations, ListsOfAnotherLengthAreRefused) {
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, std::string(23, '\0')), wrong_length);
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, reserve_list(0, key_a) + std::string(4, '\0')), wrong_length);
  EXPECT_EQ(out(a(), ReserveAction::reserve, 1, reserve_list(0, key_a) + std::string(1, '\0')), wrong_length);
  // Less comes than the CDB says.
  EXPECT_EQ(text_of(unit().execute(reserve_out(ReserveAction::enroll), std::string(20, '\0'))), wrong_length);
  EXPECT_EQ(in(ReserveReport::keys), "00 00 00 00 00 00 00 00 ");
}

TEST_F(ScsiReservations, ScopesAndTypesThatAreNoneAreRefused) {
  ASSERT_TRUE(enroll(a(), key_a));
  for (const uint8_t type : {0, 2, 4, 9, 15})
    EXPECT_EQ(out(a(), ReserveAction::reserve, type, reserve_list(key_a, 0)),
              "status 02 key 5 code 2400 cdb byte 2 bit 3");
  EXPECT_EQ(out(a(), ReserveAction::reserve, 0x11, reserve_list(key_a, 0)),
            "status 02 key 5 code 2400 cdb byte 2 bit 7");
}

TEST_F(ScsiReservations, PreemptingRegistrationsAloneLooksAtNoType) {
  ASSERT_TRUE(enroll(a(), key_a));
  ASSERT_TRUE(enroll(b(), key_b));
  EXPECT_EQ(out(a(), ReserveAction::preempt, 0, reserve_list(key_a, key_b)), "status 00 key 0 code 0000");
  EXPECT_EQ(text_of(unit().execute(b(), {0})), "status 02 key 6 code 2a05");
  EXPECT_EQ(in(ReserveReport::keys), "00 00 00 03 00 00 00 08 00 00 00 00 00 00 aa aa ");
}

TEST_F(ScsiReservations, PreemptAndAbortEndsTheCommandsOfThoseThatArePreempted) {
  ASSERT_TRUE(enroll(a(), key_a));
  ASSERT_TRUE(enroll(b(), key_b));
  ASSERT_TRUE(reserve(b(), key_b, 1));
  EXPECT_EQ(out(a(), ReserveAction::preempt_and_abort, 3, reserve_list(key_a, key_b)), "status 00 key 0 code 0000");
  EXPECT_EQ(a().aborts, 0);
  EXPECT_EQ(b().aborts, 1);
  EXPECT_EQ(in(ReserveReport::reservation), "00 00 00 03 00 00 00 10 00 00 00 00 00 00 aa aa 00 00 00 00 00 03 00 00 ");
}

TEST_F(ScsiReservations, ARegistrationOutlivesItsNexus) {
  auto c = unit().add_nexus("iqn.2026-11.io.example:third,i,0x000000000001");
  c->forget_attentions();
  ASSERT_TRUE(enroll(*c, key_b));
  ASSERT_TRUE(reserve(*c, key_b, 3));
  c.reset();
  EXPECT_EQ(text_of(unit().execute(read_16(0, 1))), conflicts);
  c = unit().add_nexus("iqn.2026-11.io.example:third,i,0x000000000001");
  c->forget_attentions();
  EXPECT_TRUE(unit().execute(*c, read_16(0, 1)).good());
}

// ---- Naming other ports ----

TEST_F(ScsiReservations, PortsThatAreNamedAreRegisteredToo) {
  const std::string ids = transport_id(port_b) + transport_id("iqn.2026-11.io.example:third,i,0x000000000001");
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, with_ports(reserve_list(0, key_a, spec_i_pt), ids)),
            "status 00 key 0 code 0000");
  EXPECT_EQ(unit()->reservations().state().registrations.size(), 3U);
  EXPECT_TRUE(reserve(b(), key_a, 5));
}

TEST_F(ScsiReservations, ANameWithoutAPortIsAllPortsThatItHasLoggedInWith) {
  const std::string ids = transport_id("iqn.2026-11.io.example:second", 0);
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, with_ports(reserve_list(0, key_a, spec_i_pt), ids)),
            "status 00 key 0 code 0000");
  EXPECT_NE(unit()->reservations().state().find(port_b), nullptr);
}

TEST_F(ScsiReservations, APortThatIsWrittenWithLargeLettersIsTheSame) {
  EXPECT_EQ(
      out(a(), ReserveAction::enroll, 0,
          with_ports(reserve_list(0, key_a, spec_i_pt), transport_id("iqn.2026-11.io.example:third,i,0x00000000ABCD"))),
      "status 00 key 0 code 0000");
  EXPECT_NE(unit()->reservations().state().find("iqn.2026-11.io.example:third,i,0x00000000abcd"), nullptr);
}

TEST_F(ScsiReservations, WrongTransportIdsRegisterNobody) {
  std::string fibre_channel = transport_id(port_b);
  fibre_channel[0] = 0x40;
  std::string unterminated = transport_id(port_b);
  std::ranges::fill(unterminated.begin() + 4, unterminated.end(), 'x');
  std::string odd = transport_id(port_b);
  odd[3] = static_cast<char>(odd[3] - 2);
  const std::string no_port = transport_id("iqn.2026-11.io.example:second");
  for (const std::string& id :
       {fibre_channel, unterminated, odd, no_port, transport_id(port_b, 0x80), transport_id(port_b, 0x00),
        transport_id(""), transport_id(port_a), std::string(3, '\0')})
    EXPECT_EQ(out(a(), ReserveAction::enroll, 0, with_ports(reserve_list(0, key_a, spec_i_pt), id)),
              "status 02 key 5 code 2600 parameter byte 28");
  EXPECT_EQ(in(ReserveReport::keys), "00 00 00 00 00 00 00 00 ");
}

TEST_F(ScsiReservations, PortsAreNamedByTheFirstRegistrationAlone) {
  const std::string named = "status 02 key 5 code 2600 parameter byte 20 bit 3";
  const std::string list = with_ports(reserve_list(key_a, key_a, spec_i_pt), transport_id(port_b));
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_ignore, 0, list), named);
  ASSERT_TRUE(enroll(a(), key_a));
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, list), named);
  for (const ReserveAction action : {ReserveAction::reserve, ReserveAction::release, ReserveAction::clear,
                                     ReserveAction::preempt, ReserveAction::preempt_and_abort})
    EXPECT_EQ(out(a(), action, 1, reserve_list(key_a, key_a, spec_i_pt)), named);
}

TEST_F(ScsiReservations, MorePortsThanThereIsRoomForAreRefusedAltogether) {
  std::string ids;
  for (int i = 0; i < 256; ++i)
    ids += transport_id("iqn.2026-11.io.example:many,i,0x000000000" + std::to_string(100 + i));
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, with_ports(reserve_list(0, key_a, spec_i_pt), ids)),
            "status 02 key 5 code 5504");
  EXPECT_EQ(in(ReserveReport::keys), "00 00 00 00 00 00 00 00 ");
  ids.resize(ids.size() - transport_id("iqn.2026-11.io.example:many,i,0x000000000100").size());
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, with_ports(reserve_list(0, key_a, spec_i_pt), ids)),
            "status 00 key 0 code 0000");
  EXPECT_FALSE(enroll(b(), key_b));
}

// ---- REGISTER AND MOVE ----

TEST_F(ScsiReservations, AReservationMovesToAnotherPort) {
  ASSERT_TRUE(enroll(a(), key_a));
  ASSERT_TRUE(reserve(a(), key_a, 3));
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, key_b, transport_id(port_b), 0x02)),
            "status 00 key 0 code 0000");
  EXPECT_TRUE(unit().execute(b(), read_16(0, 1)).good());
  EXPECT_EQ(text_of(unit().execute(a(), read_16(0, 1))), conflicts);
  EXPECT_EQ(in(ReserveReport::keys), "00 00 00 02 00 00 00 08 00 00 00 00 00 00 bb bb ");
}

TEST_F(ScsiReservations, OnlyItsHolderMovesAReservation) {
  const std::string there = transport_id(port_b);
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, key_b, there)), conflicts);
  ASSERT_TRUE(enroll(a(), key_a));
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, key_b, there)), conflicts);
  ASSERT_TRUE(reserve(a(), key_a, 8));
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, key_b, there)), conflicts);
  ASSERT_EQ(out(a(), ReserveAction::preempt, 3, reserve_list(key_a, 0)), "status 00 key 0 code 0000");
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, 0, there)),
            "status 02 key 5 code 2600 parameter byte 8");
  std::string elsewhere = move_list(key_a, key_b, there);
  elsewhere[19] = 2;
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, elsewhere), "status 02 key 5 code 2600 parameter byte 18");
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, key_b, transport_id(port_a))),
            "status 02 key 5 code 2600 parameter byte 24");
  EXPECT_EQ(out(a(), ReserveAction::enroll_and_move, 0, move_list(key_a, key_b, there) + "more"), wrong_length);
}

// ---- What is reported ----

TEST_F(ScsiReservations, FullStatusNamesEveryPort) {
  ASSERT_TRUE(enroll(a(), key_a));
  ASSERT_TRUE(reserve(a(), key_a, 5));
  const std::string status = unit().execute(reserve_in(ReserveReport::full_status)).data_in;
  EXPECT_EQ(hex_of(status.substr(0, 32)),
            "00 00 00 01 00 00 00 4c 00 00 00 00 00 00 aa aa 00 00 00 00 03 05 00 00 00 00 00 01 00 00 00 34 ");
  EXPECT_EQ(status.substr(32), transport_id(port_a));
}

TEST_F(ScsiReservations, CapabilitiesSayWhetherRegistrationsAreKept) {
  EXPECT_EQ(in(ReserveReport::capabilities), "00 08 0c 90 ea 01 00 00 ");
  const TemporaryDirectory directory;
  start(directory.path() + "/reservations");
  EXPECT_EQ(in(ReserveReport::capabilities), "00 08 0d 90 ea 01 00 00 ");
  ASSERT_TRUE(enroll(a(), key_a, aptpl));
  EXPECT_EQ(in(ReserveReport::capabilities), "00 08 0d 91 ea 01 00 00 ");
}

// ---- RESERVE of SPC-2 ----

TEST_F(ScsiReservations, ReserveStopsOthersUntilItsNexusIsLost) {
  for (const uint8_t opcode : {0x16, 0x56}) {
    auto c = unit().add_nexus("iqn.2026-11.io.example:third,i,0x000000000001");
    c->forget_attentions();
    ASSERT_TRUE(unit().execute(*c, {opcode}).good());
    EXPECT_EQ(text_of(unit().execute(a(), {0})), conflicts);
    EXPECT_EQ(text_of(unit().execute(a(), {opcode})), conflicts);
    EXPECT_TRUE(unit().execute(a(), inquiry()).good());
    EXPECT_TRUE(unit().execute(*c, read_16(0, 1)).good());
    EXPECT_TRUE(unit().execute(a(), {static_cast<uint8_t>(opcode + 1)}).good()) << "releases nothing";
    EXPECT_EQ(text_of(unit().execute(a(), {0})), conflicts);
    c.reset();
    EXPECT_TRUE(unit().execute(a(), {0}).good());
  }
}

TEST_F(ScsiReservations, ReserveAndRegistrationsShutEachOtherOut) {
  ASSERT_TRUE(unit().execute(a(), {0x16}).good());
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, reserve_list(0, key_a)), conflicts);
  EXPECT_EQ(text_of(unit().execute(a(), reserve_in(ReserveReport::keys))), conflicts);
  ASSERT_TRUE(unit().execute(a(), {0x17}).good());
  ASSERT_TRUE(enroll(a(), key_a));
  for (const uint8_t opcode : {0x16, 0x17, 0x56, 0x57}) EXPECT_EQ(text_of(unit().execute(a(), {opcode})), conflicts);
}

// ---- Kept through power loss ----

TEST_F(ScsiReservations, WithoutAPlaceToKeepThemNobodyAsksForIt) {
  EXPECT_EQ(out(a(), ReserveAction::enroll, 0, reserve_list(0, key_a, aptpl)),
            "status 02 key 5 code 2600 parameter byte 20 bit 0");
  EXPECT_EQ(in(ReserveReport::keys), "00 00 00 00 00 00 00 00 ");
}

TEST_F(ScsiReservations, WhatIsKeptIsThereAgainButForTheGeneration) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/reservations";
  for (const uint8_t type : {1, 3, 5, 6, 7, 8}) {
    start(path);
    ASSERT_TRUE(enroll(a(), key_a, aptpl));
    ASSERT_TRUE(enroll(b(), key_b, aptpl));
    ASSERT_TRUE(reserve(a(), key_a, type));
    const ReservationState before = unit()->reservations().state();
    start(path);
    ASSERT_TRUE(open().ok());
    const ReservationState& after = unit()->reservations().state();
    EXPECT_EQ(after.registrations, before.registrations);
    EXPECT_EQ(after.reservation, before.reservation);
    EXPECT_EQ(after.generation, 0U);
    ASSERT_EQ(out(a(), ReserveAction::clear, 0, reserve_list(key_a, 0)), "status 00 key 0 code 0000");
    struct stat info;
    EXPECT_NE(stat(path.c_str(), &info), 0) << "nothing is kept of nothing";
  }
}

TEST_F(ScsiReservations, WhatIsGivenUpIsNotThereAgain) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/reservations";
  start(path);
  ASSERT_TRUE(enroll(a(), key_a, aptpl));
  ASSERT_TRUE(enroll(a(), key_a));
  start(path);
  ASSERT_TRUE(open().ok());
  EXPECT_TRUE(unit()->reservations().state().registrations.empty());
}

TEST_F(ScsiReservations, ACommandThatCannotBeKeptChangesNothing) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/reservations";
  start(path);
  ASSERT_TRUE(enroll(a(), key_a, aptpl));
  // Where the new file would be written there is a folder.
  ASSERT_EQ(mkdir((path + ".new").c_str(), 0700), 0);
  const std::string before = in(ReserveReport::keys);
  EXPECT_EQ(out(b(), ReserveAction::enroll, 0, reserve_list(0, key_b, aptpl)), "status 02 key 4 code 4400");
  EXPECT_FALSE(reserve(a(), key_a, 3));
  EXPECT_EQ(in(ReserveReport::keys), before);
  EXPECT_TRUE(unit().execute(b(), read_16(0, 1)).good());
  ASSERT_EQ(rmdir((path + ".new").c_str()), 0);
  EXPECT_TRUE(reserve(a(), key_a, 3));
}

std::string text_in(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST_F(ScsiReservations, AfterACrashAtAnyByteOfTheWriteTheFormerFileCounts) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/reservations";
  start(path);
  ASSERT_TRUE(enroll(a(), key_a, aptpl));
  const std::string former = text_in(path);
  ASSERT_TRUE(enroll(b(), key_b, aptpl));
  const std::string next = text_in(path);
  for (size_t length = 0; length <= next.size(); length += 7) {
    std::ofstream(path, std::ios::binary) << former;
    std::ofstream(path + ".new", std::ios::binary) << next.substr(0, length);
    start(path);
    ASSERT_TRUE(open().ok());
    ASSERT_EQ(unit()->reservations().state().registrations, (std::vector<Registration>{{port_a, key_a}}));
    ASSERT_TRUE(enroll(b(), key_b, aptpl)) << "what the crash left is in nobody's way";
    ASSERT_EQ(text_in(path), next);
  }
}

TEST_F(ScsiReservations, ADamagedFileIsAnErrorThatSaysWhatToDo) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/reservations";
  start(path);
  ASSERT_TRUE(enroll(a(), key_a, aptpl));
  ASSERT_TRUE(reserve(a(), key_a, 3));
  const std::string whole = text_in(path);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    ASSERT_FALSE(decode_reservations(damaged)) << "byte " << at;
    ASSERT_FALSE(decode_reservations(whole.substr(0, at))) << "byte " << at;
  }
  std::ofstream(path, std::ios::binary) << whole.substr(0, 30);
  start(path);
  const Result<cairn::Unit> opened = open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, "REPLICA_CORRUPT");
  EXPECT_NE(opened.error().message.find(path), std::string::npos);
  EXPECT_NE(opened.error().message.find("remove the file"), std::string::npos);
}

}  // namespace
}  // namespace cairn::test
