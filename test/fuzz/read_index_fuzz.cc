// read-index and a layer's list of runs as any bytes, and as any body whose checksums are right: passed over, or an
// index that can be walked and that is saved as it was read, and runs one behind the other.
#include <fcntl.h>

#include <filesystem>

#include "base/assert.h"
#include "base/crc32c.h"
#include "store/replica_files.h"
#include "store/run_list.h"
#include "store/saved_index.h"
#include "store/sealed.h"

namespace {

using namespace cairn;

constexpr uint64_t block_count = 3 * index_chunk_blocks + 100;

class World {
 public:
  World() {
    const char* base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/var/tmp";
    std::string pattern = std::string(base) + "/cairn-fuzz-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }

  void run(std::span<const std::byte> input) {
    check(input);
    check_list(input);
    if (input.size() < 2) return;
    check(whole_file(input));
    check_list(whole_list(input));
  }

 private:
  /// Two bytes say how many runs there are; the rest is these. All that both headers have is right.
  template <typename Header>
  static std::vector<std::byte> whole(Header header, std::span<const std::byte> input,
                                      std::span<const std::byte> body) {
    header.block_count = block_count;
    header.run_count = static_cast<uint64_t>(input[0]) | static_cast<uint64_t>(input[1]) << 8;
    header.body_bytes = body.size();
    header.body_checksum = crc32c(body.data(), body.size());
    header.checksum = store::checksum_of(header);
    const std::span<const std::byte> head = std::as_bytes(std::span(&header, 1));
    std::vector<std::byte> file(head.begin(), head.end());
    file.insert(file.end(), body.begin(), body.end());
    return file;
  }

  static void put(const std::string& path, std::span<const std::byte> bytes) {
    const Result<UniqueFd> file = store::open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    CAIRN_ASSERT(file.ok() && store::write_all(file.value().get(), path, bytes, 0).ok());
  }

  std::vector<std::byte> whole_file(std::span<const std::byte> input) const {
    const std::span<const std::byte> numbers = std::as_bytes(std::span(chain_.layers));
    std::vector<std::byte> body(numbers.begin(), numbers.end());
    body.insert(body.end(), input.begin() + 2, input.end());
    store::SavedIndexHeader header;
    header.magic = store::saved_index_magic;
    header.layer_count = static_cast<uint32_t>(chain_.layers.size());
    header.session = chain_.session;
    return whole(header, input, body);
  }

  void check(std::span<const std::byte> bytes) {
    put(store::saved_index_path(directory_), bytes);
    const std::unique_ptr<store::ReadIndex> index = store::load_index(directory_, chain_, block_count);
    if (index == nullptr) return;
    CAIRN_ASSERT(index->block_count() == block_count);
    CAIRN_ASSERT(store::save_index(directory_, *index, chain_, {0, 0, 1, 2}).ok());
    const std::unique_ptr<store::ReadIndex> again = store::load_index(directory_, chain_, block_count);
    CAIRN_ASSERT(again != nullptr);
    for (uint64_t block = 0; block < block_count; ++block) {
      CAIRN_ASSERT(index->at(block) == again->at(block));
      CAIRN_ASSERT(index->at(block).slot() <= chain_.layers.size());
    }
  }

  std::vector<std::byte> whole_list(std::span<const std::byte> input) const {
    const std::span<const std::byte> body = input.subspan(2);
    store::RunListHeader header;
    header.magic = store::run_list_magic;
    header.layer = layer;
    return whole(header, input, body);
  }

  void check_list(std::span<const std::byte> bytes) {
    put(store::run_list_path(directory_, layer), bytes);
    uint64_t end = 0;
    const bool counts = store::read_run_list(directory_, layer, block_count, [&](const store::StateRun& run) {
      CAIRN_ASSERT(run.first >= end && run.count > 0 && run.count <= block_count - run.first);
      CAIRN_ASSERT(run.state == store::BlockState::data || run.state == store::BlockState::zero);
      end = run.first + run.count;
    });
    CAIRN_ASSERT(counts || end == 0);
  }

  static constexpr uint32_t layer = 5;
  const store::IndexedChain chain_{7, {0, 3, 5}};
  std::string directory_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* world = new World;
  world->run(std::as_bytes(std::span(data, size)));
  return 0;
}
