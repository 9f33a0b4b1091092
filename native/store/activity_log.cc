#include "store/activity_log.h"

#include <fcntl.h>

#include <algorithm>
#include <bit>

#include "store/replica_files.h"
#include "store/sealed.h"

namespace cairn::store {
namespace {

void seal(ActivitySlot& slot) {
  slot.magic = activity_magic;
  ++slot.generation;
  slot.checksum = whole_checksum_of(slot);
}

bool valid(const ActivitySlot& slot) {
  return slot.magic == activity_magic && slot.checksum == whole_checksum_of(slot) &&
         std::has_single_bit(slot.extent_bytes) && slot.extent_bytes >= activity_extent_min;
}

bool bit(const ActivityLog::Bitmap& bitmap, uint32_t index) { return (bitmap[index / 8] >> index % 8 & 1) != 0; }
void set_bit(ActivityLog::Bitmap& bitmap, uint32_t index) {
  bitmap[index / 8] |= static_cast<uint8_t>(1U << index % 8);
}

/// The same hot bytes in extents of another size, a multiple.
void coarsen(ActivityLog::Bitmap& bitmap, uint64_t factor) {
  ActivityLog::Bitmap coarse{};
  for (uint32_t extent = 0; extent < activity_extents_max; ++extent)
    if (bit(bitmap, extent)) set_bit(coarse, static_cast<uint32_t>(extent / factor));
  bitmap = coarse;
}

/// The neighbours cost nothing in the same write, and each heating is a durable one that a client waits for: a stream
/// waits once in so many bytes. What stays untouched cools at the next sweep.
constexpr uint64_t heated_at_once = 32 * mebibyte;

uint64_t slot_offset(const ActivitySlot& slot) { return slot.generation % activity_slots * activity_slot_size; }

}  // namespace

ActivityLog::ActivityLog(Reactor& reactor, File file, const ActivitySlot& slot)
    : reactor_(reactor),
      file_(std::move(file)),
      slot_(slot),
      shift_(std::countr_zero(slot.extent_bytes)),
      durable_(slot.hot),
      progress_(reactor.ready()) {}

ActivityLog::Extents ActivityLog::extents(uint64_t first_block, uint64_t block_count) const {
  const uint64_t first = first_block * store_block_size >> shift_;
  const uint64_t last = ((first_block + block_count) * store_block_size - 1) >> shift_;
  CAIRN_ASSERT(last < activity_extents_max);
  return {static_cast<uint32_t>(first), static_cast<uint32_t>(last)};
}

bool ActivityLog::touch(uint64_t first_block, uint64_t block_count) {
  bool all_hot = true;
  const Extents range = extents(first_block, block_count);
  for (uint32_t extent = range.first; extent <= range.last; ++extent) {
    set_bit(touched_, extent);
    all_hot = all_hot && bit(durable_, extent);
  }
  return all_hot;
}

Task<Status> ActivityLog::heat(uint64_t first_block, uint64_t block_count) {
  const Extents range = extents(first_block, block_count);
  const auto group = static_cast<uint32_t>(std::max<uint64_t>(1, heated_at_once >> shift_));
  const uint32_t end = std::min<uint32_t>((range.last / group + 1) * group, activity_extents_max);
  for (uint32_t extent = range.first / group * group; extent < end; ++extent) set_bit(slot_.hot, extent);
  // A write that is under way may have begun before; whoever waits with us may have written ours.
  while (writing_) co_await progress_.wait();
  if (written()) co_return Status();
  co_return co_await write(Purpose::client);
}

/// The slot as it is now, durably.
Task<Status> ActivityLog::write(Purpose purpose) {
  if (!image_.valid()) co_return Status::from_errno(ENOMEM);
  writing_ = true;
  seal(slot_);
  std::memcpy(image_.span().data(), &slot_, sizeof slot_);
  const Bitmap hot = slot_.hot;
  const uint64_t layout = layout_;
  const Status status = co_await reactor_.write(file_, image_.span(), slot_offset(slot_), true, purpose);
  writing_ = false;
  if (status.ok() && layout == layout_) durable_ = hot;
  progress_.wake_all();
  co_return status;
}

bool ActivityLog::any_hot() const {
  return std::any_of(slot_.hot.begin(), slot_.hot.end(), [](uint8_t byte) { return byte != 0; });
}

void ActivityLog::end_epoch() { previous_ = std::exchange(touched_, Bitmap{}); }

Task<Status> ActivityLog::cool() {
  while (writing_) co_await progress_.wait();
  bool cooled = false;
  for (size_t i = 0; i < slot_.hot.size(); ++i) {
    const auto keep = static_cast<uint8_t>(previous_[i] | touched_[i]);
    cooled = cooled || (slot_.hot[i] & ~keep) != 0;
    slot_.hot[i] &= keep;
    durable_[i] &= keep;  // at once: a write into what cools must heat it again
  }
  if (!cooled) co_return Status();
  co_return co_await write(Purpose::upkeep);
}

void ActivityLog::grow(uint64_t volume_bytes) {
  const uint64_t extent = activity_extent_bytes(volume_bytes);
  if (extent <= slot_.extent_bytes) return;
  const uint64_t factor = extent / slot_.extent_bytes;
  for (Bitmap* bitmap : {&slot_.hot, &touched_, &previous_}) coarsen(*bitmap, factor);
  durable_ = {};  // the file still has the smaller ones
  slot_.extent_bytes = extent;
  shift_ = std::countr_zero(extent);
  ++layout_;
}

// ---- Blocking -------------------------------------------------------------------------------------------------------

Result<Unit> clear_activity(int fd, const std::string& directory, ActivitySlot& slot) {
  slot.hot = {};
  Result<Unit> written = Unit{};
  for (size_t copy = 0; copy < activity_slots && written.ok(); ++copy) {
    seal(slot);
    written = write_all(fd, activity_path(directory), bytes_of(slot), slot_offset(slot));
  }
  return written.ok() ? sync_file(fd, activity_path(directory)) : written;
}

Result<Unit> create_activity(const std::string& directory, uint64_t volume_bytes) {
  Result<UniqueFd> file = create_file(activity_path(directory));
  if (!file.ok()) return file.error();
  ActivitySlot slot;
  slot.extent_bytes = activity_extent_bytes(volume_bytes);
  return clear_activity(file.value().get(), directory, slot);
}

Result<LoadedActivity> load_activity(const std::string& directory, uint64_t volume_bytes) {
  Result<UniqueFd> file = open_file(activity_path(directory), O_RDWR | O_CREAT);
  if (!file.ok()) return file.error();
  LoadedActivity loaded{std::move(file.value()), {}, true};
  for (size_t copy = 0; copy < activity_slots; ++copy) {
    ActivitySlot slot;
    const bool read =
        read_all(loaded.file.get(), activity_path(directory), bytes_of(slot), copy * activity_slot_size).ok();
    if (!read || !valid(slot)) continue;
    if (loaded.damaged || slot.generation > loaded.slot.generation) loaded.slot = slot;
    loaded.damaged = false;
  }
  const uint64_t extent = activity_extent_bytes(volume_bytes);
  if (loaded.damaged) loaded.slot.hot.fill(0xff);
  // The volume has grown, and nothing was written behind its old end.
  if (!loaded.damaged && loaded.slot.extent_bytes < extent) coarsen(loaded.slot.hot, extent / loaded.slot.extent_bytes);
  loaded.slot.extent_bytes = std::max(loaded.slot.extent_bytes, extent);
  return loaded;
}

}  // namespace cairn::store
