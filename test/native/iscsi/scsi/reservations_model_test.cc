// Random PERSISTENT RESERVE OUT of several nexuses, beside a model that says after SPC-4 section 5.12 what becomes of
// them: how each ends, what is registered and reserved, who is told, and who may read and write.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/reservation_cdb.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr int nexus_count = 4;
constexpr uint8_t types[] = {1, 3, 5, 6, 7, 8};
constexpr int nobody = -1;
constexpr const char* good_text = "status 00 key 0 code 0000";
constexpr const char* conflict_text = "status 18 key 0 code 0000";
constexpr const char* key_text = "status 02 key 5 code 2600 parameter byte 8";
constexpr const char* release_text = "status 02 key 5 code 2604";

struct Request {
  ReserveAction action;
  int who;
  uint8_t type;
  uint64_t key;
  uint64_t action_key;
};

struct Model {
  std::map<int, uint64_t> keys;
  uint8_t type = 0;  // 0: no reservation
  int holder = nobody;
  uint32_t generation = 0;
  std::map<int, std::set<SenseCode>> told;

  bool all_hold() const { return type == 7 || type == 8; }
  bool holds(int who) const { return type != 0 && (all_hold() ? keys.contains(who) : holder == who); }
  bool may_read(int who) const {
    const bool excludes = type == 3 || type == 6 || type == 8;
    return !excludes || may_write(who);
  }
  bool may_write(int who) const { return type == 0 || holds(who) || (type >= 5 && keys.contains(who)); }

  void tell_others(int who, SenseCode what) {
    for (const auto& [other, key] : keys)
      if (other != who) told[other].insert(what);
  }
  void end_reservation() {
    type = 0;
    holder = nobody;
  }
  void take_away(int who) {
    const bool ends = all_hold() ? keys.size() == 1 && keys.contains(who) : holder == who;
    keys.erase(who);
    if (!ends) return;
    if (type >= 5) tell_others(who, SenseCode::reservations_released);
    end_reservation();
  }
  void take_others(int who, uint64_t key) {
    for (auto each = keys.begin(); each != keys.end();) {
      if (each->first == who || (key != 0 && each->second != key)) {
        ++each;
        continue;
      }
      told[each->first].insert(SenseCode::registrations_preempted);
      each = keys.erase(each);
    }
  }

  std::string enroll(const Request& request) {
    const bool known = keys.contains(request.who);
    const uint64_t own = known ? keys[request.who] : 0;
    if (!known) keys.erase(request.who);
    if (request.action == ReserveAction::enroll && request.key != own) return conflict_text;
    if (!known && request.action_key == 0) return good_text;
    if (request.action_key == 0)
      take_away(request.who);
    else
      keys[request.who] = request.action_key;
    ++generation;
    return good_text;
  }
  std::string reserve(const Request& request) {
    if (type != 0) return holds(request.who) && type == request.type ? good_text : conflict_text;
    type = request.type;
    holder = all_hold() ? nobody : request.who;
    return good_text;
  }
  std::string release(const Request& request) {
    if (!holds(request.who)) return good_text;
    if (type != request.type) return release_text;
    if (type >= 5) tell_others(request.who, SenseCode::reservations_released);
    end_reservation();
    return good_text;
  }
  std::string clear(const Request& request) {
    tell_others(request.who, SenseCode::reservations_preempted);
    keys.clear();
    end_reservation();
    ++generation;
    return good_text;
  }
  std::string preempt(const Request& request) {
    const uint64_t victim = request.action_key;
    if (victim == 0 && !all_hold()) return key_text;
    if (victim != 0 && std::ranges::none_of(keys, [&](const auto& each) { return each.second == victim; }))
      return conflict_text;
    const bool takes = all_hold() ? victim == 0 : type != 0 && keys[holder] == victim;
    take_others(request.who, victim);
    if (takes && type != request.type) tell_others(request.who, SenseCode::reservations_released);
    if (takes) {
      type = request.type;
      holder = all_hold() ? nobody : request.who;
    } else if (keys[request.who] == victim) {
      take_away(request.who);
    }
    ++generation;
    return good_text;
  }
  std::string apply(const Request& request) {
    if (request.action == ReserveAction::enroll || request.action == ReserveAction::enroll_and_ignore)
      return enroll(request);
    if (!keys.contains(request.who) || keys[request.who] != request.key) return conflict_text;
    if (request.action == ReserveAction::reserve) return reserve(request);
    if (request.action == ReserveAction::release) return release(request);
    return request.action == ReserveAction::clear ? clear(request) : preempt(request);
  }
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
    for (int i = 0; i < nexus_count; ++i) {
      nexuses_.push_back(unit_.add_nexus("iqn.2026-11.io.example:n" + std::to_string(i) + ",i,0x000000000000"));
      nexuses_.back()->forget_attentions();
    }
  }

  void step() {
    const Request request = draw();
    SCOPED_TRACE("action " + std::to_string(static_cast<int>(request.action)) + " of " + std::to_string(request.who) +
                 " type " + std::to_string(request.type) + " key " + std::to_string(request.key) + ", " +
                 std::to_string(request.action_key));
    model_.told.clear();
    const std::string expected = model_.apply(request);
    const Answer answer = unit_.execute(*nexuses_[request.who], reserve_out(request.action, request.type),
                                        reserve_list(request.key, request.action_key));
    ASSERT_EQ(text_of(answer), expected);
    check_told();
    check_state();
    check_access();
  }

 private:
  Request draw() {
    Request request{static_cast<ReserveAction>(random_() % 7), static_cast<int>(random_() % nexus_count),
                    types[random_() % 6], random_() % 4, random_() % 4};
    const auto own = model_.keys.find(request.who);
    // Most know their key, and the type of what they release.
    if (random_() % 8 != 0) request.key = own == model_.keys.end() ? 0 : own->second;
    if (request.action == ReserveAction::release && random_() % 4 != 0 && model_.type != 0) request.type = model_.type;
    if (request.action == ReserveAction::clear && random_() % 4 != 0) request.action = ReserveAction::enroll;
    return request;
  }
  void check_told() {
    for (int i = 0; i < nexus_count; ++i) {
      std::set<SenseCode> told;
      while ((*nexuses_[i])->attentive()) told.insert(sense_code((*nexuses_[i])->take_attention()));
      ASSERT_EQ(told, model_.told[i]) << "nexus " << i;
    }
  }
  void check_state() {
    const std::string keys = unit_.execute(reserve_in(ReserveReport::keys)).data_in;
    ASSERT_EQ(load_be32(&keys[0]), model_.generation);
    ASSERT_EQ(load_be32(&keys[4]), 8 * model_.keys.size());
    std::multiset<uint64_t> seen, expected;
    for (size_t at = 8; at < keys.size(); at += 8) seen.insert(load_be64(&keys[at]));
    for (const auto& [who, key] : model_.keys) expected.insert(key);
    ASSERT_EQ(seen, expected);
    const std::string held = unit_.execute(reserve_in(ReserveReport::reservation)).data_in;
    ASSERT_EQ(held.size(), model_.type == 0 ? 8U : 24U);
    if (model_.type == 0) return;
    ASSERT_EQ(held[21], model_.type);
    ASSERT_EQ(load_be64(&held[8]), model_.all_hold() ? 0 : model_.keys[model_.holder]);
  }
  void check_access() {
    for (int i = 0; i < nexus_count; ++i) {
      const StatusCode read = unit_.execute(*nexuses_[i], read_16(0, 1)).status();
      ASSERT_EQ(read == StatusCode::good, model_.may_read(i)) << "nexus " << i;
      const StatusCode write = unit_.execute(*nexuses_[i], write_16(0, 1), std::string(512, 'x')).status();
      ASSERT_EQ(write == StatusCode::good, model_.may_write(i)) << "nexus " << i;
    }
  }

  std::mt19937_64 random_;
  Unit unit_;
  std::vector<std::unique_ptr<TestNexus>> nexuses_;
  Model model_;
};

TEST(ScsiReservationsModel, RandomCommandsOfSeveralNexusesEndAsTheModelSays) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  World world(seed);
  for (int step = 0; step < 3000 && !testing::Test::HasFatalFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    world.step();
  }
}

}  // namespace
}  // namespace cairn::test
