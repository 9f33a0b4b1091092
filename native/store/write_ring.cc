#include "store/write_ring.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/aligned_memory.h"
#include "base/crc32c.h"

namespace cairn::store {
namespace {

/// Brought into memory at a time: 256 KiB.
constexpr uint64_t segment_records = 4096;
static_assert(ring_slots_min % segment_records == 0);
constexpr uint64_t segment_bytes = segment_records * sizeof(RingRecord);
constexpr uint64_t bytes_min = ring_bytes(ring_slots_min);
constexpr uint64_t bytes_max = ring_bytes(ring_slots_max);

/// The last number whose slot is in the same segment.
constexpr uint64_t segment_end(uint64_t number) {
  return number / segment_records * segment_records + segment_records - 1;
}

/// The process may die between any two stores. The slot's last record was applied: if the new one's checksum could be
/// there before its outcome, it would count as applied before its write has begun. They share a word, and it comes
/// last.
void publish(RingRecord& slot, const RingRecord& record) {
  constexpr size_t word = ring_record_checked;
  static_assert(word == sizeof(uint64_t) && offsetof(RingRecord, outcome) < word);
  auto* to = reinterpret_cast<std::byte*>(&slot);
  const auto* from = reinterpret_cast<const std::byte*>(&record);
  std::memcpy(to + word, from + word, sizeof record - word);
  uint64_t first = 0;
  std::memcpy(&first, from, word);
  std::atomic_ref(*reinterpret_cast<uint64_t*>(to)).store(first, std::memory_order_release);
}

}  // namespace

uint32_t ring_header_checksum(RingHeader header) {
  header.checksum = 0;
  return crc32c(&header, offsetof(RingHeader, maps_through));
}

uint32_t ring_record_checksum(const RingRecord& record) {
  return crc32c(reinterpret_cast<const std::byte*>(&record) + ring_record_checked, sizeof record - ring_record_checked);
}

WriteRing::WriteRing(Reactor& reactor, File file, uint64_t session)
    : reactor_(reactor),
      file_(std::move(file)),
      session_(session),
      preparing_(reactor.ready()),
      filling_(reactor.ready()),
      finished_(reactor.ready()) {}

Task<Status> WriteRing::prepare() {
  const AsyncMutex::Guard guard = co_await preparing_.lock();
  const InFlightScope busy(filling_);
  Status status;
  if (!reserved_) status = co_await reserve();
  if (status.ok() && memory_ == nullptr) status = co_await map();
  if (status.ok() && next_ > usable_through_) status = co_await bring_in(segment_end(next_));
  co_return status;
}

/// All of the smaller size at once: a store into a hole of a full disk would be a signal, not an error.
Task<Status> WriteRing::reserve() {
  const int result = co_await reactor_.fallocate(file_, 0, 0, bytes_min);
  if (result < 0 && result != -EOPNOTSUPP) co_return Status::from_result(result);
  if (result == -EOPNOTSUPP) {
    const AlignedMemory zeros(segment_bytes);
    if (!zeros.valid()) co_return Status::from_errno(ENOMEM);
    std::fill(zeros.span().begin(), zeros.span().end(), std::byte{0});
    for (uint64_t at = 0; at < bytes_min; at += segment_bytes) {
      const std::span<std::byte> piece = zeros.span().first(std::min(segment_bytes, bytes_min - at));
      const Status written = co_await reactor_.write(file_, piece, at);
      if (!written.ok()) co_return written;
    }
  }
  reserved_ = true;
  co_return Status();
}

Task<Status> WriteRing::map() {
  void* memory = ::mmap(nullptr, bytes_max, PROT_READ | PROT_WRITE, MAP_SHARED, file_.fd(), 0);
  if (memory == MAP_FAILED) co_return Status::from_errno(errno);
  memory_ = static_cast<std::byte*>(memory);
  // Where the limit on locked memory forbids it, pages may have to be read again: slower, and no more than that.
  (void)::mlock2(memory, bytes_min, MLOCK_ONFAULT);
  const Status there = Status::from_result(co_await reactor_.advise(memory, ring_header_bytes, MADV_POPULATE_WRITE));
  if (!there.ok()) {
    unmap();
    co_return there;
  }
  if (started_) co_return Status();
  RingHeader fresh;
  fresh.magic = ring_magic;
  fresh.session = session_;
  fresh.checksum = ring_header_checksum(fresh);
  header() = fresh;
  tell(memory_, sizeof fresh);
  started_ = true;
  co_return Status();
}

Task<Status> WriteRing::bring_in(uint64_t through) {
  std::byte* segment =
      memory_ + ring_header_bytes + through / segment_records * segment_records % slots_ * sizeof(RingRecord);
  const int result = co_await reactor_.advise(segment, segment_bytes, MADV_POPULATE_WRITE);
  // EINVAL: a kernel before 5.14 brings them in when they are written to.
  if (result < 0 && result != -EINVAL) co_return Status::from_errno(result == -EFAULT ? EIO : -result);
  usable_through_ = std::max(usable_through_, through);
  co_return Status();
}

Detached WriteRing::bring_in_ahead() {
  const InFlightScope busy(filling_);
  const AsyncMutex::Guard guard = co_await preparing_.lock();
  if (memory_ == nullptr || usable_through_ >= segment_end(next_ + segment_records)) co_return;
  // A failure is met again by prepare(), which has somebody to tell.
  (void)(co_await bring_in(segment_end(usable_through_ + 1))).ok();
}

uint64_t WriteRing::put(const Entry& entry) {
  CAIRN_ASSERT(ready());
  const uint64_t number = next_++;
  RingRecord record;
  record.state = entry.state;
  record.uncovers = entry.uncovers ? 1 : 0;
  record.layer = entry.layer;
  record.session = session_;
  record.number = number;
  record.first_block = entry.first_block;
  record.block_count = entry.block_count;
  record.stamp = entry.stamp;
  record.checksum = ring_record_checksum(record);
  publish(slot(number), record);
  tell(&slot(number), sizeof record);
  if (number % segment_records == segment_records / 2 && usable_through_ == segment_end(number)) bring_in_ahead();
  return number;
}

void WriteRing::finish(uint64_t number, bool applied) {
  CAIRN_ASSERT(number > settled_ && number < next_ && slot(number).outcome == RecordState::pending);
  slot(number).outcome = applied ? RecordState::applied : RecordState::failed;
  tell(&slot(number), sizeof(RingRecord));
  finished_.wake_all();
}

Task<> WriteRing::wait_finish() { co_await finished_.wait(); }

uint64_t WriteRing::settled() {
  while (settled_ + 1 < next_ && slot(settled_ + 1).outcome != RecordState::pending) ++settled_;
  return settled_;
}

const RingRecord& WriteRing::record(uint64_t number) const {
  CAIRN_ASSERT(number > done_through_ && number < next_);
  return slot(number);
}

void WriteRing::mark_maps(uint64_t number) {
  if (number <= maps_through_) return;
  CAIRN_ASSERT(number <= settled_);
  maps_through_ = number;
  header().maps_through = number;
  tell(memory_, sizeof(RingHeader));
}

void WriteRing::mark_done(uint64_t number) {
  if (number <= done_through_) return;
  CAIRN_ASSERT(number <= maps_through_);
  done_through_ = number;
  header().done_through = number;
  tell(memory_, sizeof(RingHeader));
}

void WriteRing::tell(const void* memory, size_t length) const {
  const auto* from = static_cast<const std::byte*>(memory);
  reactor_.stored(file_, {from, length}, static_cast<uint64_t>(from - memory_));
}

bool WriteRing::may_grow() const {
  const auto same_slot = [](uint64_t number) { return number % ring_slots_max < ring_slots_min; };
  const uint64_t last = std::max(next_, usable_through_);
  return !growing_ && slots_ == ring_slots_min && same_slot(done_through_ + 1) && same_slot(last) &&
         last - done_through_ <= ring_slots_min;
}

/// Where there is no room for it, the ring stays as it is until it has been released.
Detached WriteRing::grow() {
  growing_ = true;
  const InFlightScope busy(filling_);
  const AsyncMutex::Guard guard = co_await preparing_.lock();
  if (co_await reactor_.fallocate(file_, 0, bytes_min, bytes_max - bytes_min) < 0) co_return;
  growing_ = false;
  if (memory_ == nullptr || !may_grow()) co_return;
  (void)::mlock2(memory_ + bytes_min, bytes_max - bytes_min, MLOCK_ONFAULT);
  slots_ = ring_slots_max;
}

void WriteRing::release() {
  CAIRN_ASSERT(done_through_ + 1 == next_);
  if (filling_.count() != 0) return;
  unmap();
  growing_ = false;
  if (std::exchange(slots_, ring_slots_min) == ring_slots_max) shrink();
}

Detached WriteRing::shrink() {
  const InFlightScope busy(filling_);
  const AsyncMutex::Guard guard = co_await preparing_.lock();
  if (slots_ == ring_slots_min)
    (void)co_await reactor_.fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, bytes_min,
                                      bytes_max - bytes_min);
}

void WriteRing::unmap() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_max);
  memory_ = nullptr;
  usable_through_ = 0;
}

}  // namespace cairn::store
