// The clients that people use, against a device in memory. A tool that is not installed is a skip.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "test/native/nbd/support/running_server.h"
#include "test/native/nbd/support/tls_files.h"

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

// ---- TLS ----

class NbdRealClientsTls : public NbdRealClients {
 protected:
  using Mode = TlsSettings::Mode;

  NbdRealClientsTls() {
    write_certificate(client_, file("client-cert.pem"));
    write_key(client_, file("client-key.pem"));
    files_.authority().write_certificate(file("ca-cert.pem"));
    std::filesystem::create_directories(file("only-ca"));
    files_.authority().write_certificate(file("only-ca/ca-cert.pem"));
    std::filesystem::create_directories(file("other"));
    CertificateAuthority().write_certificate(file("other/ca-cert.pem"));
    std::ofstream(file("keys.psk")) << "alice:" << key_hexadecimal << "\n";
    std::ofstream(file("wrong.psk")) << "alice:" << std::string(64, '1') << "\n";
  }
  void set(const TlsSettings& settings) { ASSERT_TRUE(running_.server().set_tls(settings).ok()); }
  std::string with_certificates(const std::string& directory) const {
    return "'nbds+unix:///disk?socket=" + running_.socket_path() + "&tls-certificates=" + directory + "'";
  }
  std::string with_key(const std::string& user, const std::string& keys) const {
    return "'nbds+unix://" + user + "@/disk?socket=" + running_.socket_path() + "&tls-psk-file=" + file(keys) + "'";
  }
  std::string size(const std::string& at) { return run("nbdinfo --size " + at).output; }
  std::string qemu(const std::string& credentials) const {
    return " --object " + credentials +
           " --image-opts driver=nbd,server.type=unix,server.path=" + running_.socket_path() +
           ",export=disk,tls-creds=t,tls-hostname=localhost ";
  }

  TlsFiles files_;
  Certificate client_ = files_.authority().issue("client");
};

TEST_F(NbdRealClientsTls, LibnbdIsLetInByCertificates) {
  NEEDS("nbdinfo");
  set(files_.certificates(Mode::require));
  EXPECT_EQ(size(with_certificates(file("only-ca"))), "67108864\n");
  // A server's certificate is only checked where it has a name to be checked against.
  const Result<TcpAddress> address = running_.server().listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(address.ok());
  const std::string by_name = "nbds://localhost:" + std::to_string(address.value().port) + "/disk?tls-certificates=";
  EXPECT_EQ(size("'" + by_name + file("only-ca") + "'"), "67108864\n");
  EXPECT_NE(run("nbdinfo '" + by_name + file("other") + "'").status, 0);
  EXPECT_NE(run("nbdinfo " + uri("disk")).status, 0);
  set(files_.certificates(Mode::require, true));
  EXPECT_EQ(size(with_certificates(running_.directory())), "67108864\n");
  EXPECT_NE(run("nbdinfo " + with_certificates(file("only-ca"))).status, 0);
  const Certificate expired = files_.authority().issue("late", -1);
  write_certificate(expired, file("client-cert.pem"));
  write_key(expired, file("client-key.pem"));
  EXPECT_NE(run("nbdinfo " + with_certificates(running_.directory())).status, 0);
}

TEST_F(NbdRealClientsTls, LibnbdIsLetInByAPreSharedKey) {
  NEEDS("nbdinfo");
  set({.mode = Mode::require, .certificate_directory = {}, .verify_peer = false, .psk_file = files_.path("psk")});
  EXPECT_EQ(size(with_key("alice", "keys.psk")), "67108864\n");
  EXPECT_NE(run("nbdinfo " + with_key("alice", "wrong.psk")).status, 0);
  EXPECT_NE(run("nbdinfo " + uri("disk")).status, 0);
  set(files_.both(Mode::on));
  EXPECT_EQ(size(with_key("alice", "keys.psk")), "67108864\n");
  EXPECT_EQ(size(uri("disk")), "67108864\n");
}

TEST_F(NbdRealClientsTls, AClientThatWantsItIsNotServedWhereItIsOff) {
  NEEDS("nbdinfo");
  EXPECT_NE(run("nbdinfo " + with_certificates(file("only-ca"))).status, 0);
  EXPECT_EQ(size(uri("disk")), "67108864\n");
}

TEST_F(NbdRealClientsTls, NbdcopyCopiesInAndOut) {
  NEEDS("nbdcopy");
  set(files_.certificates(Mode::require, true));
  const std::string disk = with_certificates(running_.directory());
  EXPECT_SUCCESS("dd if=/dev/urandom of=" + file("in") + " bs=1M count=64 status=none");
  EXPECT_SUCCESS("nbdcopy --flush --connections=4 --requests=64 " + file("in") + " " + disk);
  EXPECT_SUCCESS("nbdcopy --connections=4 --requests=64 " + disk + " " + file("out"));
  EXPECT_SUCCESS("cmp " + file("in") + " " + file("out"));
}

TEST_F(NbdRealClientsTls, QemuImgIsLetInByCertificatesAndKeys) {
  NEEDS("qemu-img");
  set(files_.both(Mode::require));
  const std::string certificates = "tls-creds-x509,id=t,endpoint=client,dir=" + running_.directory();
  const std::string keys = "tls-creds-psk,id=t,endpoint=client,username=alice,dir=" + running_.directory();
  EXPECT_SUCCESS("qemu-img info" + qemu(certificates));
  EXPECT_SUCCESS("qemu-img info" + qemu(keys));
  EXPECT_NE(run("qemu-img info" + qemu("tls-creds-x509,id=t,endpoint=client,dir=" + file("only-ca"))).status, 0);
  EXPECT_NE(run("qemu-img info -f raw " + uri("disk")).status, 0);
  EXPECT_SUCCESS("qemu-io" + qemu(certificates) + "-c 'write -P 7 0 8M' -c 'read -P 7 0 8M' -c 'write -z 0 1M'");
}

}  // namespace
}  // namespace cairn::test
