// A replica's files with bytes overwritten as the input says: opening them either says what is damaged, or the content
// is what was written. Every file but the data itself: that has its own checksums, or none while it is written.
//
// Input: a byte that chooses the replica, then edits of 5 bytes and more: file, offset (2 bytes), how many bytes (1 to
// 16), which follow. A second kind of edit repairs the checksums afterwards: what no disk does and an attacker would;
// then nothing may break, and nothing more is asked.
#include <filesystem>
#include <map>
#include <memory>

#include "base/aligned_memory.h"
#include "base/assert.h"
#include "store/layered_store.h"
#include "store/uuid.h"
#include "test/fuzz/replica_files.h"

namespace {

using namespace cairn;
using namespace cairn::fuzz;

constexpr uint64_t block_count = 2 * store::map_sector_blocks + 64;
/// The blocks that are read: across map sectors.
constexpr std::array<uint64_t, 8> watched = {0,
                                             1,
                                             store::map_sector_blocks - 1,
                                             store::map_sector_blocks,
                                             store::map_sector_blocks + 1,
                                             2 * store::map_sector_blocks,
                                             block_count - 2,
                                             block_count - 1};

/// What a block may hold: what was flushed, or what was acknowledged after.
struct Expected {
  uint8_t flushed = 0;
  uint8_t acknowledged = 0;
};

/// A replica as it was left, and what is in it.
struct Replica {
  Files files;
  std::array<Expected, watched.size()> content;
};

class World {
 public:
  World() : reactor_(std::move(Reactor::create({.buffer_bytes = 256 * kibibyte}).value())) {
    const char* base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/var/tmp";
    std::string pattern = std::string(base) + "/cairn-fuzz-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    replicas_ = {make(false), make(true)};
  }
  ~World() { std::filesystem::remove_all(directory_); }

  void run(std::span<const uint8_t> input) {
    const uint8_t choice = input[0];
    const Replica& replica = replicas_[choice & 1];
    const Edits edits = apply_edits(replica.files, input.subspan(1));
    if (edits.changed.empty() || edits.blanked) return;
    save(edits.files, path());
    const std::string wrong = open_and_check(replica, edits, (choice & 2) != 0 ? store::random_uuid() : boot_);
    if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
    CAIRN_ASSERT(wrong.empty());
  }

 private:
  std::string path() const { return directory_ + "/replica"; }

  template <typename T>
  T wait(Task<T> task) {
    std::optional<T> value;
    run_detached(std::move(task), [&](T result) { value.emplace(std::move(result)); });
    reactor_->run([&] { return value.has_value(); });
    return std::move(*value);
  }

  std::unique_ptr<store::LayeredStore> open(const store::Uuid& boot, std::string& error) {
    Result<store::OpenedReplica> opened =
        store::open_replica(path(), {.cache_mode = store::CacheMode::writeback, .boot_id = boot});
    if (!opened.ok()) {
      error = opened.error().code + ": " + opened.error().message;
      return nullptr;
    }
    return std::make_unique<store::LayeredStore>(*reactor_, blocking_, std::move(opened.value()),
                                                 [](const store::StoreEvent&) {});
  }

  /// Layers, then writes that only the ring knows of; closed, or as a killed process leaves it.
  Replica make(bool closed) {
    std::filesystem::remove_all(path());
    const std::string id = "11111111-1111-4111-8111-111111111111";
    CAIRN_ASSERT(store::create_replica({path(), id, id, block_count * store_block_size, 4096}).ok());
    std::string error;
    std::unique_ptr<store::LayeredStore> opened = open(boot_, error);
    CAIRN_ASSERT(opened != nullptr);
    Replica replica;
    for (size_t i = 0; i < 6; ++i) write(*opened, replica, i, static_cast<uint8_t>(10 + i));
    CAIRN_ASSERT(wait(opened->create_snapshot("22222222-2222-4222-8222-222222222222", "first")).ok());
    for (size_t i = 2; i < 5; ++i) write(*opened, replica, i, static_cast<uint8_t>(20 + i));
    CAIRN_ASSERT(wait(opened->flush()).ok());
    for (Expected& block : replica.content) block.flushed = block.acknowledged;
    for (size_t i = 4; i < watched.size(); ++i) write(*opened, replica, i, static_cast<uint8_t>(30 + i));
    if (closed) {
      CAIRN_ASSERT(wait(opened->close()).ok());
      for (Expected& block : replica.content) block.flushed = block.acknowledged;
    }
    opened.reset();
    replica.files = load(path());
    return replica;
  }

  void write(store::LayeredStore& opened, Replica& replica, size_t index, uint8_t value) {
    const AlignedMemory memory(store_block_size);
    std::fill(memory.span().begin(), memory.span().end(), std::byte{value});
    CAIRN_ASSERT(wait(opened.write(watched[index] * store_block_size, memory.span(), Durability::buffered)).ok());
    replica.content[index].acknowledged = value;
  }

  std::string open_and_check(const Replica& replica, const Edits& edits, const store::Uuid& boot) {
    std::string error;
    std::unique_ptr<store::LayeredStore> opened = open(boot, error);
    if (opened == nullptr) return edits.repaired ? "" : judge_error(error, edits);
    std::string wrong;
    for (size_t i = 0; i < watched.size() && wrong.empty(); ++i) wrong = check_block(*opened, replica.content[i], i);
    (void)wait(opened->close(true)).ok();
    return edits.repaired ? "" : wrong;
  }

  /// It names a file that was changed.
  std::string judge_error(const std::string& error, const Edits& edits) const {
    if (!error.starts_with("REPLICA_")) return "not an error of a damaged replica: " + error;
    for (const std::string& name : edits.changed)
      if (error.find(name) != std::string::npos) return "";
    return "does not name the damaged file: " + error;
  }

  std::string check_block(store::LayeredStore& opened, const Expected& expected, size_t index) {
    const AlignedMemory memory(store_block_size);
    const uint64_t offset = watched[index] * store_block_size;
    if (offset + store_block_size > opened.geometry().size) return "the volume is shorter";
    const Status status = wait(opened.read(offset, memory.span()));
    if (!status.ok()) return "block " + std::to_string(watched[index]) + " cannot be read: " + status.message();
    const auto value = static_cast<uint8_t>(memory.span()[0]);
    for (const std::byte byte : memory.span())
      if (byte != memory.span()[0]) return "block " + std::to_string(watched[index]) + " is of two writes";
    if (value == expected.acknowledged || value == expected.flushed) return "";
    return "block " + std::to_string(watched[index]) + " holds " + std::to_string(value);
  }

  std::unique_ptr<Reactor> reactor_;
  BlockingThread blocking_;
  std::string directory_;
  store::Uuid boot_ = store::random_uuid();
  std::vector<Replica> replicas_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* world = new World;  // its reactor belongs to this thread, which outlives static destruction
  if (size > 0) world->run({data, size});
  return 0;
}
