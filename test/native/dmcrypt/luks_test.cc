// LUKS2 headers in a device of memory: made, opened, damaged, changed, and cut short while they are written.
#include "dmcrypt/luks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "block/fault_device.h"
#include "block/memory_device.h"
#include "dmcrypt/header_area.h"
#include "test/native/support/on_reactor.h"
#include "test/native/support/temporary_directory.h"

namespace cairn::dmcrypt {
namespace {

constexpr uint64_t size = 20 * mebibyte;

Passphrase phrase(const char* text) { return std::as_bytes(std::span(text, std::strlen(text))); }

class LuksTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<HeaderFile> file = HeaderFile::create(size);
    ASSERT_TRUE(file.ok());
    const Result<LuksInfo> made = luks_format(file.value(), {.sector_size = 4096}, phrase("correct horse"));
    ASSERT_TRUE(made.ok()) << made.error().message;
    info_ = made.value();
    ASSERT_TRUE(store(memory_, file.value()));
  }

  bool store(BlockDevice& device, const HeaderFile& file) {
    const Result<bool> written = on_.wait(write_header_area(device, file));
    return written.ok() && written.value();
  }
  HeaderFile load() {
    Result<HeaderFile> file = on_.wait(read_header_area(memory_));
    EXPECT_TRUE(file.ok());
    return std::move(file.value());
  }
  std::string code_of(Passphrase passphrase) {
    const Result<LuksUnlocked> unlocked = luks_unlock(load(), passphrase);
    return unlocked.ok() ? "" : unlocked.error().code;
  }
  void damage(uint64_t offset) {
    const std::vector<std::byte> rubbish(4096, std::byte{0xee});
    EXPECT_TRUE(on_.wait(memory_.write(offset, rubbish, Durability::durable)).ok());
  }

  test::OnReactor on_;
  MemoryDevice memory_{size, 512};
  LuksInfo info_;
};

constexpr uint64_t secondary = 16 * kibibyte;  // where libcryptsetup puts it
constexpr size_t magic = 6;                    // bytes that each begins with

TEST_F(LuksTest, WhatIsFormattedOpensWithItsPassphraseAlone) {
  EXPECT_EQ(info_.layout.data_offset, data_offset_default);
  EXPECT_EQ(info_.layout.sector_size, 4096U);
  EXPECT_EQ(info_.layout.length, 0U);
  EXPECT_TRUE(info_.layout.allow_discards);
  EXPECT_EQ(info_.key_slots.size(), 1U);
  EXPECT_EQ(code_of(phrase("correct horse")), "");
  EXPECT_EQ(code_of(phrase("correct hors")), "WRONG_KEY");
  EXPECT_EQ(code_of(phrase("")), "WRONG_KEY");
}

TEST_F(LuksTest, EachHasAVolumeKeyOfItsOwn) {
  Result<HeaderFile> other = HeaderFile::create(size);
  ASSERT_TRUE(luks_format(other.value(), {}, phrase("correct horse")).ok());
  Result<LuksUnlocked> one = luks_unlock(load(), phrase("correct horse"));
  Result<LuksUnlocked> two = luks_unlock(other.value(), phrase("correct horse"));
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_FALSE(std::ranges::equal(one.value().volume_key.span(), two.value().volume_key.span()));
  EXPECT_NE(one.value().info.uuid, two.value().info.uuid);
}

TEST_F(LuksTest, DiscardsAndSectorSizeAreRemembered) {
  Result<HeaderFile> file = HeaderFile::create(size);
  ASSERT_TRUE(luks_format(file.value(), {.sector_size = 512, .allow_discards = false}, phrase("x")).ok());
  const Result<LuksInfo> info = luks_info(file.value());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info.value().layout.sector_size, 512U);
  EXPECT_FALSE(info.value().layout.allow_discards);
}

TEST_F(LuksTest, ADamagedHeaderIsMendedFromTheOther) {
  for (const uint64_t where : {uint64_t{0}, secondary, uint64_t{4096}, secondary + 4096}) {
    const std::vector<std::byte> before(memory_.content().begin(), memory_.content().end());
    damage(where);
    HeaderFile file = load();
    const Result<LuksUnlocked> unlocked = luks_unlock(file, phrase("correct horse"));
    ASSERT_TRUE(unlocked.ok()) << where << ": " << unlocked.error().message;
    EXPECT_TRUE(store(memory_, file)) << "nothing was mended";
    EXPECT_TRUE(std::ranges::equal(memory_.content().first(magic), std::span(before).first(magic)));
    HeaderFile again = load();
    ASSERT_TRUE(luks_unlock(again, phrase("correct horse")).ok());
    EXPECT_FALSE(store(memory_, again)) << "it was not whole yet";
  }
}

TEST_F(LuksTest, BothDamagedIsSaidPlainly) {
  damage(0);
  damage(secondary);
  EXPECT_EQ(code_of(phrase("correct horse")), "HEADER_DAMAGED");
  EXPECT_EQ(luks_info(load()).error().code, "HEADER_DAMAGED");
  MemoryDevice empty(mebibyte, 512);
  Result<HeaderFile> nothing = on_.wait(read_header_area(empty));
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(luks_info(nothing.value()).error().code, "HEADER_DAMAGED");
}

TEST_F(LuksTest, KeysAreAddedAndRemoved) {
  HeaderFile file = load();
  EXPECT_EQ(luks_add_key(file, phrase("wrong"), phrase("second")).error().code, "WRONG_KEY");
  ASSERT_TRUE(luks_add_key(file, phrase("correct horse"), phrase("second")).ok());
  ASSERT_TRUE(store(memory_, file));
  EXPECT_EQ(luks_info(load()).value().key_slots.size(), 2U);
  EXPECT_EQ(code_of(phrase("second")), "");
  EXPECT_EQ(code_of(phrase("correct horse")), "");

  file = load();
  EXPECT_TRUE(luks_add_key(file, phrase("correct horse"), phrase("second")).ok()) << "it is there";
  EXPECT_EQ(luks_info(file).value().key_slots.size(), 2U);
  EXPECT_TRUE(luks_remove_key(file, phrase("correct horse"), phrase("second")).value());
  ASSERT_TRUE(store(memory_, file));
  EXPECT_EQ(code_of(phrase("second")), "");
  EXPECT_EQ(code_of(phrase("correct horse")), "WRONG_KEY");

  file = load();
  EXPECT_FALSE(luks_remove_key(file, phrase("correct horse"), phrase("second")).value()) << "it is gone";
  for (const char* kept : {"second", "third"})
    EXPECT_EQ(luks_remove_key(file, phrase("second"), phrase(kept)).error().code, "INVALID_ARGUMENT") << kept;
  EXPECT_EQ(luks_info(file).value().key_slots.size(), 1U);
}

/// However many slots there are: what is to go on opening the device is not the one that goes.
TEST_F(LuksTest, ThePassphraseThatIsKeptIsNeverRemoved) {
  HeaderFile file = load();
  ASSERT_TRUE(luks_add_key(file, phrase("correct horse"), phrase("recovery")).ok());
  EXPECT_EQ(luks_remove_key(file, phrase("correct horse"), phrase("correct horse")).error().code, "INVALID_ARGUMENT");
  EXPECT_EQ(luks_info(file).value().key_slots.size(), 2U);
}

/// A disk that cannot read a block of one copy.
TEST_F(LuksTest, AnUnreadableBlockOfOneCopyIsMended) {
  for (const uint64_t bad : {uint64_t{0}, uint64_t{4096}, secondary, secondary + 8192}) {
    bool is_bad = true;
    FaultDevice disk(memory_, [&](FaultDevice::Operation operation, uint64_t offset, uint64_t length) {
      const bool meets = offset <= bad && bad < offset + length;
      if (operation == FaultDevice::Operation::write && meets) is_bad = false;
      return operation == FaultDevice::Operation::read && meets && is_bad
                 ? FaultDevice::Fault{Status::from_errno(EIO), Status()}
                 : FaultDevice::Fault{};
    });
    const Result<HeaderFile> file = on_.wait(read_header_area(disk));
    ASSERT_TRUE(file.ok()) << bad;
    ASSERT_TRUE(luks_unlock(file.value(), phrase("correct horse")).ok()) << bad;
    const Result<bool> mended = on_.wait(mend_header(disk, file.value()));
    ASSERT_TRUE(mended.ok() && mended.value()) << bad;
    EXPECT_FALSE(is_bad) << "it was not written";
    EXPECT_EQ(code_of(phrase("correct horse")), "");
  }
}

/// Its place may be readable again another time: it is not written over with what could not be read.
TEST_F(LuksTest, AnUnreadableKeySlotIsLeftAsItIs) {
  const std::vector<std::byte> before(memory_.content().begin(), memory_.content().end());
  FaultDevice disk(memory_, [&](FaultDevice::Operation operation, uint64_t offset, uint64_t length) {
    const bool meets = offset < 64 * kibibyte && offset + length > 32 * kibibyte;
    return operation == FaultDevice::Operation::read && meets ? FaultDevice::Fault{Status::from_errno(EIO), Status()}
                                                              : FaultDevice::Fault{};
  });
  const Result<HeaderFile> file = on_.wait(read_header_area(disk));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(luks_unlock(file.value(), phrase("correct horse")).error().code, "WRONG_KEY");
  EXPECT_EQ(on_.wait(write_header_area(disk, file.value())).error().code, "EIO");
  EXPECT_TRUE(std::ranges::equal(memory_.content(), before));
}

TEST_F(LuksTest, ABackupIsWhatCryptsetupReadsAndIsNeverWrittenOver) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/backup";
  ASSERT_TRUE(save_header(load(), path).ok());
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), data_offset_default) << "what luksHeaderRestore asks for";
  EXPECT_EQ(save_header(load(), path).error().code, "EEXIST");
  damage(0);
  damage(secondary);
  const Result<HeaderFile> backup = load_header(path, size);
  ASSERT_TRUE(backup.ok());
  ASSERT_TRUE(store(memory_, backup.value()));
  EXPECT_EQ(code_of(phrase("correct horse")), "");
  EXPECT_EQ(load_header(directory.path() + "/none", size).error().code, "INVALID_ARGUMENT");
  EXPECT_EQ(load_header(directory.path(), size).error().code, "INVALID_ARGUMENT");
}

/// Wherever the writing of a header ends, what opened the device before opens it, or what is new does.
TEST_F(LuksTest, ACrashWhileItIsWrittenLeavesAnOpenHeader) {
  HeaderFile file = load();
  ASSERT_TRUE(luks_add_key(file, phrase("correct horse"), phrase("second")).ok());
  const std::vector<std::byte> before(memory_.content().begin(), memory_.content().end());
  size_t writes = 0;
  FaultDevice counting(memory_, [&](FaultDevice::Operation operation, uint64_t, uint64_t) {
    if (operation == FaultDevice::Operation::write) ++writes;
    return FaultDevice::Fault{};
  });
  ASSERT_TRUE(store(counting, file));
  const size_t all = writes;
  ASSERT_GT(all, 2U);
  for (size_t until = 0; until < all; ++until) {
    ASSERT_TRUE(on_.wait(memory_.write(0, before, Durability::durable)).ok());
    writes = 0;
    FaultDevice dying(memory_, [&](FaultDevice::Operation operation, uint64_t, uint64_t) {
      const bool dead = operation == FaultDevice::Operation::write && writes++ >= until;
      return dead ? FaultDevice::Fault{Status::from_errno(EIO), Status()} : FaultDevice::Fault{};
    });
    EXPECT_FALSE(on_.wait(write_header_area(dying, file)).ok());
    ASSERT_EQ(code_of(phrase("correct horse")), "") << "after " << until << " of " << all << " writes";
    if (luks_info(load()).value().key_slots.size() == 2) {
      ASSERT_EQ(code_of(phrase("second")), "") << "a slot is named that is not there, after " << until;
    }
  }
}

/// Clients write behind the header while it is worked on.
TEST_F(LuksTest, WhatLiesBehindTheHeaderIsLeftAlone) {
  HeaderFile file = load();
  const std::vector<std::byte> data(4096, std::byte{7});
  ASSERT_TRUE(on_.wait(memory_.write(data_offset_default, data, Durability::durable)).ok());
  ASSERT_TRUE(luks_add_key(file, phrase("correct horse"), phrase("second")).ok());
  ASSERT_TRUE(store(memory_, file));
  EXPECT_TRUE(std::ranges::equal(memory_.content().subspan(data_offset_default, data.size()), data));
}

}  // namespace
}  // namespace cairn::dmcrypt
