// Devices that fail: every step of every command, one after the other.
#include <gtest/gtest.h>

#include "block/fault_device.h"
#include "test/native/iscsi/scsi/cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;
using Operation = FaultDevice::Operation;

constexpr uint32_t count = 2100;  // more than fits one piece

struct Tried {
  const char* name;
  Cdb cdb;
  std::string data;
  StatusCode well = StatusCode::good;
};

std::vector<Tried> tried() {
  const std::string many(count * 512, 'y');
  const std::string before(20 * 512, 'x');
  const std::string list = unmap_list({{1, 30}, {64, 16}});
  return {
      {"READ", read_16(3, count), ""},
      {"READ with FUA", read_16(3, count, 0x08), ""},
      {"WRITE", write_16(3, count), many},
      {"WRITE with FUA", write_16(3, count, 0x08), many},
      {"WRITE AND VERIFY", cdb_16(0x8e, 3, count), many},
      {"WRITE AND VERIFY with BYTCHK", cdb_16(0x8e, 3, count, 0x02), many},
      {"VERIFY", cdb_16(0x8f, 3, count), ""},
      {"VERIFY of data", cdb_16(0x8f, 3, count, 0x02), std::string(count * 512, 'x')},
      {"VERIFY of one block", cdb_16(0x8f, 3, count, 0x06), std::string(512, 'x')},
      {"COMPARE AND WRITE", compare_and_write(3, 20), before + std::string(20 * 512, 'y')},
      {"ORWRITE", cdb_16(0x8b, 3, count), many},
      {"WRITE SAME", cdb_16(0x93, 3, count), std::string(512, 'y')},
      {"WRITE SAME of zeros", cdb_16(0x93, 3, count), std::string(512, '\0')},
      {"WRITE SAME that unmaps", cdb_16(0x93, 3, count, 0x09), ""},
      {"UNMAP", unmap(list.size()), list},
      {"PRE-FETCH", cdb_16(0x90, 3, count), "", StatusCode::condition_met},
      {"SYNCHRONIZE CACHE", cdb_16(0x91, 0, 0), ""},
      {"GET LBA STATUS", get_lba_status(3, 64), ""},
  };
}

/// What fails the operation of that number, and says what that was.
struct Trap {
  size_t number = SIZE_MAX;
  int error = EIO;
  bool after = false;
  size_t seen = 0;
  std::optional<Operation> sprung;

  FaultDevice::Fault operator()(Operation operation) {
    if (++seen != number) return {};
    sprung = operation;
    const Status failure = Status::from_errno(error);
    return after ? FaultDevice::Fault{.before = {}, .after = failure}
                 : FaultDevice::Fault{.before = failure, .after = {}};
  }
};

struct Trapped {
  Trap trap;
  MemoryDevice memory{2 * mebibyte, 512};
  FaultDevice device{memory, [this](Operation operation, uint64_t, uint64_t) { return trap(operation); }};
  Unit unit{{.device = &device, .buffer_bytes = 4 * mebibyte}};

  Trapped() { EXPECT_TRUE(unit.execute(write_16(0, 4096), std::string(4096 * 512, 'x')).good()); }
  Answer execute(const Tried& command, size_t number, int error, bool after) {
    trap = {.number = number, .error = error, .after = after, .seen = 0, .sprung = {}};
    return unit.execute(command.cdb, command.data);
  }
};

std::string expected_of(Operation operation, int error, const char* name) {
  if (error == ENOSPC) return "status 02 key 7 code 2707";
  if (error == ENOMEM) return "status 08 key 0 code 0000";
  if (error == EROFS) return "status 02 key 7 code 2700";
  if (error == ESHUTDOWN) return "status 02 key 2 code 0400";
  // Before a part of a block is zeroed, the device says whether it has to be: a step of writing.
  const bool reading =
      operation == Operation::read || (operation == Operation::block_status && std::string(name) == "GET LBA STATUS");
  return reading ? "status 02 key 3 code 1100" : "status 02 key 3 code 0c00";
}

TEST(ScsiFaults, EveryStepThatFailsFailsTheCommandWithTheRightSense) {
  for (const Tried& command : tried())
    for (const bool after : {false, true})
      for (const int error : {EIO, ENOSPC, ENOMEM, EROFS, ESHUTDOWN}) {
        size_t steps = 0;
        for (size_t number = 1;; ++number) {
          Trapped trapped;
          const Answer answer = trapped.execute(command, number, error, after);
          if (!trapped.trap.sprung) {
            EXPECT_EQ(answer.status(), command.well) << command.name;
            break;
          }
          ++steps;
          EXPECT_EQ(text_of(answer), expected_of(*trapped.trap.sprung, error, command.name))
              << command.name << ", step " << number << (after ? ", after it" : "");
          EXPECT_EQ(answer.data_in, "") << command.name;
        }
        EXPECT_GT(steps, 0U) << command.name;
      }
}

TEST(ScsiFaults, ACompareThatCannotReadWritesNothing) {
  Trapped trapped;
  const std::vector<Tried> all = tried();
  const auto command = std::ranges::find(all, std::string("COMPARE AND WRITE"), &Tried::name);
  EXPECT_FALSE(trapped.execute(*command, 1, EIO, true).good());
  EXPECT_EQ(trapped.memory.content()[3 * 512], std::byte{'x'});
}

TEST(ScsiFaults, AWriteThatReadsBackOtherwiseIsAMiscompare) {
  // Nothing reaches the memory, and everything is said to be done.
  class Forgetful final : public BlockDevice {
   public:
    Geometry geometry() const override { return memory_.geometry(); }
    Task<Status> read(uint64_t offset, std::span<std::byte> into) override { return memory_.read(offset, into); }
    Task<Status> write(uint64_t, std::span<const std::byte>, Durability durability) override {
      durable_ = durability == Durability::durable;
      co_return Status();
    }
    Task<Status> flush() override { co_return Status(); }
    Task<Status> trim(uint64_t, uint64_t, Durability) override { co_return Status(); }
    Task<Status> write_zeroes(uint64_t, uint64_t, ZeroMode, Durability) override { co_return Status(); }
    Task<Status> block_status(uint64_t, uint64_t length, StatusQuery, size_t, std::vector<Extent>& extents) override {
      extents.push_back({length, false, false});
      co_return Status();
    }
    bool durable() const { return durable_; }

   private:
    MemoryDevice memory_{mebibyte, 512};
    bool durable_ = false;
  } device;
  Unit unit({.device = &device});
  EXPECT_EQ(text_of(unit.execute(cdb_16(0x8e, 0, 2, 0x02), std::string(600, '\0') + std::string(424, 'x'))),
            "status 02 key e code 1d00 information 600");
  EXPECT_TRUE(device.durable());
  EXPECT_TRUE(unit.execute(cdb_16(0x8e, 0, 2), std::string(1024, 'x')).good());
}

TEST(ScsiFaults, SpaceThatRunsLowIsToldOnceToEveryNexus) {
  Unit unit;
  const auto second = unit.add_nexus("iqn.2026-11.io.example:second,i,0x400001370000");
  second->forget_attentions();
  unit->set_space_low(true);
  unit->set_space_low(true);
  for (TestNexus* nexus : {&unit.first(), second.get()}) {
    EXPECT_EQ(text_of(unit.execute(*nexus, read_16(0, 1))), "status 02 key 6 code 3807");
    EXPECT_TRUE(unit.execute(*nexus, read_16(0, 1)).good());
  }
  unit->set_space_low(false);
  EXPECT_TRUE(unit.execute(write_16(0, 1), std::string(512, 'x')).good());
  unit->set_space_low(true);
  EXPECT_EQ(text_of(unit.execute(write_16(0, 1))), "status 02 key 6 code 3807");
}

}  // namespace
}  // namespace cairn::test
