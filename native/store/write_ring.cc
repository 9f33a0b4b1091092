#include "store/write_ring.h"

#include "base/crc32c.h"

namespace cairn::store {

/// An append that waits for its batch.
struct WriteRing::Ticket : Waiter {
  explicit Ticket(WriteRing& ring) : owner(ring) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    handle = waiting;
    owner.filling_tickets_.push_back(this);
  }
  Status await_resume() const noexcept { return status; }

  WriteRing& owner;
  Status status;
};

WriteRing::WriteRing(Reactor& reactor, File file, uint64_t session)
    : reactor_(reactor), file_(std::move(file)), session_(session), idle_(reactor.ready()) {}

Task<Status> WriteRing::reserve() {
  const int result = co_await reactor_.fallocate(file_, 0, 0, ring_bytes);
  // A file system that cannot allocate ahead says so; then a record finds out.
  if (result < 0 && result != -EOPNOTSUPP) co_return Status::from_result(result);
  reserved_ = true;
  co_return Status();
}

Task<Status> WriteRing::append(uint32_t layer, BlockState state, uint64_t first_block, uint64_t block_count,
                               bool uncovers) {
  CAIRN_ASSERT(!full());
  RingRecord record;
  record.kind = RingRecordKind::state;
  record.state = state;
  record.layer = layer;
  record.uncovers = uncovers ? 1 : 0;
  record.first_block = first_block;
  record.block_count = block_count;
  last_state_ = next_;
  const uint64_t sequence = next_;
  add(record);
  const Status status = co_await Ticket(*this);
  CAIRN_ASSERT(sequence > settled_);  // tickets are served in order
  settled_ = sequence;
  co_return status;
}

void WriteRing::add(RingRecord record) {
  record.session = session_;
  record.sequence = next_++;
  seal(record);
  filling_.push_back(record);
  if (!publishing_) reactor_.defer(this);
}

void WriteRing::seal(RingRecord& record) const {
  record.checksum = crc32c(reinterpret_cast<const std::byte*>(&record) + sizeof record.checksum,
                           sizeof record - sizeof record.checksum);
}

void WriteRing::put_failed_first() {
  // Those that the maps hold by now need not be there.
  std::erase_if(failed_, [this](const RingRecord& record) { return record.sequence <= synced_; });
  writing_.insert(writing_.begin(), failed_.begin(), failed_.end());
  failed_.clear();
}

void WriteRing::keep_numbers_of_failed() {
  failed_ = writing_;
  for (RingRecord& record : failed_) {
    if (record.kind == RingRecordKind::state) record.block_count = 0;
    seal(record);
  }
}

void WriteRing::run_deferred() {
  if (!publishing_ && !filling_.empty()) publish();
}

Detached WriteRing::publish() {
  publishing_ = true;
  while (!filling_.empty()) {
    writing_.clear();
    writing_.swap(filling_);
    if (!failed_.empty()) put_failed_first();
    IntrusiveList<Ticket> tickets;
    while (Ticket* ticket = filling_tickets_.pop_front()) tickets.push_back(ticket);
    const Status status = co_await write_batch();
    if (!status.ok()) keep_numbers_of_failed();
    while (Ticket* ticket = tickets.pop_front()) {
      ticket->status = status;
      reactor_.ready().push(ticket);
    }
  }
  publishing_ = false;
  idle_.wake_all();
}

Task<Status> WriteRing::write_batch() {
  const std::span<const RingRecord> records(writing_);
  const uint64_t slot = records.front().sequence % ring_slots;
  const size_t before_end = std::min<size_t>(records.size(), ring_slots - slot);
  const Status status =
      co_await reactor_.write(file_, std::as_bytes(records.first(before_end)), slot * sizeof(RingRecord));
  if (!status.ok() || before_end == records.size()) co_return status;
  co_return co_await reactor_.write(file_, std::as_bytes(records.subspan(before_end)), 0);
}

void WriteRing::mark_synced(uint64_t sequence) {
  if (sequence <= synced_) return;
  const bool covers_states = last_state_ > synced_;
  synced_ = sequence;
  if (!covers_states) return;
  RingRecord record;
  record.kind = RingRecordKind::synced;
  record.first_block = sequence;
  add(record);
}

Task<> WriteRing::wait_idle() {
  while (!idle()) co_await idle_.wait();
}

}  // namespace cairn::store
