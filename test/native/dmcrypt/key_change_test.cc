// The volume key of an encrypted store is changed while it is used, killed, and while its disk fails.
#include <cstring>

#include "block/fault_device.h"
#include "dmcrypt/encrypted_volume.h"
#include "dmcrypt/header_area.h"
#include "test/native/store/store_fixture.h"
#include "test/native/support/scale.h"

namespace cairn::dmcrypt {
namespace {

using test::Bytes;

constexpr uint64_t clear_size = 4 * mebibyte;
constexpr uint64_t store_size = data_offset_default + clear_size;
constexpr uint64_t sector = 512;

class Keeper final : public SnapshotKeeper {
 public:
  explicit Keeper(store::LayeredStore& store) : store_(store) {}
  Task<Result<Unit>> take(std::string name) override {
    const Result<Unit> taken = co_await store_.create_snapshot(test::new_id(), std::move(name));
    if (fails) co_return Error{"EIO", "the snapshot could not be made durable"};
    co_return taken;
  }
  Task<Result<Unit>> remove(std::string name) override {
    for (const store::LayerStatus& layer : store_.layers())
      if (layer.name == name && !layer.removed) co_return co_await store_.delete_snapshot(layer.id);
    co_return Unit{};
  }

  bool fails = false;

 private:
  store::LayeredStore& store_;
};

std::shared_ptr<SecureMemory> phrase(const char* text) {
  Result<SecureMemory> memory = SecureMemory::create(std::strlen(text));
  EXPECT_TRUE(memory.ok());
  std::memcpy(memory.value().span().data(), text, std::strlen(text));
  return std::make_shared<SecureMemory>(std::move(memory.value()));
}

/// A disk that takes its time, another one each time.
class Jitter final : public IoTap {
 public:
  explicit Jitter(std::mt19937_64& random) : random_(random) {}
  Status before(const Event&) override { return {}; }
  std::chrono::nanoseconds delay(const Event&) override { return std::chrono::microseconds(random_() % 400); }
  void after(const Event&) override {}

 private:
  std::mt19937_64& random_;
};

/// A volume that is formatted, unlocked, killed and unlocked again, beside a model of what was written.
class KeyChangeTest : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    Result<HeaderFile> file = HeaderFile::create(store_size);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(test::succeeded(luks_format(file.value(), {.sector_size = GetParam()}, phrase("first")->span())));
    ASSERT_TRUE(test::succeeded(fixture_.wait(write_header_area(fixture_.store(), file.value()))));
    unlock();
  }
  void TearDown() override { lock(); }

  void unlock() {
    keeper_ = std::make_unique<Keeper>(fixture_.store());
    below_ = std::make_unique<FaultDevice>(fixture_.store(),
                                           [this](FaultDevice::Operation operation, uint64_t offset, uint64_t length) {
                                             if (stepping_ && volume_) volume_->changer().stop();
                                             return fault_ ? fault_(operation, offset, length) : FaultDevice::Fault{};
                                           });
    Result<std::unique_ptr<EncryptedVolume>> unlocked = fixture_.wait(unlocking());
    ASSERT_TRUE(test::succeeded(unlocked));
    volume_ = std::move(unlocked.value());
  }
  void lock() {
    if (volume_ == nullptr) return;
    volume_->changer().stop();
    fixture_.wait(volume_->changer().wait_stopped());
    volume_.reset();
  }
  /// As the death of the process leaves it, between two pieces of the change.
  void kill() {
    lock();
    fixture_.settle();
    fixture_.abandon();
    fixture_.open();
    unlock();
  }
  Result<Unit> begin(const std::string& id, const char* passphrase = "first") {
    return fixture_.wait(volume_->changer().begin(id, phrase(passphrase)));
  }
  void finish() {
    stepping_ = false;
    volume_->changer().go_on();
    fixture_.wait(volume_->changer().wait_stopped());
  }

  void finish_step() {
    volume_->changer().stop();
    fixture_.wait(volume_->changer().wait_stopped());
  }
  Status write(uint64_t offset, const Bytes& bytes, Durability durability = Durability::buffered) {
    const AlignedMemory memory((bytes.size() + 4095) / 4096 * 4096);
    std::copy(bytes.begin(), bytes.end(), memory.span().begin());
    const Status status = fixture_.wait(volume_->device().write(offset, memory.span().first(bytes.size()), durability));
    if (!status.ok()) return status;
    std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<ptrdiff_t>(offset));
    for (uint64_t at = offset / sector; at < (offset + bytes.size()) / sector; ++at) written_[at] = true;
    return status;
  }
  Bytes read(BlockDevice& device, uint64_t offset, size_t length) {
    const AlignedMemory memory((length + 4095) / 4096 * 4096);
    EXPECT_TRUE(test::succeeded(fixture_.wait(device.read(offset, memory.span().first(length)))));
    return {memory.span().begin(), memory.span().begin() + static_cast<ptrdiff_t>(length)};
  }
  /// What nobody has written reads as anything.
  void expect_model(BlockDevice& device, const Bytes& model, const std::vector<bool>& written) {
    const Bytes all = read(device, 0, clear_size);
    for (uint64_t at = 0; at < written.size(); ++at) {
      if (!written[at]) continue;
      ASSERT_EQ(0, std::memcmp(all.data() + at * sector, model.data() + at * sector, sector)) << "sector " << at;
    }
  }
  void expect_model() { expect_model(volume_->device(), model_, written_); }

  /// Every other block: the change has to take many steps.
  void fill(std::mt19937_64& random) {
    const Bytes bytes = test::random_bytes(random, 4096);
    for (uint64_t at = 0; at < clear_size; at += 8192) ASSERT_TRUE(test::succeeded(write(at, bytes)));
  }
  void some_operations(std::mt19937_64& random, size_t count) {
    const uint64_t unit = GetParam();
    for (size_t i = 0; i < count; ++i) {
      // The change, if there is one, goes on for a piece, beside this operation and the next ones.
      stepping_ = true;
      if (random() % 2 == 0) volume_->changer().go_on();
      const uint64_t length = unit * (1 + random() % (random() % 8 == 0 ? 64 : 12));
      const uint64_t offset = random() % ((clear_size - length) / unit + 1) * unit;
      const auto durability = random() % 8 == 0 ? Durability::durable : Durability::buffered;
      switch (random() % 8) {
        case 0:
          ASSERT_TRUE(test::succeeded(fixture_.wait(volume_->device().flush())));
          break;
        case 1:
          ASSERT_TRUE(test::succeeded(fixture_.wait(volume_->device().trim(offset, length, durability))));
          for (uint64_t at = offset / sector; at < (offset + length) / sector; ++at) written_[at] = false;
          break;
        case 2: {
          const Bytes found = read(volume_->device(), offset, length);
          for (uint64_t at = 0; at < length / sector; ++at) {
            if (!written_[offset / sector + at]) continue;
            ASSERT_EQ(0, std::memcmp(found.data() + at * sector, model_.data() + offset + at * sector, sector));
          }
          break;
        }
        default:
          ASSERT_TRUE(test::succeeded(write(offset, test::random_bytes(random, length), durability)));
      }
    }
  }
  /// One more round of the reactor.
  Task<> turn() { co_await fixture_.loop().reactor().sleep(std::chrono::milliseconds(1)); }
  LuksInfo info() {
    const Result<HeaderFile> file = fixture_.wait(read_header_area(fixture_.store()));
    EXPECT_TRUE(test::succeeded(file));
    const Result<LuksInfo> info = luks_info(file.value());
    EXPECT_TRUE(test::succeeded(info));
    return info.value();
  }
  std::vector<std::string> snapshots() {
    std::vector<std::string> names;
    for (const SnapshotName& each : fixture_.store().snapshots()) names.push_back(each.name);
    return names;
  }

  test::StoreFixture fixture_{store_size, GetParam()};
  BlockingThread keys_;
  CryptBuffers buffers_{fixture_.loop().reactor()};
  AsyncMutex header_{fixture_.loop().reactor().ready()};
  std::function<FaultDevice::Fault(FaultDevice::Operation, uint64_t, uint64_t)> fault_;
  bool stepping_ = false;  // a change stops after the piece at hand
  std::unique_ptr<Keeper> keeper_;
  std::unique_ptr<FaultDevice> below_;
  std::unique_ptr<EncryptedVolume> volume_;
  size_t finished_ = 0;
  Bytes model_ = Bytes(clear_size);
  std::vector<bool> written_ = std::vector<bool>(clear_size / sector);

 private:
  Task<Result<std::unique_ptr<EncryptedVolume>>> unlocking() {
    const AsyncMutex::Guard guard = co_await header_.lock();
    co_return co_await EncryptedVolume::unlock(
        {fixture_.loop().reactor(), keys_, buffers_, *below_, fixture_.store(), *keeper_, header_}, phrase("first"),
        [this] { ++finished_; });
  }
};

TEST_P(KeyChangeTest, EveryBlockHasTheNewKeyInTheEnd) {
  std::mt19937_64 random(test::test_seed());
  fill(random);
  const std::string before = info().key_id;
  const AlignedMemory older(clear_size);
  ASSERT_TRUE(fixture_.wait(fixture_.store().read(data_offset_default, older.span())).ok());
  ASSERT_TRUE(test::succeeded(begin("one")));
  EXPECT_TRUE(changes_key(fixture_.store()));
  EXPECT_TRUE(volume_->device().has_older_key());
  expect_model();
  finish();
  expect_model();
  EXPECT_EQ(finished_, 1U);
  EXPECT_FALSE(changes_key(fixture_.store()));
  EXPECT_TRUE(snapshots().empty());
  EXPECT_NE(info().key_id, before);
  EXPECT_EQ(info().key_slots.size(), 1U);
  EXPECT_FALSE(info().change->running());
  const AlignedMemory now(clear_size);
  ASSERT_TRUE(fixture_.wait(fixture_.store().read(data_offset_default, now.span())).ok());
  for (uint64_t at = 0; at < written_.size(); ++at) {
    if (!written_[at]) continue;
    ASSERT_NE(0, std::memcmp(now.span().data() + at * sector, older.span().data() + at * sector, sector))
        << "sector " << at;
  }
  kill();
  expect_model();
}

TEST_P(KeyChangeTest, ClientsGoOnAndAKilledProcessTakesItUpAgain) {
  std::mt19937_64 random(test::test_seed());
  fill(random);
  some_operations(random, 50);
  ASSERT_TRUE(test::succeeded(begin("one")));
  for (int life = 0; life < 4; ++life) {
    some_operations(random, 25);
    expect_model();
    EXPECT_TRUE(volume_->device().has_older_key()) << "it was over too soon to tell anything";
    kill();
    expect_model();
  }
  finish();
  some_operations(random, 20);
  expect_model();
  EXPECT_FALSE(changes_key(fixture_.store()));
  EXPECT_EQ(finished_, 1U);
  // Again, with another key.
  const std::string second = info().key_id;
  ASSERT_TRUE(test::succeeded(begin("two")));
  some_operations(random, 20);
  finish();
  EXPECT_NE(info().key_id, second);
  expect_model();
}

/// Parts of blocks that still have the older key, written at once, beside the change itself.
TEST_P(KeyChangeTest, NeighboursInABlockDoNotUndoEachOther) {
  std::mt19937_64 random(test::test_seed());
  fill(random);
  ASSERT_TRUE(test::succeeded(begin("one")));
  stepping_ = true;
  Jitter jitter(random);
  fixture_.loop().reactor().set_tap(&jitter);
  const uint64_t unit = GetParam();
  for (uint64_t block = 0; block + 4096 <= clear_size / 16; block += 4096) {
    const AlignedMemory memory(4096);
    const Bytes bytes = test::random_bytes(random, 4096);
    std::copy(bytes.begin(), bytes.end(), memory.span().begin());
    size_t left = 4096 / unit;
    if (random() % 8 == 0) volume_->changer().go_on();  // it stays behind
    for (uint64_t at = 0; at < 4096; at += unit)
      run_detached(volume_->device().write(block + at, memory.span().subspan(at, unit), Durability::buffered),
                   [&](Status status) {
                     EXPECT_TRUE(test::succeeded(status));
                     --left;
                   });
    fixture_.loop().reactor().run([&] { return left == 0; });
    std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<ptrdiff_t>(block));
    std::fill_n(written_.begin() + static_cast<ptrdiff_t>(block / sector), 4096 / sector, true);
  }
  fixture_.loop().reactor().set_tap(nullptr);
  EXPECT_TRUE(volume_->device().has_older_key());
  expect_model();
  finish();
  expect_model();
}

/// Clients write just what is being renewed.
TEST_P(KeyChangeTest, WhatIsWrittenMeanwhileStays) {
  std::mt19937_64 random(test::test_seed());
  fill(random);
  ASSERT_TRUE(test::succeeded(begin("one")));
  stepping_ = true;
  Jitter jitter(random);
  fixture_.loop().reactor().set_tap(&jitter);
  for (uint64_t block = 0; block < clear_size / 8; block += 8192) {
    volume_->changer().go_on();  // one piece: this block
    ASSERT_TRUE(test::succeeded(write(block, test::random_bytes(random, 4096))));
    finish_step();
  }
  fixture_.loop().reactor().set_tap(nullptr);
  expect_model();
  finish();
  expect_model();
}

TEST_P(KeyChangeTest, SnapshotsKeepTheirKeys) {
  std::mt19937_64 random(test::test_seed());
  some_operations(random, 60);
  ASSERT_TRUE(test::succeeded(fixture_.wait(fixture_.store().create_snapshot(test::new_id(), "old"))));
  const Bytes old_model = model_;
  const std::vector<bool> old_written = written_;
  some_operations(random, 40);
  ASSERT_TRUE(test::succeeded(begin("one")));
  ASSERT_EQ(volume_->snapshots().snapshots().size(), 1U) << "that of the change is nobody's business";
  finish();
  ASSERT_TRUE(test::succeeded(fixture_.wait(fixture_.store().create_snapshot(test::new_id(), "new"))));
  const Bytes new_model = model_;
  const std::vector<bool> new_written = written_;
  some_operations(random, 40);
  for (int life = 0; life < 2; ++life) {
    for (const std::string name : {"old", "new"}) {
      Result<std::unique_ptr<BlockDevice>> device = fixture_.wait(volume_->snapshots().open_snapshot(name));
      ASSERT_TRUE(test::succeeded(device)) << name;
      expect_model(*device.value(), name == "old" ? old_model : new_model, name == "old" ? old_written : new_written);
    }
    expect_model();
    kill();
  }
}

TEST_P(KeyChangeTest, GrowsMeanwhile) {
  std::mt19937_64 random(test::test_seed());
  some_operations(random, 60);
  ASSERT_TRUE(test::succeeded(begin("one")));
  ASSERT_TRUE(test::succeeded(fixture_.wait(fixture_.store().resize(store_size + clear_size))));
  const Bytes bytes = test::pattern(7, 3 * GetParam());
  const uint64_t behind = clear_size + GetParam();
  ASSERT_TRUE(test::succeeded(fixture_.wait(volume_->device().write(behind, bytes, Durability::durable))));
  EXPECT_EQ(read(volume_->device(), behind, bytes.size()), bytes);
  read(volume_->device(), clear_size - 8192, 16384);  // over the snapshot's end
  finish();
  EXPECT_EQ(read(volume_->device(), behind, bytes.size()), bytes);
  expect_model();
}

/// The snapshot is there, but the store says that it could not be made durable.
TEST_P(KeyChangeTest, WhatAFailedBeginningLeavesIsRemoved) {
  std::mt19937_64 random(test::test_seed());
  some_operations(random, 20);
  keeper_->fails = true;
  EXPECT_EQ(test::code_of(begin("one")), "EIO");
  EXPECT_TRUE(changes_key(fixture_.store()));
  keeper_->fails = false;
  finish();
  EXPECT_FALSE(changes_key(fixture_.store()));
  EXPECT_EQ(finished_, 0U) << "nothing had begun";
  expect_model();
  ASSERT_TRUE(test::succeeded(begin("two")));
  finish();
  expect_model();
}

TEST_P(KeyChangeTest, WhatIsWrongChangesNothing) {
  const LuksInfo before = info();
  EXPECT_EQ(test::code_of(begin("one", "wrong")), "WRONG_KEY");
  EXPECT_EQ(info().key_id, before.key_id);
  EXPECT_TRUE(snapshots().empty());
  ASSERT_TRUE(test::succeeded(write(0, test::pattern(1, 64 * 4096))));
  ASSERT_TRUE(test::succeeded(begin("one")));
  EXPECT_TRUE(test::succeeded(begin("one"))) << "it may be asked for again";
  EXPECT_EQ(test::code_of(begin("two")), "REENCRYPTION_RUNNING");
  const Result<HeaderFile> file = fixture_.wait(read_header_area(fixture_.store()));
  EXPECT_EQ(test::code_of(luks_add_key(file.value(), phrase("first")->span(), phrase("second")->span())),
            "REENCRYPTION_RUNNING");
  EXPECT_EQ(test::code_of(luks_remove_key(file.value(), phrase("first")->span(), phrase("first")->span())),
            "REENCRYPTION_RUNNING");
  finish();
  const std::string changed = info().key_id;
  EXPECT_TRUE(test::succeeded(begin("one"))) << "it has ended, and is not done again";
  finish();
  EXPECT_EQ(info().key_id, changed);
}

/// The disk fails at each write of the header in turn; the process dies of it, and the next one finds the volume whole.
TEST_P(KeyChangeTest, ADiskThatFailsWhileItBeginsOrEndsHarmsNothing) {
  std::mt19937_64 random(test::test_seed());
  some_operations(random, 40);
  size_t fail_at = 0;
  bool begun = false;
  for (; !begun; ++fail_at) {
    size_t writes = 0;
    fault_ = [&](FaultDevice::Operation operation, uint64_t offset, uint64_t) {
      const bool header = operation == FaultDevice::Operation::write && offset < data_offset_default;
      return header && writes++ >= fail_at ? FaultDevice::Fault{Status::from_errno(EIO), Status()}
                                           : FaultDevice::Fault{};
    };
    begun = begin("change " + std::to_string(fail_at)).ok();
    if (!begun) {
      std::vector<std::byte> some(GetParam());
      EXPECT_EQ(fixture_.wait(volume_->device().write(0, some, Durability::buffered)).error(), EIO);
    }
    stepping_ = false;
    if (begun) volume_->changer().go_on();
    if (begun)  // it cannot end either
      while (volume_->changer().problem().empty()) fixture_.wait(turn());
    fault_ = nullptr;
    kill();
    expect_model();
    some_operations(random, 5);
    finish();
    expect_model();
    EXPECT_FALSE(changes_key(fixture_.store()));
    EXPECT_TRUE(snapshots().empty());
  }
  EXPECT_GT(fail_at, 2U) << "the header is written in several pieces";
}

INSTANTIATE_TEST_SUITE_P(SectorSizes, KeyChangeTest, testing::Values(512U, 4096U));

}  // namespace
}  // namespace cairn::dmcrypt
