// Commands that read and write as one step, among others that run at the same time.
#include <gtest/gtest.h>

#include <random>

#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/hesitant_device.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint8_t blocks = 4;
constexpr size_t bytes = blocks * 512;

/// A number in every byte that a command could tear apart.
std::string number(uint64_t value) {
  std::string data(bytes, '\0');
  for (size_t at = 0; at < bytes; at += 8) store_be64(&data[at], value);
  return data;
}

struct World {
  World(uint64_t seed, Reactor& reactor) : random(seed), unit({.device = &device, .reactor = &reactor}) {}
  std::mt19937_64 random;
  MemoryDevice memory{16 * kibibyte, 512};
  HesitantDevice device{memory, random};
  Unit unit;
  int unfinished = 0;
  uint64_t increments = 0;
  uint64_t misses = 0;

  void begin(Task<void> task) {
    ++unfinished;
    run_detached(std::move(task), [this] { --unfinished; });
  }
  /// Until all are done.
  void run() {
    while (unfinished > 0) {
      unit->reactor().ready().run();
      const bool went_on = device.step();
      unit->reactor().ready().run();
      ASSERT_TRUE(went_on || unfinished == 0) << "all wait for one another";
    }
  }
};

Task<void> increment(World& world, TestNexus& nexus, int times) {
  uint64_t seen = 0;
  for (int i = 0; i < times;) {
    const Answer answer =
        co_await world.unit.start(nexus, compare_and_write(3, blocks), number(seen) + number(seen + 1));
    if (answer.good()) {
      ++seen, ++i, ++world.increments;
      continue;
    }
    ++world.misses;
    EXPECT_EQ(answer.sense().key, SenseKey::miscompare);
    EXPECT_EQ(*answer.sense().information % 8, 7U) << "half of a number";
    const Answer now = co_await world.unit.start(nexus, read_16(3, blocks));
    seen = load_be64(now.data_in.data());
    EXPECT_EQ(now.data_in, number(seen)) << "a read has seen half of a write";
  }
}

TEST(ScsiAtomicity, CompareAndWriteCountsAndNobodySeesHalfOfIt) {
  const uint64_t seed = test_seed();
  OnReactor loop;
  World world(seed, loop.reactor());
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  constexpr int nexuses = 6;
  constexpr int times = 40;
  std::vector<std::unique_ptr<TestNexus>> all;
  for (int i = 0; i < nexuses; ++i) {
    all.push_back(world.unit.add_nexus("initiator " + std::to_string(i)));
    all.back()->forget_attentions();
    world.begin(increment(world, *all.back(), times));
  }
  world.run();
  EXPECT_EQ(load_be64(world.memory.content().subspan(3 * 512).data()), static_cast<uint64_t>(nexuses * times));
  EXPECT_EQ(world.increments, static_cast<uint64_t>(nexuses * times));
  EXPECT_GT(world.misses, 0U);
}

Task<void> execute(World& world, Cdb cdb, std::string data) {
  const Answer answer = co_await world.unit.start(world.unit.first(), cdb, std::move(data));
  EXPECT_TRUE(answer.good()) << text_of(answer);
}

TEST(ScsiAtomicity, WhateverWritesWaitsForACompareAndWrite) {
  OnReactor loop;
  const std::string list = unmap_list({{3, blocks}});
  const std::pair<Cdb, std::string> others[] = {
      {write_16(3, blocks), number(100)},        {cdb_16(0x8e, 3, blocks), number(100)},
      {cdb_16(0x8b, 3, blocks), number(100)},    {cdb_16(0x93, 3, blocks), number(100)},
      {cdb_16(0x93, 3, blocks, 0x09), ""},       {unmap(list.size()), list},
      {cdb_16(0x8e, 3, blocks, 2), number(100)},
  };
  for (const auto& [cdb, data] : others)
    for (uint64_t seed = 1; seed <= 300; ++seed) {
      World world(seed, loop.reactor());
      world.begin(execute(world, compare_and_write(3, blocks), number(0) + number(1)));
      world.begin(execute(world, cdb, data));
      world.run();
      const std::string left(reinterpret_cast<const char*>(&world.memory.content()[3 * 512]), bytes);
      ASSERT_EQ(left, number(load_be64(left.data()))) << "opcode " << int{cdb[0]} << ", seed " << seed;
    }
}

Task<void> set_bits(World& world, int bit) {
  std::string data(bytes, static_cast<char>(1 << bit));
  const Answer answer = co_await world.unit.start(world.unit.first(), cdb_16(0x8b, 3, blocks), data);
  EXPECT_TRUE(answer.good());
}

TEST(ScsiAtomicity, OrWritesLoseNoBits) {
  OnReactor loop;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    World world(seed, loop.reactor());
    for (int bit = 0; bit < 8; ++bit) world.begin(set_bits(world, bit));
    world.run();
    for (size_t at = 3 * 512; at < 3 * 512 + bytes; ++at)
      ASSERT_EQ(world.memory.content()[at], std::byte{0xff}) << "seed " << seed;
  }
}

Task<void> write_and_verify(World& world, char with) {
  const Answer answer =
      co_await world.unit.start(world.unit.first(), cdb_16(0x8e, 3, blocks, 0x02), std::string(bytes, with));
  EXPECT_TRUE(answer.good()) << text_of(answer);
}

TEST(ScsiAtomicity, WhatIsWrittenAndComparedIsNotOverwrittenInBetween) {
  OnReactor loop;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    World world(seed, loop.reactor());
    for (const char with : {'a', 'b', 'c', 'd'}) world.begin(write_and_verify(world, with));
    world.run();
  }
}

}  // namespace
}  // namespace cairn::test
