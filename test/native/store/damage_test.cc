// Files that are damaged: recovered from what is redundant, or refused by name; never read as something else.
#include <fcntl.h>

#include <fstream>

#include "base/crc32c.h"
#include "store/replica_files.h"
#include "store/write_ring.h"
#include "test/native/store/store_fixture.h"

namespace cairn::test {
namespace {

class StoreDamage : public ::testing::Test {
 protected:
  std::string file(const std::string& name) const { return fixture.path() + "/" + name; }
  void flip(const std::string& name, uint64_t offset) {
    const UniqueFd fd(::open(file(name).c_str(), O_RDWR | O_CLOEXEC));
    uint8_t byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    byte ^= 0x10;
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  }
  void cut(const std::string& name, uint64_t size) { std::filesystem::resize_file(file(name), size); }
  /// Opening fails with this code, and a message that names the file.
  void expect_refused(const std::string& code, const std::string& name) {
    const Result<store::OpenedReplica> opened = store::open_replica(fixture.path(), {.boot_id = fixture.boot_});
    ASSERT_EQ(code_of(opened), code);
    EXPECT_NE(opened.error().message.find(name), std::string::npos) << opened.error().message;
  }
  uint64_t newest_superblock() const {
    std::array<store::Superblock, 2> copies;
    std::ifstream in(file("superblock"), std::ios::binary);
    in.read(reinterpret_cast<char*>(copies.data()), sizeof copies);
    return copies[1].generation > copies[0].generation ? 1 : 0;
  }
  void fill_and_close() {
    ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 32768))));
    ASSERT_TRUE(succeeded(fixture.snapshot(id)));
    ASSERT_TRUE(succeeded(fixture.write(0, pattern(2, 8192))));
    fixture.close();
  }
  void set_version(uint16_t major, uint16_t minor) {
    std::array<store::Superblock, 2> copies;
    std::fstream io(file("superblock"), std::ios::binary | std::ios::in | std::ios::out);
    io.read(reinterpret_cast<char*>(copies.data()), sizeof copies);
    for (store::Superblock& copy : copies) {
      copy.version_major = major;
      copy.version_minor = minor;
      copy.checksum = 0;
      copy.checksum = crc32c(&copy, sizeof copy);
    }
    io.seekp(0);
    io.write(reinterpret_cast<const char*>(copies.data()), sizeof copies);
    io.close();
  }
  void expect_content() {
    Bytes expected = pattern(1, 32768);
    const Bytes over = pattern(2, 8192);
    std::copy(over.begin(), over.end(), expected.begin());
    EXPECT_EQ(fixture.read(0, 32768), expected);
  }

  /// One event says that this file has been mended.
  void expect_repaired(const std::string& name) {
    const auto repairs =
        std::count_if(fixture.events.begin(), fixture.events.end(), [&](const store::StoreEvent& event) {
          return event.kind == store::StoreEvent::Kind::repaired && event.message.find(name) != std::string::npos;
        });
    EXPECT_EQ(repairs, 1) << name;
  }

  StoreFixture fixture{mebibyte, 4096};
  const std::string id = new_id();
};

TEST_F(StoreDamage, OneSuperblockCopyIsEnoughWhicheverItIs) {
  fill_and_close();
  for (const uint64_t copy : {0, 1}) {
    flip("superblock", copy * 4096 + 100);
    fixture.events.clear();
    fixture.open();
    expect_content();
    expect_repaired("superblock");
    fixture.close();
  }
}

TEST_F(StoreDamage, ADamagedSuperblockCopyLosesNoAcknowledgedWrite) {
  for (const int copy : {0, 1}) {
    const Bytes bytes = pattern(static_cast<uint32_t>(10 + copy), 4096);
    ASSERT_TRUE(succeeded(fixture.write(static_cast<uint64_t>(copy) * 4096, bytes)));
    const uint64_t damaged = copy == 0 ? newest_superblock() : 1 - newest_superblock();
    fixture.abandon();
    flip("superblock", damaged * 4096 + 64);
    fixture.open();
    EXPECT_EQ(fixture.read(static_cast<uint64_t>(copy) * 4096, 4096), bytes);
  }
}

TEST_F(StoreDamage, ATornSuperblockCopyIsNotUsed) {
  fill_and_close();
  const UniqueFd fd(::open(file("superblock").c_str(), O_RDWR | O_CLOEXEC));
  const Bytes half = zeros(2048);
  ASSERT_EQ(::pwrite(fd.get(), half.data(), half.size(), static_cast<off_t>(newest_superblock() * 4096)), 2048);
  fixture.open();
  expect_content();
}

TEST_F(StoreDamage, BothSuperblockCopiesDamagedIsReplicaCorrupt) {
  fill_and_close();
  flip("superblock", 9);
  flip("superblock", 4096 + 4095);
  expect_refused("REPLICA_CORRUPT", "superblock");
}

TEST_F(StoreDamage, ANewerFormatIsRefused) {
  fill_and_close();
  const auto [major, minor] = std::pair(store::format_major + 1, store::format_minor + 1);
  set_version(static_cast<uint16_t>(major), 0);
  expect_refused("REPLICA_CORRUPT", "version 2.0");
  set_version(store::format_major, static_cast<uint16_t>(minor));
  expect_refused("REPLICA_CORRUPT", "version 1.2");
  set_version(store::format_major, store::format_minor);
  fixture.open();
  expect_content();
}

TEST_F(StoreDamage, EveryDamagedByteOfVolumeJsonIsReplicaCorrupt) {
  fill_and_close();
  const uint64_t size = std::filesystem::file_size(file("volume.json"));
  for (uint64_t at = 0; at < size - 1; at += 3) {
    flip("volume.json", at);
    const Result<store::VolumeMetadata> read = store::read_metadata(fixture.path());
    flip("volume.json", at);
    // White space says nothing; 0x10 away from it lies a control character, or another space.
    EXPECT_NE(code_of(read), "ok") << "byte " << at;
  }
}

TEST_F(StoreDamage, ADamagedVolumeJsonIsMendedFromItsCopyAndTheOtherWayRound) {
  for (const std::string name : {"volume.json", "volume.copy.json"}) {
    for (const bool cut_short : {false, true}) {
      fixture.events.clear();
      ASSERT_TRUE(succeeded(fixture.snapshot(new_id())));
      ASSERT_TRUE(succeeded(fixture.write(0, pattern(7, 4096))));
      const size_t layers = fixture.store().metadata().layers.size();
      fixture.close();
      if (cut_short)
        cut(name, std::filesystem::file_size(file(name)) - 3);
      else
        flip(name, std::filesystem::file_size(file(name)) / 2);
      fixture.open();
      EXPECT_EQ(fixture.store().metadata().layers.size(), layers);
      EXPECT_EQ(fixture.read(0, 4096), pattern(7, 4096));
      expect_repaired(name);
      EXPECT_TRUE(store::read_metadata(fixture.path()).ok());
    }
  }
}

/// Staged, then the process died: what the copy says never was, and must not be what damage is mended from later.
TEST_F(StoreDamage, ACopyOfAChangeThatNeverWasIsTakenBack) {
  fill_and_close();
  store::VolumeMetadata never = store::read_metadata(fixture.path()).value();
  never.layers.front().removed = true;
  ASSERT_TRUE(succeeded(store::stage_metadata(fixture.path(), never)));
  fixture.events.clear();
  fixture.open();
  EXPECT_TRUE(fixture.events.empty());
  fixture.close();
  flip("volume.json", std::filesystem::file_size(file("volume.json")) / 2);
  fixture.open();
  EXPECT_EQ(fixture.snapshots().size(), 1U);
  EXPECT_FALSE(fixture.store().metadata().layers.front().removed);
  expect_content();
}

TEST_F(StoreDamage, BothVolumeJsonsDamagedIsReplicaCorrupt) {
  fill_and_close();
  flip("volume.json", std::filesystem::file_size(file("volume.json")) / 2);
  flip("volume.copy.json", 40);
  expect_refused("REPLICA_CORRUPT", "volume.json");
}

TEST_F(StoreDamage, ATruncatedOrEmptyVolumeJsonIsReplicaCorrupt) {
  fill_and_close();
  std::filesystem::remove(file("volume.copy.json"));
  cut("volume.json", std::filesystem::file_size(file("volume.json")) - 3);
  expect_refused("REPLICA_CORRUPT", "volume.json");
  cut("volume.json", 0);
  expect_refused("REPLICA_CORRUPT", "volume.json");
}

TEST_F(StoreDamage, AMissingVolumeJsonIsReplicaCorrupt) {
  fill_and_close();
  std::filesystem::remove(file("volume.json"));
  std::filesystem::remove(file("volume.copy.json"));
  expect_refused("REPLICA_CORRUPT", "volume.json");
}

TEST_F(StoreDamage, VolumeJsonOfAnotherReplicaIsReplicaCorrupt) {
  fill_and_close();
  StoreFixture other(mebibyte, 4096);
  other.close();
  std::filesystem::copy_file(other.path() + "/volume.json", file("volume.json"),
                             std::filesystem::copy_options::overwrite_existing);
  other.open();
  expect_refused("REPLICA_CORRUPT", "volume.json");
}

TEST_F(StoreDamage, ADamagedMapHeaderIsReplicaCorrupt) {
  fill_and_close();
  flip("layer-0.map", 12);
  expect_refused("REPLICA_CORRUPT", "layer-0.map");
}

TEST_F(StoreDamage, ADamagedMapSectorIsReplicaCorrupt) {
  fill_and_close();
  flip("layer-1.map", 512);
  expect_refused("REPLICA_CORRUPT", "layer-1.map");
}

TEST_F(StoreDamage, AMapSectorInTheWrongPlaceIsReplicaCorrupt) {
  StoreFixture large(40 * mebibyte, 4096);
  ASSERT_TRUE(succeeded(large.write(0, pattern(1, 4096))));
  large.close();
  const std::string path = large.path() + "/layer-0.map";
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  Bytes sector(512);
  ASSERT_EQ(::pread(fd.get(), sector.data(), 512, 512), 512);
  ASSERT_EQ(::pwrite(fd.get(), sector.data(), 512, 1024), 512);
  EXPECT_EQ(code_of(store::open_replica(large.path(), {})), "REPLICA_CORRUPT");
  ASSERT_EQ(::pwrite(fd.get(), zeros(512).data(), 512, 1024), 512);
  large.open();
}

TEST_F(StoreDamage, FilesThatAreTooShortAreReplicaCorrupt) {
  fill_and_close();
  for (const char* name : {"layer-0.data", "layer-1.data", "layer-0.map", "layer-1.map", "write-ring"}) {
    const uint64_t size = std::filesystem::file_size(file(name));
    for (const uint64_t wrong : {uint64_t{0}, size / 2, size - 1}) {
      std::filesystem::copy_file(file(name), file("kept"));
      cut(name, wrong);
      expect_refused("REPLICA_CORRUPT", name);
      std::filesystem::rename(file("kept"), file(name));
    }
  }
  fixture.open();
  expect_content();
}

TEST_F(StoreDamage, AMissingLayerFileIsReplicaCorrupt) {
  fill_and_close();
  for (const char* name : {"layer-0.data", "layer-1.map", "write-ring"}) {
    std::filesystem::rename(file(name), file("kept"));
    expect_refused("REPLICA_CORRUPT", name);
    std::filesystem::rename(file("kept"), file(name));
  }
  fixture.open();
  expect_content();
}

// ---- The ring -------------------------------------------------------------------------------------------------------

/// A replica whose process died with writes in the ring.
class StoreRingDamage : public StoreDamage {
 protected:
  void write_and_die() {
    for (uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(succeeded(fixture.write(i * 8192, pattern(i, 4096))));
    fixture.abandon();
  }
  static uint64_t place(uint64_t slot) { return store::ring_header_bytes + slot * sizeof(store::RingRecord); }
  store::RingRecord record(uint64_t slot) const {
    store::RingRecord found;
    std::ifstream in(file("write-ring"), std::ios::binary);
    in.seekg(static_cast<std::streamoff>(place(slot)));
    in.read(reinterpret_cast<char*>(&found), sizeof found);
    return found;
  }
  /// With a right checksum: what a bug would write, not what a disk would.
  void put(uint64_t slot, store::RingRecord record) {
    record.checksum = store::ring_record_checksum(record);
    std::fstream out(file("write-ring"), std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(place(slot)));
    out.write(reinterpret_cast<const char*>(&record), sizeof record);
  }
};

TEST_F(StoreRingDamage, ADamagedRecordInTheMiddleIsReplicaCorrupt) {
  write_and_die();
  flip("write-ring", place(4) + 40);
  expect_refused("REPLICA_CORRUPT", "write-ring");
}

TEST_F(StoreRingDamage, ARecordWithAnImpossibleStateIsReplicaCorrupt) {
  write_and_die();
  store::RingRecord bad = record(3);
  bad.state = static_cast<store::BlockState>(3);
  put(3, bad);
  expect_refused("REPLICA_CORRUPT", "write-ring");
}

TEST_F(StoreRingDamage, ARecordBeyondTheVolumesEndIsReplicaCorrupt) {
  write_and_die();
  store::RingRecord bad = record(3);
  bad.block_count = 257;
  put(3, bad);
  expect_refused("REPLICA_CORRUPT", "write-ring");
  bad.first_block = UINT64_MAX - 10;
  bad.block_count = 20;
  put(3, bad);
  expect_refused("REPLICA_CORRUPT", "write-ring");
}

TEST_F(StoreRingDamage, RecordsOfAnotherSessionAreIgnored) {
  write_and_die();
  store::RingRecord stale = record(1);
  stale.session += 1;
  stale.number = 200;
  stale.first_block = 0;
  stale.state = store::BlockState::zero;
  put(200, stale);
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4096), pattern(0, 4096));
}

TEST_F(StoreRingDamage, ARecordThatALaterOneShouldHaveReplacedIsReplicaCorrupt) {
  write_and_die();
  store::RingRecord late = record(8);
  late.number = store::ring_slots_min + 8;
  put(8, late);
  expect_refused("REPLICA_CORRUPT", "write-ring");
}

TEST_F(StoreRingDamage, ADamagedHeaderIsReplicaCorrupt) {
  write_and_die();
  flip("write-ring", 10);
  expect_refused("REPLICA_CORRUPT", "write-ring");
}

TEST_F(StoreRingDamage, AWriteThatWasNotDoneWhenTheProcessDiedChangesNoMap) {
  write_and_die();
  store::RingRecord pending = record(3);
  pending.outcome = store::RecordState::pending;
  put(3, pending);
  fixture.open();
  EXPECT_EQ(fixture.read(2 * 8192, 4096), zeros(4096));
  EXPECT_EQ(fixture.read(3 * 8192, 4096), pattern(3, 4096));
}

TEST_F(StoreRingDamage, WhatTheMapsHoldNeedNotBeThere) {
  ASSERT_TRUE(succeeded(fixture.write(0, pattern(1, 4096))));
  ASSERT_TRUE(succeeded(fixture.flush()));
  ASSERT_TRUE(succeeded(fixture.write(8192, pattern(2, 4096))));
  fixture.abandon();
  flip("write-ring", place(1) + 40);
  fixture.open();
  EXPECT_EQ(fixture.read(0, 4096), pattern(1, 4096));
  EXPECT_EQ(fixture.read(8192, 4096), pattern(2, 4096));
  expect_repaired("write-ring");
}

}  // namespace
}  // namespace cairn::test
