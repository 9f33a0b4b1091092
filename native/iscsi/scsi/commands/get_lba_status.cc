// GET LBA STATUS (SBC-3).
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/byte_order.h"
#include "iscsi/scsi/block_range.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"

namespace cairn::scsi {
namespace {

constexpr size_t header_length = 8;
constexpr size_t descriptor_length = 16;
constexpr size_t descriptors_max = (parameter_data_max - header_length) / descriptor_length;
constexpr uint8_t mapped = 0;
constexpr uint8_t deallocated = 1;

static_assert(lba_status_bytes_max / 512 <= UINT32_MAX);

uint64_t first_of(const Cdb& cdb) { return load_be64(&cdb[2]); }

/// The address beyond the last block is refused too: a status begins with that of one block at least.
Judgement judge(LogicalUnit& unit, const Cdb& cdb) {
  if (std::optional<Outcome> refusal = check_range(unit, {first_of(cdb), 1})) return *refusal;
  return Needs{.data_in = std::min<size_t>(load_be32(&cdb[10]), parameter_data_max)};
}

/// As many as there is room for, and one at least, which may be cut.
size_t descriptors_for(size_t room) {
  const size_t fit = room > header_length ? (room - header_length) / descriptor_length : 0;
  return std::clamp<size_t>(fit, 1, descriptors_max);
}

/// What takes no space reads as zeros and is deallocated; nothing is ever anchored.
uint8_t status_of(const Extent& extent) { return extent.hole && extent.zero ? deallocated : mapped; }

/// Descriptors of extents, neighbours of one status as one.
class DescriptorList {
 public:
  DescriptorList(std::span<std::byte> into, uint64_t first) : into_(into), next_(first) { write_length(); }

  void add(uint64_t blocks, uint8_t status) {
    if (count_ > 0 && last_status_ == status) {
      last_blocks_ += static_cast<uint32_t>(blocks);
    } else {
      last_first_ = next_;
      last_blocks_ = static_cast<uint32_t>(blocks);
      last_status_ = status;
      ++count_;
    }
    next_ += blocks;
    write_last();
    write_length();
  }

  size_t length() const { return std::min(into_.size(), header_length + count_ * descriptor_length); }

 private:
  void write_last() {
    std::array<std::byte, descriptor_length> bytes{};
    store_be64(&bytes[0], last_first_);
    store_be32(&bytes[8], last_blocks_);
    bytes[12] = std::byte{last_status_};
    put(header_length + (count_ - 1) * descriptor_length, bytes);
  }
  void write_length() {
    std::array<std::byte, header_length> bytes{};
    store_be32(&bytes[0], static_cast<uint32_t>(header_length - 4 + count_ * descriptor_length));
    put(0, bytes);
  }
  void put(size_t at, std::span<const std::byte> bytes) {
    if (at >= into_.size()) return;
    std::memcpy(into_.data() + at, bytes.data(), std::min(bytes.size(), into_.size() - at));
  }

  std::span<std::byte> into_;
  uint64_t next_;
  size_t count_ = 0;
  uint64_t last_first_ = 0;
  uint32_t last_blocks_ = 0;
  uint8_t last_status_ = 0;
};

Task<Outcome> run(LogicalUnit& unit, Command command) {
  const uint64_t first = first_of(command.cdb);
  const uint32_t block = unit.block_size();
  const uint64_t looked_at = std::min((unit.block_count() - first) * block, lba_status_bytes_max);
  std::vector<Extent> extents;
  const Status status = co_await unit.device().block_status(first * block, looked_at, {},
                                                            descriptors_for(command.data_in.size()), extents);
  if (!status.ok()) co_return outcome_of(status, Access::reading);
  DescriptorList list(command.data_in, first);
  uint64_t left = looked_at;
  for (const Extent& extent : extents) {
    const uint64_t length = std::min(extent.length, left);
    if (length > 0) list.add(length / block, status_of(extent));
    left -= length;
  }
  co_return good(list.length());
}

}  // namespace

const CommandRow get_lba_status_16{
    .opcode = 0x9e,
    .service_action = 0x12,
    .usage = {0x9e, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    .reservation = ReservationRule::reads,
    .judge = judge,
    .run = run,
};

}  // namespace cairn::scsi
