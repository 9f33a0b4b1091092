// Random commands of all kinds, right and wrong, compared with a model.
#include <gtest/gtest.h>

#include <random>

#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/medium_model.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint64_t size = mebibyte;
/// A command transfers half of it, and the unit is larger: more than one transfers can be asked for.
constexpr size_t buffer_bytes = mebibyte;

struct Kind {
  uint8_t opcode;
  uint8_t flags;  // those that are allowed
};
constexpr Kind kinds[] = {
    {0x08, 0},    {0x28, 0x1a}, {0xa8, 0x1a}, {0x88, 0x1a}, {0x0a, 0},    {0x2a, 0x1a}, {0xaa, 0x1a},
    {0x8a, 0x1a}, {0x2e, 0x12}, {0xae, 0x12}, {0x8e, 0x12}, {0x2f, 0x16}, {0xaf, 0x16}, {0x8f, 0x16},
    {0x41, 0x08}, {0x93, 0x09}, {0x42, 0},    {0x89, 0x1a}, {0x8b, 0x1a}, {0x34, 0x02}, {0x90, 0x02},
    {0x35, 0x06}, {0x91, 0x06}, {0x89, 0x1a}, {0x2a, 0x1a}, {0x42, 0},
};

class RandomCommands {
 public:
  RandomCommands(Unit& unit, uint32_t block, uint64_t seed)
      : unit_(unit), model_(size, block, unit->transfer_max()), random_(seed) {}

  void run(int commands) {
    for (int i = 0; i < commands && !::testing::Test::HasFailure(); ++i) {
      once();
      if (i % 100 == 99) compare_all();
    }
    compare_all();
  }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool one_in(uint64_t n) { return below(n) == 0; }

  uint64_t address() {
    if (one_in(8)) return model_.blocks() - below(4) + below(3);
    if (one_in(40)) return random_();
    return below(model_.blocks());
  }
  uint32_t count() {
    if (one_in(12)) return 0;
    if (one_in(20)) return static_cast<uint32_t>(below(model_.blocks() * 2));
    if (one_in(60)) return static_cast<uint32_t>(random_());
    return static_cast<uint32_t>(1 + below(20));
  }

  /// What the medium has there, with or without a difference; zeros; or anything.
  std::string data(uint64_t first, size_t length) {
    std::string text(length, '\0');
    const uint64_t choice = below(4);
    if (choice == 0) return text;
    if (choice == 1) {
      std::ranges::generate(text, [this] { return static_cast<char>(random_()); });
      return text;
    }
    for (size_t i = 0; i < length && first < model_.blocks(); ++i)
      text[i] = model_.content[(first * model_.block + i) % model_.content.size()];
    if (choice == 2 && length > 0) text[below(length)] ^= 1;
    return text;
  }

  std::string list() {
    std::string text(8 + 16 * (one_in(30) ? 256 + below(3) : below(6)), '\0');
    for (size_t at = 8; at < text.size(); at += 16) {
      store_be64(&text[at], one_in(30) ? address() : below(model_.blocks() - 20));
      store_be32(&text[at + 8], one_in(100) ? count() : static_cast<uint32_t>(below(20)));
    }
    store_be16(&text[0], static_cast<uint16_t>(text.size() - 2));
    store_be16(&text[2], static_cast<uint16_t>(text.size() - 8));
    if (one_in(10)) store_be16(&text[2 * below(2)], static_cast<uint16_t>(below(200)));
    return text;
  }

  void once() {
    const Kind& kind = kinds[below(std::size(kinds))];
    const auto flags = static_cast<uint8_t>(random_() & kind.flags);
    const uint64_t first = address();
    Cdb cdb = cdb_of(kind.opcode, first, count(), flags);
    std::string sent;
    if (kind.opcode == 0x42) {
      sent = list();
      cdb = unmap(one_in(10) ? below(sent.size() + 20) : sent.size());
    } else if (kind.opcode == 0x89) {
      cdb = compare_and_write(first, static_cast<uint8_t>(one_in(10) ? below(256) : below(12)), flags);
    }
    if (one_in(25)) return refused(cdb);
    answered(cdb, first, sent);
  }

  /// A bit that means nothing: nothing happens.
  void refused(Cdb cdb) {
    cdb[cdb_length(cdb[0]) - 1] = static_cast<uint8_t>(1U << below(8));
    const Answer answer = unit_.execute(cdb);
    EXPECT_EQ(answer.sense().code, SenseCode::invalid_field_in_cdb);
    EXPECT_TRUE(answer.judged_only);
  }

  void answered(const Cdb& cdb, uint64_t first, std::string sent) {
    const Demand demand = unit_->judge(*unit_.first(), 0, cdb);
    if (cdb[0] != 0x42) sent = data(first, demand.needs.data_out);
    if (one_in(10)) sent.resize(below(sent.size() + 1));
    const MediumModel::Expected expected = model_.execute(cdb, sent);
    const Answer answer = unit_.execute(cdb, sent);
    const MediumModel::Expected got{static_cast<unsigned>(answer.status()), static_cast<unsigned>(answer.sense().key),
                                    static_cast<unsigned>(answer.sense().code), answer.data_in};
    EXPECT_TRUE(got == expected) << "opcode " << std::hex << int{cdb[0]} << " flags " << int{cdb[1]} << ": "
                                 << text_of(answer) << ", and not status " << expected.status << " code "
                                 << expected.code;
  }

  void compare_all() {
    std::string all;
    const uint32_t piece = 100 * 1024 / static_cast<uint32_t>(model_.block);
    for (uint64_t at = 0; at < model_.blocks(); at += piece)
      all += unit_.execute(read_16(at, static_cast<uint32_t>(std::min<uint64_t>(piece, model_.blocks() - at)))).data_in;
    EXPECT_TRUE(all == model_.content) << "the medium differs from the model";
  }

  Unit& unit_;
  MediumModel model_;
  std::mt19937_64 random_;
};

TEST(ScsiModel, RandomCommandsOnMemoryDoWhatTheModelDoes) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  for (const uint32_t block : {512U, 4096U}) {
    Unit unit({.size = size, .block_size = block, .buffer_bytes = buffer_bytes});
    RandomCommands(unit, block, seed).run(6000);
  }
}

TEST(ScsiModel, RandomCommandsOnAStoreDoWhatTheModelDoes) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
  for (const uint32_t block : {512U, 4096U}) {
    StoreFixture store(size, block);
    Unit unit({.device = &store.store(), .reactor = &store.loop().reactor()});
    RandomCommands(unit, block, seed).run(1500);
  }
}

}  // namespace
}  // namespace cairn::test
