// Pages as sg3-utils reads them, which knows nothing of this code.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "test/native/iscsi/scsi/parameter_cdb.h"
#include "test/native/iscsi/scsi/support.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::test {
namespace {

using namespace scsi;

class ScsiDecodedPages : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* tool : {"/usr/bin/sg_inq", "/usr/bin/sg_vpd", "/usr/bin/sg_logs"})
      if (access(tool, X_OK) != 0) GTEST_SKIP() << tool << " is not installed: install sg3-utils to run this test";
  }

  std::string run(const std::string& line) {
    std::FILE* pipe = popen((line + " 2>&1").c_str(), "r");
    std::string text;
    char piece[4096];
    while (const size_t length = std::fread(piece, 1, sizeof piece, pipe)) text.append(piece, length);
    EXPECT_EQ(pclose(pipe), 0) << line << "\n" << text;
    return text;
  }
  std::string kept(const std::string& data) {
    const std::string path = directory_.path() + "/page";
    std::ofstream(path, std::ios::trunc) << hex_of(data);
    return path;
  }
  std::string decoded_page(uint8_t code) {
    return run("sg_vpd --inhex=" + kept(unit_.execute(inquiry_page(code)).data_in));
  }
  void expect(const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
  }

  TemporaryDirectory directory_;
  Unit unit_;
};

TEST_F(ScsiDecodedPages, TheStandardData) {
  expect(run("sg_inq --inhex=" + kept(unit_.execute(inquiry()).data_in)),
         {"PQual=0  PDT=0  RMB=0", "[SPC-4]", "HiSUP=1  Resp_data_format=2", "TPGS=1", "CmdQue=1", "length=96 (0x60)",
          "Vendor identification: CAIRN   \n", "Product identification: VOLUME"});
}

TEST_F(ScsiDecodedPages, TheListOfPages) {
  expect(decoded_page(0x00), {"[sv]", "[sn]", "[di]", "[ei]", "[mpp]", "[sp]", "[bl]", "[bdc]", "[lbpv]"});
}

TEST_F(ScsiDecodedPages, WhatNamesTheVolume) {
  expect(decoded_page(0x80), {"Unit serial number: 0102030405060708090a0b0c0d0e0f10"});
  expect(decoded_page(0x83),
         {"Addressed logical unit:\n    designator type: NAA,  code set: Binary\n      0x3",
          "vendor id: CAIRN   \n      vendor specific: 0102030405060708090a0b0c0d0e0f10",
          "UUID: 01020304-0506-0708-090a-0b0c0d0e0f10",
          "transport: Internet SCSI (iSCSI)\n      Relative target port: 0x1", "Target port group: 0x1",
          "SCSI name string:\n      iqn.2026-11.io.cairn:disk,t,0x0001\n",
          "Target device that contains addressed lu:", "SCSI name string:\n      iqn.2026-11.io.cairn:disk\n"});
  expect(decoded_page(0x88), {"Relative port=1", "iqn.2026-11.io.cairn:disk,t,0x0001"});
}

TEST_F(ScsiDecodedPages, WhatTheVolumeCanDo) {
  expect(decoded_page(0x86), {"HEADSUP=1 ORDSUP=1 SIMPSUP=1", " V_SUP=1", "Maximum supported sense data length=28"});
  expect(decoded_page(0x87), {"the policy applies to all modes pages and subpages", "Policy: shared"});
  expect(decoded_page(0xb0), {"(WSNZ): 1", "compare and write length: 255 blocks", "length granularity: 8 blocks",
                              "Maximum transfer length: 32768 blocks", "Optimal transfer length: 2048 blocks",
                              "LBA count: -1 [unbounded]", "descriptor count: 256", "unmap granularity: 8 blocks",
                              "alignment valid: true", "same length: 0xfff8 blocks"});
  expect(decoded_page(0xb1), {"Non-rotating medium"});
  expect(decoded_page(0xb2), {"(LBPU): 1", "(LBPWS): 1", "(LBPWS10): 1", "(LBPRZ): 1", "(ANC_SUP): 0",
                              "Threshold exponent: 0", "Provisioning type: 2 (thin provisioned)"});
}

TEST_F(ScsiDecodedPages, WhatTheVolumeLogs) {
  const auto decoded = [this](uint8_t page) {
    return run("sg_logs --in=" + kept(unit_.execute(log_sense(page)).data_in));
  };
  expect(decoded(0x40), {"Supported log pages", "Informational exceptions [ie]"});
  expect(decoded(0x6f), {"IE asc = 0x0, ascq = 0x0", "<not available>"});
}

}  // namespace
}  // namespace cairn::test
