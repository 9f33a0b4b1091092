// The clients that people use, against a device in memory. A tool that is not installed is a skip.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "test/native/nbd/support/running_server.h"

namespace cairn::test {
namespace {

using namespace nbd;

struct Outcome {
  int status = -1;
  std::string output;  // both streams
};

Outcome run(const std::string& command) {
  Outcome outcome;
  // The sanitizers of this process are not the tools'.
  const std::string whole = "unset LD_PRELOAD; { timeout 120 " + command + "; } 2>&1 </dev/null";
  FILE* pipe = ::popen(whole.c_str(), "re");
  std::array<char, 4096> piece;
  while (const size_t length = std::fread(piece.data(), 1, piece.size(), pipe))
    outcome.output.append(piece.data(), length);
  outcome.status = WEXITSTATUS(::pclose(pipe));
  return outcome;
}

bool installed(const std::string& tool) { return std::system(("command -v " + tool + " >/dev/null").c_str()) == 0; }

#define NEEDS(tool) \
  if (!installed(tool)) GTEST_SKIP() << tool << " is not installed"

#define EXPECT_SUCCESS(command)                                          \
  do {                                                                   \
    const Outcome outcome = run(command);                                \
    EXPECT_EQ(outcome.status, 0) << (command) << "\n" << outcome.output; \
  } while (false)

class NbdRealClients : public testing::Test {
 protected:
  NbdRealClients() {
    running_.add_memory("disk", {.size = 64 * mebibyte, .reactor = 1, .description = "for real clients"});
    running_.add_memory("snapshot", {.size = 16 * mebibyte, .block_size = 4096, .read_only = true});
  }
  std::string uri(const std::string& name) const {
    return "'nbd+unix:///" + name + "?socket=" + running_.socket_path() + "'";
  }
  std::string file(const std::string& name) const { return running_.directory() + "/" + name; }

  RunningServer running_{2};
};

TEST_F(NbdRealClients, NbdinfoShowsSizesFlagsAndContexts) {
  NEEDS("nbdinfo");
  const Outcome disk = run("nbdinfo " + uri("disk"));
  for (const char* line :
       {"export-size: 67108864", "can_multi_conn: true", "can_fua: true", "can_trim: true", "can_df: true",
        "base:allocation", "block_size_minimum: 512", "description: for real clients"})
    EXPECT_NE(disk.output.find(line), std::string::npos) << line << "\n" << disk.output;
  const Outcome snapshot = run("nbdinfo " + uri("snapshot"));
  for (const char* line : {"is_read_only: true", "can_trim: false", "block_size_minimum: 4096"})
    EXPECT_NE(snapshot.output.find(line), std::string::npos) << line << "\n" << snapshot.output;
}

TEST_F(NbdRealClients, NbdinfoListsExportsAndTheirMaps) {
  NEEDS("nbdinfo");
  const Outcome list = run("nbdinfo --list " + uri(""));
  EXPECT_NE(list.output.find("export=\"disk\""), std::string::npos) << list.output;
  EXPECT_NE(list.output.find("export=\"snapshot\""), std::string::npos) << list.output;
  const Outcome map = run("nbdinfo --map " + uri("disk"));
  EXPECT_NE(map.output.find("67108864"), std::string::npos) << map.output;
  EXPECT_NE(run("nbdinfo " + uri("nope")).status, 0);
}

TEST_F(NbdRealClients, NbdcopyCopiesInAndOutOverSeveralConnections) {
  NEEDS("nbdcopy");
  EXPECT_SUCCESS("dd if=/dev/urandom of=" + file("in") + " bs=1M count=64 status=none");
  EXPECT_SUCCESS("nbdcopy --flush --connections=4 --requests=64 " + file("in") + " " + uri("disk"));
  EXPECT_SUCCESS("nbdcopy --connections=4 --requests=64 " + uri("disk") + " " + file("out"));
  EXPECT_SUCCESS("cmp " + file("in") + " " + file("out"));
  EXPECT_SUCCESS("nbdcopy --synchronous " + uri("disk") + " " + file("again"));
  EXPECT_SUCCESS("cmp " + file("in") + " " + file("again"));
}

TEST_F(NbdRealClients, QemuIoReadsWritesZeroesDiscardsAndFlushes) {
  NEEDS("qemu-io");
  const std::string commands =
      "-c 'write -P 7 4096 1M' -c 'read -P 7 4096 1M' -c 'write -f -P 8 512 512' -c 'read -P 8 512 512' "
      "-c 'write -z 8192 64k' -c 'read -P 0 8192 64k' -c 'write -z -u 1M 1M' -c 'read -P 0 1M 1M' "
      "-c 'discard 4M 4M' -c 'flush' -c 'aio_write -P 9 16M 4M' -c 'aio_flush' -c 'read -P 9 16M 4M'";
  const Outcome outcome = run("qemu-io -f raw " + commands + " " + uri("disk"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output.find("failed"), std::string::npos) << outcome.output;
  EXPECT_EQ(outcome.output.find("error"), std::string::npos) << outcome.output;
}

TEST_F(NbdRealClients, QemuIoIsRefusedToWriteToAReadOnlyExport) {
  NEEDS("qemu-io");
  EXPECT_NE(run("qemu-io -f raw -c 'write 0 4096' " + uri("snapshot")).status, 0);
  EXPECT_SUCCESS("qemu-io -r -f raw -c 'read -P 0 0 16M' " + uri("snapshot"));
}

TEST_F(NbdRealClients, QemuImgComparesMapsAndConverts) {
  NEEDS("qemu-img");
  EXPECT_SUCCESS("dd if=/dev/urandom of=" + file("in") + " bs=1M count=64 status=none");
  EXPECT_SUCCESS("qemu-img convert -n -f raw -O raw " + file("in") + " " + uri("disk"));
  EXPECT_SUCCESS("qemu-img compare -f raw -F raw " + file("in") + " " + uri("disk"));
  EXPECT_SUCCESS("qemu-img map --output=json -f raw " + uri("disk"));
  EXPECT_SUCCESS("qemu-img convert -f raw -O qcow2 " + uri("disk") + " " + file("out.qcow2"));
  EXPECT_SUCCESS("qemu-img compare -f raw -F qcow2 " + file("in") + " " + file("out.qcow2"));
}

TEST_F(NbdRealClients, FioVerifiesWhatItWrote) {
  NEEDS("fio");
  if (run("fio --enghelp=nbd").status != 0) GTEST_SKIP() << "this fio has no engine nbd";
  EXPECT_SUCCESS(
      "fio --name=verify --ioengine=nbd --uri=" + uri("disk") +
      " --rw=randwrite --bsrange=512-64k --bs_unaligned=0 --blockalign=512 --iodepth=32 --size=64M --io_size=64M"
      " --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --randseed=7");
}

TEST_F(NbdRealClients, ClientsMoveToAnotherProcess) {
  NEEDS("nbdcopy");
  RunningServer front;
  ASSERT_TRUE(running_.server().listen_handover(file("handover")).ok());
  ASSERT_TRUE(front.server().add_export({.name = "disk", .target = RemoteTarget{file("handover")}}).ok());
  EXPECT_SUCCESS("dd if=/dev/urandom of=" + file("in") + " bs=1M count=64 status=none");
  const std::string through = "'nbd+unix:///disk?socket=" + front.socket_path() + "'";
  EXPECT_SUCCESS("nbdcopy --connections=4 " + file("in") + " " + through);
  EXPECT_SUCCESS("nbdcopy --connections=4 " + uri("disk") + " " + file("out"));
  EXPECT_SUCCESS("cmp " + file("in") + " " + file("out"));
}

}  // namespace
}  // namespace cairn::test
