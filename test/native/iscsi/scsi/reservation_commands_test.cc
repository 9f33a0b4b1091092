// PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE, and what they stop.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "iscsi/scsi/transport_id.h"
#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {
namespace {

using namespace scsi;
using Type = ReservationType;

constexpr const char* port_a = "iqn.2026-11.io.example:a,i,0x400001370000";
constexpr const char* port_b = "iqn.2026-11.io.example:b,i,0x400001370000";
constexpr const char* port_c = "iqn.2026-11.io.example:c,i,0x400001370000";
constexpr Type all_types[] = {Type::write_exclusive,
                              Type::exclusive_access,
                              Type::write_exclusive_registrants_only,
                              Type::exclusive_access_registrants_only,
                              Type::write_exclusive_all_registrants,
                              Type::exclusive_access_all_registrants};

enum Action : uint8_t { register_ = 0, reserve_, release_, clear_, preempt_, preempt_abort_, register_ignore_, move_ };

std::string list_of(uint64_t key, uint64_t action_key, uint8_t flags = 0) {
  std::string list(24, '\0');
  store_be64(list.data(), key);
  store_be64(list.data() + 8, action_key);
  list[20] = static_cast<char>(flags);
  return list;
}

Cdb out_cdb(Action action, uint8_t type = 0, size_t length = 24) {
  Cdb cdb{0x5f, action, type};
  store_be32(&cdb[5], static_cast<uint32_t>(length));
  return cdb;
}

/// Three initiators of one unit.
class ScsiReservationCommands : public testing::Test {
 protected:
  explicit ScsiReservationCommands(const std::string& path = {}) : unit_({.reservations_path = path}) {
    for (const char* port : {port_a, port_b, port_c}) {
      nexuses_.push_back(unit_.add_nexus(port));
      nexuses_.back()->forget_attentions();
    }
  }

  TestNexus& a() { return *nexuses_[0]; }
  TestNexus& b() { return *nexuses_[1]; }
  TestNexus& c() { return *nexuses_[2]; }

  StatusCode out(TestNexus& nexus, Action action, uint64_t key, uint64_t action_key = 0, uint8_t type = 0,
                 uint8_t flags = 0) {
    return unit_.execute(nexus, out_cdb(action, type), list_of(key, action_key, flags)).status();
  }
  std::vector<uint64_t> keys() {
    const Answer answer = unit_.execute(a(), Cdb{0x5e, 0, 0, 0, 0, 0, 0, 0x10, 0});
    std::vector<uint64_t> all;
    for (size_t at = 8; at + 8 <= answer.data_in.size(); at += 8) all.push_back(load_be64(answer.data_in.data() + at));
    return all;
  }
  uint32_t generation() { return unit_->reservations().state().generation; }
  bool may_write(TestNexus& nexus) {
    const StatusCode status = unit_.execute(nexus, Cdb{0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, std::string(512, 'x')).status();
    EXPECT_TRUE(status == StatusCode::good || status == StatusCode::reservation_conflict);
    return status == StatusCode::good;
  }
  bool may_read(TestNexus& nexus) {
    return unit_.execute(nexus, Cdb{0x28, 0, 0, 0, 0, 0, 0, 0, 1}).status() == StatusCode::good;
  }
  SenseCode attention(TestNexus& nexus) { return unit_.execute(nexus, Cdb{}).sense().code; }

  test::Unit unit_;
  std::vector<std::unique_ptr<TestNexus>> nexuses_;
};

TEST_F(ScsiReservationCommands, AKeyIsRegisteredChangedAndTakenBack) {
  EXPECT_EQ(out(a(), register_, 7, 1), StatusCode::reservation_conflict);  // nobody has registered 7
  EXPECT_EQ(out(a(), register_, 0, 1), StatusCode::good);
  EXPECT_EQ(out(a(), register_, 0, 2), StatusCode::reservation_conflict);
  EXPECT_EQ(out(a(), register_, 1, 2), StatusCode::good);
  EXPECT_EQ(out(a(), register_ignore_, 99, 3), StatusCode::good);
  EXPECT_EQ(out(b(), register_ignore_, 99, 4), StatusCode::good);
  EXPECT_EQ(keys(), (std::vector<uint64_t>{3, 4}));
  EXPECT_EQ(generation(), 4U);
  EXPECT_EQ(out(a(), register_, 3, 0), StatusCode::good);
  EXPECT_EQ(keys(), std::vector<uint64_t>{4});
}

TEST_F(ScsiReservationCommands, EachTypeStopsWhomItSays) {
  for (const Type type : all_types) {
    SCOPED_TRACE(static_cast<int>(type));
    out(a(), register_ignore_, 0, 1);
    out(b(), register_ignore_, 0, 2);
    ASSERT_EQ(out(a(), reserve_, 1, 0, static_cast<uint8_t>(type)), StatusCode::good);
    const bool reads = type == Type::write_exclusive || type == Type::write_exclusive_registrants_only ||
                       type == Type::write_exclusive_all_registrants;
    EXPECT_TRUE(may_write(a()));
    EXPECT_TRUE(may_read(a()));
    EXPECT_EQ(may_write(b()), admits_registrants(type));
    EXPECT_EQ(may_read(b()), admits_registrants(type) || reads);
    EXPECT_FALSE(may_write(c()));
    EXPECT_EQ(may_read(c()), reads);
    EXPECT_EQ(unit_.execute(c(), Cdb{}).status(), StatusCode::good);  // TEST UNIT READY
    EXPECT_EQ(out(a(), clear_, 1), StatusCode::good);
    b().forget_attentions();
    EXPECT_TRUE(may_write(c()));
  }
}

TEST_F(ScsiReservationCommands, OnlyTheHolderReleasesAndOnlyWhatItHolds) {
  out(a(), register_, 0, 1);
  out(b(), register_, 0, 2);
  EXPECT_EQ(out(c(), reserve_, 0, 0, 1), StatusCode::reservation_conflict);
  ASSERT_EQ(out(a(), reserve_, 1, 0, 5), StatusCode::good);
  EXPECT_EQ(out(a(), reserve_, 1, 0, 5), StatusCode::good);
  EXPECT_EQ(out(a(), reserve_, 1, 0, 6), StatusCode::reservation_conflict);
  EXPECT_EQ(out(b(), reserve_, 2, 0, 5), StatusCode::reservation_conflict);
  EXPECT_EQ(out(b(), release_, 2, 0, 5), StatusCode::good);  // does nothing
  EXPECT_FALSE(may_write(c()));
  const Answer wrong = unit_.execute(a(), out_cdb(release_, 6), list_of(1, 0));
  EXPECT_EQ(wrong.sense().code, SenseCode::invalid_release_of_reservation);
  EXPECT_EQ(out(a(), release_, 1, 0, 5), StatusCode::good);
  EXPECT_EQ(attention(b()), SenseCode::reservations_released);
  EXPECT_TRUE(may_write(c()));
}

TEST_F(ScsiReservationCommands, AHolderThatUnregistersLetsGo) {
  out(a(), register_, 0, 1);
  out(b(), register_, 0, 2);
  out(a(), reserve_, 1, 0, 6);
  EXPECT_EQ(out(a(), register_, 1, 0), StatusCode::good);
  EXPECT_EQ(attention(b()), SenseCode::reservations_released);
  EXPECT_TRUE(may_write(c()));
  // Held by all, it ends with the last of them.
  out(a(), register_, 0, 1);
  out(a(), reserve_, 1, 0, 8);
  out(a(), register_, 1, 0);
  EXPECT_FALSE(may_read(c()));
  out(b(), register_, 2, 0);
  EXPECT_TRUE(may_read(c()));
}

TEST_F(ScsiReservationCommands, APreemptedHolderIsOutAndItsCommandsEnd) {
  out(a(), register_, 0, 1);
  out(b(), register_, 0, 2);
  out(a(), reserve_, 1, 0, 1);
  EXPECT_EQ(out(b(), preempt_, 2, 77, 1), StatusCode::reservation_conflict);  // nobody has the key
  EXPECT_EQ(out(b(), preempt_abort_, 2, 1, 3), StatusCode::good);
  EXPECT_EQ(a().aborts, 1);
  EXPECT_EQ(b().aborts, 0);
  EXPECT_EQ(attention(a()), SenseCode::registrations_preempted);
  EXPECT_FALSE(may_read(a()));
  EXPECT_TRUE(may_write(b()));
  EXPECT_EQ(keys(), std::vector<uint64_t>{2});
}

TEST_F(ScsiReservationCommands, WhoIsNoHolderIsOnlyUnregistered) {
  out(a(), register_, 0, 1);
  out(b(), register_, 0, 2);
  out(c(), register_, 0, 3);
  out(a(), reserve_, 1, 0, 5);
  EXPECT_EQ(out(b(), preempt_, 2, 3, 5), StatusCode::good);
  EXPECT_EQ(attention(c()), SenseCode::registrations_preempted);
  EXPECT_FALSE(may_write(c()));
  EXPECT_EQ(unit_->reservations().state().reservation->holder, port_a);
  EXPECT_EQ(unit_.execute(b(), out_cdb(preempt_, 5), list_of(2, 0)).sense().code,
            SenseCode::invalid_field_in_parameter_list);
}

TEST_F(ScsiReservationCommands, AllRegistrantsArePreemptedByNoKey) {
  out(a(), register_, 0, 1);
  out(b(), register_, 0, 2);
  out(a(), reserve_, 1, 0, 7);
  EXPECT_EQ(out(b(), preempt_, 2, 0, 1), StatusCode::good);
  EXPECT_EQ(attention(a()), SenseCode::registrations_preempted);
  EXPECT_EQ(keys(), std::vector<uint64_t>{2});
  EXPECT_EQ(*unit_->reservations().state().reservation, (PersistentReservation{Type::write_exclusive, port_b}));
}

TEST_F(ScsiReservationCommands, AReservationIsMovedToAnotherPort) {
  out(a(), register_, 0, 1);
  out(a(), reserve_, 1, 0, 1);
  ParameterData id;
  put_transport_id(id, port_b);
  std::string list = list_of(1, 9);
  list[17] = 0x02;  // UNREG
  list[19] = 1;     // the target port
  list[20] = 0;
  std::vector<std::byte> bytes(id.size());
  (void)id.give(bytes);
  store_be32(list.data() + 20, static_cast<uint32_t>(bytes.size()));
  list.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(unit_.execute(a(), out_cdb(move_, 0, list.size()), list).status(), StatusCode::good);
  EXPECT_TRUE(may_write(b()));
  EXPECT_FALSE(may_write(a()));
  EXPECT_EQ(keys(), std::vector<uint64_t>{9});
}

TEST_F(ScsiReservationCommands, WrongListsAndTypesAreRefused) {
  out(a(), register_, 0, 1);
  EXPECT_EQ(unit_.execute(a(), out_cdb(register_, 0, 20), list_of(1, 2)).sense().code,
            SenseCode::parameter_list_length_error);
  EXPECT_EQ(unit_.execute(a(), out_cdb(reserve_, 1), "short").sense().code, SenseCode::parameter_list_length_error);
  for (const uint8_t type : {0, 2, 4, 9, 15, 0x11}) {
    const Answer answer = unit_.execute(a(), out_cdb(reserve_, type), list_of(1, 0));
    EXPECT_EQ(answer.sense().code, SenseCode::invalid_field_in_cdb) << int{type};
  }
  // There is no file to keep it in.
  EXPECT_EQ(unit_.execute(a(), out_cdb(register_), list_of(1, 2, 0x01)).sense().code,
            SenseCode::invalid_field_in_parameter_list);
  EXPECT_EQ(keys(), std::vector<uint64_t>{1});
}

TEST_F(ScsiReservationCommands, ReserveIsOfOneNexusUntilItIsLost) {
  EXPECT_EQ(unit_.execute(a(), Cdb{0x16}).status(), StatusCode::good);
  EXPECT_FALSE(may_read(b()));
  EXPECT_EQ(unit_.execute(b(), Cdb{0x16}).status(), StatusCode::reservation_conflict);
  EXPECT_EQ(unit_.execute(b(), Cdb{0x17}).status(), StatusCode::good);  // does nothing
  EXPECT_FALSE(may_read(b()));
  nexuses_[0].reset();
  EXPECT_TRUE(may_read(b()));
  out(b(), register_, 0, 1);
  EXPECT_EQ(unit_.execute(c(), Cdb{0x16}).status(), StatusCode::reservation_conflict);
}

// ---- Through power loss ---------------------------------------------------------------------------------------------

class ScsiKeptReservations : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  std::string path() const { return directory_.path() + "/reservations"; }

  StatusCode out(test::Unit& unit, TestNexus& nexus, Action action, uint64_t key, uint64_t action_key = 0,
                 uint8_t type = 0, uint8_t flags = 0) {
    return unit.execute(nexus, out_cdb(action, type), list_of(key, action_key, flags)).status();
  }
};

TEST_F(ScsiKeptReservations, AreThereAfterARestart) {
  ReservationState before;
  {
    test::Unit unit({.reservations_path = path()});
    EXPECT_EQ(out(unit, unit.first(), register_, 0, 0x1234, 0, 0x01), StatusCode::good);
    EXPECT_EQ(out(unit, unit.first(), reserve_, 0x1234, 0, 5), StatusCode::good);
    before = unit->reservations().state();
  }
  test::Unit unit({.reservations_path = path()});
  EXPECT_TRUE(unit.wait(unit->open()).ok());
  EXPECT_EQ(unit->reservations().state().registrations, before.registrations);
  EXPECT_EQ(unit->reservations().state().reservation, before.reservation);
  // Given up, they are gone with the next start.
  EXPECT_EQ(out(unit, unit.first(), register_ignore_, 0, 0x1234, 0, 0), StatusCode::good);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(ScsiKeptReservations, AWriteThatFailsChangesNothing) {
  test::Unit unit({.reservations_path = directory_.path() + "/missing/reservations"});
  const Answer answer = unit.execute(unit.first(), out_cdb(register_), list_of(0, 1, 0x01));
  EXPECT_EQ(answer.sense().key, SenseKey::hardware_error);
  EXPECT_TRUE(unit->reservations().state().registrations.empty());
}

TEST_F(ScsiKeptReservations, ADamagedFileIsSaidAndNotTaken) {
  ReservationState state;
  state.registrations = {{port_a, 1}, {port_b, 2}};
  state.reservation = PersistentReservation{Type::write_exclusive, port_a};
  const std::string whole = encode_reservations(state);
  ASSERT_TRUE(decode_reservations(whole).has_value());
  EXPECT_EQ(decode_reservations(whole)->registrations, state.registrations);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x01);
    EXPECT_FALSE(decode_reservations(damaged).has_value()) << at;
    EXPECT_FALSE(decode_reservations(whole.substr(0, at)).has_value()) << at;
  }
  std::ofstream(path()) << whole.substr(1);
  test::Unit unit({.reservations_path = path()});
  EXPECT_EQ(unit.wait(unit->open()).error().code, "REPLICA_CORRUPT");
}

}  // namespace
}  // namespace cairn::test
