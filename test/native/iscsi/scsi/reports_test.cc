// What a unit reports of its commands, its ports and its health, and commands that a volume has little to do for.
#include <gtest/gtest.h>

#include "block/fault_device.h"
#include "test/native/iscsi/scsi/parameter_cdb.h"
#include "test/native/iscsi/scsi/support.h"

namespace cairn::test {
namespace {

using namespace scsi;

constexpr uint8_t all_commands_option = 0;
constexpr uint8_t by_code = 1;
constexpr uint8_t by_service_action = 2;
constexpr uint8_t by_either = 3;
constexpr uint8_t with_timeouts = 0x80;
const std::string refused_option = "status 02 key 5 code 2400 cdb byte 2 bit 2";
const std::string unsupported("\0\1\0\0", 4);

bool has_action(const CommandRow& row) { return row.service_action != no_service_action; }
uint16_t action_of(const CommandRow& row) { return has_action(row) ? static_cast<uint16_t>(row.service_action) : 0; }

TEST(ScsiOperationCodes, EveryRowOfTheTableIsListed) {
  Unit unit;
  const std::string data = unit.execute(operation_codes(all_commands_option)).data_in;
  ASSERT_EQ(data.size(), 4 + 8 * scsi::all_commands().size());
  EXPECT_EQ(load_be32(&data[0]) + 4, data.size());
  size_t at = 4;
  for (const CommandRow* row : scsi::all_commands()) {
    EXPECT_EQ(byte_at(data, at), row->opcode);
    EXPECT_EQ(load_be16(&data[at + 2]), action_of(*row));
    EXPECT_EQ(byte_at(data, at + 5), has_action(*row) ? 1 : 0);
    EXPECT_EQ(load_be16(&data[at + 6]), cdb_length(row->opcode));
    at += 8;
  }
}

TEST(ScsiOperationCodes, TimeoutsAreThereWhenTheyAreAskedFor) {
  Unit unit;
  const std::string data = unit.execute(operation_codes(with_timeouts | all_commands_option)).data_in;
  ASSERT_EQ(data.size(), 4 + 20 * scsi::all_commands().size());
  for (size_t at = 4; at < data.size(); at += 20) {
    EXPECT_EQ(byte_at(data, at + 5) & 2, 2);
    EXPECT_EQ(data.substr(at + 8, 12), std::string("\0\x0a", 2) + std::string(10, '\0'));
  }
  const std::string one = unit.execute(operation_codes(with_timeouts | by_code, 0x00)).data_in;
  EXPECT_EQ(hex_of(one), "00 83 00 06 00 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00 ");
}

/// Byte 1 of what is told has the service action in it.
std::string usage_of(const CommandRow& row) {
  std::string usage(row.usage.begin(), row.usage.begin() + static_cast<ptrdiff_t>(cdb_length(row.opcode)));
  if (has_action(row)) usage[1] = static_cast<char>((row.usage[1] & 0xe0) | row.service_action);
  return usage;
}

TEST(ScsiOperationCodes, EveryRowOfTheTableIsToldWithItsUsage) {
  Unit unit;
  for (const CommandRow* row : scsi::all_commands()) {
    SCOPED_TRACE(row->opcode);
    const std::string usage = usage_of(*row);
    const std::string expected = std::string("\0\3\0", 3) + static_cast<char>(usage.size()) + usage;
    EXPECT_EQ(byte_at(usage, 0), row->opcode) << "usage data begin with the operation code";
    EXPECT_TRUE(!has_action(*row) || (row->usage[1] & 0x1f) == 0x1f) << "the service action is looked at";
    const uint8_t right = has_action(*row) ? by_service_action : by_code;
    const uint8_t wrong = has_action(*row) ? by_code : by_service_action;
    EXPECT_EQ(unit.execute(operation_codes(right, row->opcode, action_of(*row))).data_in, expected);
    EXPECT_EQ(text_of(unit.execute(operation_codes(wrong, row->opcode, action_of(*row)))), refused_option);
    EXPECT_EQ(unit.execute(operation_codes(by_either, row->opcode, action_of(*row))).data_in, expected);
  }
}

/// What REPORT SUPPORTED OPERATION CODES says of a bit is what a command with that bit meets.
TEST(ScsiOperationCodes, ABitOutsideTheUsageIsRefusedForEveryRow) {
  Unit unit;
  for (const CommandRow* row : scsi::all_commands())
    for (size_t byte = 1; byte < cdb_length(row->opcode); ++byte)
      for (int8_t bit = 0; bit < 8; ++bit) {
        if ((row->usage[byte] >> bit & 1) != 0) continue;
        Cdb cdb{row->opcode};
        if (has_action(*row)) cdb[1] = static_cast<uint8_t>(row->service_action);
        cdb[byte] |= static_cast<uint8_t>(1 << bit);
        const Demand demand = unit->judge(*unit.first(), 0, cdb);
        ASSERT_TRUE(demand.refusal);
        ASSERT_EQ(text_of(*demand.refusal),
                  "status 02 key 5 code 2400 cdb byte " + std::to_string(byte) + " bit " + std::to_string(bit));
      }
}

TEST(ScsiOperationCodes, WhatIsNotSupportedIsSaidSo) {
  Unit unit;
  EXPECT_EQ(unit.execute(operation_codes(by_code, 0xff)).data_in, unsupported);
  EXPECT_EQ(unit.execute(operation_codes(by_service_action, 0x9e, 0x1f)).data_in, unsupported);
  EXPECT_EQ(unit.execute(operation_codes(by_service_action, 0xff, 1)).data_in, unsupported);
  EXPECT_EQ(unit.execute(operation_codes(by_either, 0x00, 1)).data_in, unsupported);
  EXPECT_EQ(text_of(unit.execute(operation_codes(4))), refused_option);
}

TEST(ScsiOperationCodes, AShorterAllocationCutsTheList) {
  Unit unit;
  const std::string whole = unit.execute(operation_codes(all_commands_option)).data_in;
  for (const uint32_t length : {0U, 3U, 4U, 100U})
    EXPECT_EQ(unit.execute(operation_codes(all_commands_option, 0, 0, length)).data_in, whole.substr(0, length));
}

TEST(ScsiReports, TaskFunctionsAreThoseOfTheStandardThatIscsiHas) {
  Unit unit;
  EXPECT_EQ(hex_of(unit.execute(task_functions(0)).data_in), "d8 00 00 00 ");
  EXPECT_EQ(unit.execute(task_functions(0x80)).data_in, std::string("\xd8\0\0\x0c", 4) + std::string(12, '\0'));
}

TEST(ScsiReports, ThereIsOnePortGroupAndItIsActive) {
  Unit unit;
  const std::string group = "00 01 00 01 00 00 00 01 00 00 00 01 ";
  EXPECT_EQ(hex_of(unit.execute(target_port_groups(0)).data_in), "00 00 00 0c " + group);
  EXPECT_EQ(hex_of(unit.execute(target_port_groups(1)).data_in), "00 00 00 10 10 00 00 00 " + group);
  EXPECT_EQ(text_of(unit.execute(target_port_groups(2))), "status 02 key 5 code 2400 cdb byte 1 bit 7");
}

TEST(ScsiReports, StatesOfPortGroupsCannotBeSet) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute({0xa4, 0x0a})), "status 02 key 5 code 2000");
}

TEST(ScsiReports, LogPagesSayThatNothingIsWrong) {
  Unit unit;
  EXPECT_EQ(hex_of(unit.execute(log_sense(0x40)).data_in), "00 00 00 02 00 2f ");
  EXPECT_EQ(hex_of(unit.execute(log_sense(0x40, 0xff)).data_in), "40 ff 00 06 00 00 00 ff 2f 00 ");
  EXPECT_EQ(hex_of(unit.execute(log_sense(0x6f)).data_in), "2f 00 00 07 00 00 03 03 00 00 ff ");
  EXPECT_EQ(hex_of(unit.execute(log_sense(0x6f, 0, 0, 6)).data_in), "2f 00 00 07 00 00 ");
  EXPECT_EQ(text_of(unit.execute(log_sense(0x0d))), "status 02 key 5 code 2400 cdb byte 2 bit 5");
  EXPECT_EQ(text_of(unit.execute(log_sense(0x2f, 1))), "status 02 key 5 code 2400 cdb byte 3");
  EXPECT_EQ(text_of(unit.execute(log_sense(0x2f, 0, 1))), "status 02 key 5 code 2400 cdb byte 5");
}

FaultDevice::Rule failing(FaultDevice::Operation failed) {
  return [failed](FaultDevice::Operation operation, uint64_t, uint64_t) {
    return FaultDevice::Fault{.before = operation == failed ? Status::from_errno(EIO) : Status(), .after = {}};
  };
}

// ---- Commands that do little ----------------------------------------------------------------------------------------

Cdb start_stop(uint8_t flags, uint8_t immediate = 0) { return {0x1b, immediate, 0, 0, flags}; }

TEST(ScsiStartStopUnit, AVolumeStaysReady) {
  Unit unit;
  for (const uint8_t flags : {0x00, 0x01, 0x04, 0x05, 0x10, 0x11})
    for (const uint8_t immediate : {0, 1}) {
      EXPECT_TRUE(unit.execute(start_stop(flags, immediate)).good());
      EXPECT_TRUE(unit.execute({0x00}).good());
    }
}

TEST(ScsiStartStopUnit, NothingCanBeEjectedAndNoPowerIsSaved) {
  Unit unit;
  EXPECT_EQ(text_of(unit.execute(start_stop(0x02))), "status 02 key 5 code 2400 cdb byte 4 bit 1");
  EXPECT_EQ(text_of(unit.execute(start_stop(0x03, 1))), "status 02 key 5 code 2400 cdb byte 4 bit 1");
  EXPECT_EQ(text_of(unit.execute(start_stop(0x20))), "status 02 key 5 code 2400 cdb byte 4 bit 7");
}

TEST(ScsiStartStopUnit, ToStopAUnitMakesItDurable) {
  MemoryDevice memory(1 * mebibyte, 512);
  FaultDevice device(memory, failing(FaultDevice::Operation::flush));
  Unit unit({.device = &device});
  EXPECT_TRUE(unit.execute(start_stop(0x01)).good());
  EXPECT_TRUE(unit.execute(start_stop(0x04)).good());
  EXPECT_EQ(text_of(unit.execute(start_stop(0x00))), "status 02 key 3 code 0c00");
}

TEST(ScsiPreventAllow, AMediumThatCannotBeRemovedCanBeKept) {
  Unit unit;
  EXPECT_TRUE(unit.execute({0x1e, 0, 0, 0, 1}).good());
  EXPECT_TRUE(unit.execute({0x1e, 0, 0, 0, 0}).good());
  EXPECT_EQ(text_of(unit.execute({0x1e, 0, 0, 0, 2})), "status 02 key 5 code 2400 cdb byte 4 bit 1");
}

TEST(ScsiDiagnostics, TheSelfTestReadsTheMedium) {
  MemoryDevice memory(1 * mebibyte, 512);
  FaultDevice device(memory, failing(FaultDevice::Operation::read));
  Unit broken({.device = &device});
  EXPECT_TRUE(broken.execute({0x1d, 0x10}).good()) << "nothing was asked for";
  EXPECT_EQ(text_of(broken.execute({0x1d, 0x04})), "status 02 key 3 code 1100");
  Unit unit;
  EXPECT_TRUE(unit.execute({0x1d, 0x04}).good());
  EXPECT_EQ(text_of(unit.execute({0x1d, 0x20})), "status 02 key 5 code 2400 cdb byte 1 bit 7");
  EXPECT_EQ(text_of(unit.execute({0x1d, 0x10, 0, 0, 4})), "status 02 key 5 code 2400 cdb byte 3");
}

TEST(ScsiDiagnostics, NoPageIsListedButTheList) {
  Unit unit;
  EXPECT_EQ(hex_of(unit.execute({0x1c, 1, 0, 0, 255}).data_in), "00 00 00 01 00 ");
  EXPECT_EQ(text_of(unit.execute({0x1c, 1, 1, 0, 255})), "status 02 key 5 code 2400 cdb byte 2");
  EXPECT_EQ(text_of(unit.execute({0x1c, 0, 0, 0, 255})), "status 02 key 5 code 2400 cdb byte 1 bit 0");
}

}  // namespace
}  // namespace cairn::test
