/**
 * Deliberate bugs in the store. Each is a change of one place of the sources, in which spaces and line breaks do not count, what it breaks, and
 * the tests of which at least one must fail (a gtest filter). `npm run test:mutations` tries them all.
 */
const crashes = 'StorePowerLoss.*';
const kills = 'StoreKill.*';
const histories = 'StoreConcurrency.*';
const everything = 'Store*';

export const mutations = [
  {
    name: 'flush-without-data-sync',
    reason: 'A flush makes the map durable and leaves the data to luck.',
    file: 'native/store/store_sync.cc',
    find: 'Status::from_result(co_await reactor_.sync_data(layer.data))',
    replace: 'Status()',
    tests: crashes,
  },
  {
    name: 'map-before-data',
    reason: 'A map is durable before the data that it points at.',
    file: 'native/store/store_sync.cc',
    find: 'if (std::exchange(layer.data_written, false)) {',
    replace: 'if ((co_await write_image(images[i])).ok() && std::exchange(layer.data_written, false)) {',
    tests: crashes,
  },
  {
    name: 'flush-shares-a-sync-that-began-before',
    reason: 'A flush returns with a sync that may not have seen the writes before it.',
    file: 'native/store/store_sync.cc',
    find: 'const uint64_t covers = sync_requested_; const Status status = co_await sync_once();',
    replace: 'const Status status = co_await sync_once(); const uint64_t covers = sync_requested_;',
    tests: crashes,
  },
  {
    name: 'map-bit-forgotten',
    reason: 'The map sector of new blocks is not written at the next flush.',
    file: 'native/store/layered_store.cc',
    find: 'dirty_.mark(range.first, range.count());',
    replace: 'if (range.count() > 1) dirty_.mark(range.first, range.count());',
    tests: everything,
  },
  {
    name: 'index-not-updated',
    reason: 'The last block of a write is still read from below.',
    file: 'native/store/layered_store.cc',
    find: 'index_->assign(range.first, range.count(), state',
    replace: 'index_->assign(range.first, range.count() > 4 ? range.count() - 1 : range.count(), state',
    tests: everything,
  },
  {
    name: 'no-lock-in-partial-writes',
    reason: 'Two writes of parts of one block fill it from the same old content, and one is lost.',
    file: 'native/store/layered_store.cc',
    find: `RangeLock::Hold hold(locks_, range.first, range.end, RangeLock::Mode::exclusive); co_await hold;
      const AlignedMemory memory(byte_offset(range.count()));`,
    replace: `RangeLock::Hold hold(locks_, range.first, range.end, RangeLock::Mode::shared); co_await hold;
      const AlignedMemory memory(byte_offset(range.count()));`,
    tests: histories,
  },
  {
    name: 'no-lock-in-merges',
    reason: 'A merge into the head copies an old block over one that is written at the same time.',
    file: 'native/store/store_merge.cc',
    find: 'RangeLock::Hold hold(locks_, piece.first, piece.end, RangeLock::Mode::exclusive);',
    replace: 'RangeLock::Hold hold(locks_, piece.first, piece.end, RangeLock::Mode::shared);',
    tests: histories,
  },
  {
    name: 'trim-of-touched-blocks',
    reason: 'A trim takes the rest of the blocks at its edges with it.',
    file: 'native/store/layered_store.cc',
    find: 'const BlockRange range = blocks_covered(offset, length); if (range.first >= range.end) co_return Status();',
    replace:
      'const BlockRange range = blocks_touched(offset, length); if (range.first >= range.end) co_return Status();',
    tests: 'StoreSpace.*:StoreModel.*',
  },
  {
    name: 'durable-overwrite-is-not',
    reason: 'A write with FUA to a block that is there is only in the page cache or the disk’s cache.',
    file: 'native/store/layered_store.cc',
    find: 'co_await reactor_.write(layer.data, from, offset, durable && overwrite)',
    replace: 'co_await reactor_.write(layer.data, from, offset, false)',
    tests: crashes,
  },
  {
    name: 'snapshot-without-a-drain',
    reason: 'Writes under way at the moment of the snapshot go to the frozen layer and miss its map.',
    file: 'native/store/store_snapshots.cc',
    find: 'gate_closed_ = true; co_await mutations_.wait_idle();',
    replace: 'gate_closed_ = true; co_return;',
    tests: everything,
  },
  {
    name: 'merge-in-the-wrong-order',
    reason: 'The removed layer’s blocks win over those of its child.',
    file: 'native/store/store_merge.cc',
    find: 'if (present != BlockState::absent) continue;',
    replace: 'if (present == BlockState::zero) continue;',
    tests: everything,
  },
  {
    name: 'parent-dropped-before-the-child-is-durable',
    reason: 'What a frozen child got by a merge is not synced before the parent’s files go.',
    file: 'native/store/store_merge.cc',
    find: 'const Status synced = Status::from_result(co_await reactor_.sync_data(merge.to->data));',
    replace: 'const Status synced;',
    tests: crashes,
  },
  {
    name: 'revert-keeps-the-index',
    reason: 'After a revert, blocks are still looked up as before it.',
    file: 'native/store/store_snapshots.cc',
    find: 'index_ = std::move(opened.value().index);',
    replace: 'if (index_ == nullptr) index_ = std::move(opened.value().index);',
    tests: everything,
  },
  {
    name: 'directory-not-synced',
    reason: 'A removal of a snapshot is acknowledged before the rename of volume.json is durable.',
    file: 'native/store/store_snapshots.cc',
    find: 'return published ? sync_directory(directory_) : replaced;',
    replace: 'return replaced;',
    tests: crashes,
  },
  {
    name: 'superblock-written-once',
    reason: 'Only one copy says that the replica is open: a damaged one brings back "closed properly".',
    file: 'native/store/replica.cc',
    find: 'for (size_t copy = 0; copy < superblock_copies && written.ok(); ++copy) written = write_superblock(replica.superblock_file',
    replace:
      'for (size_t copy = 0; copy < 1 && written.ok(); ++copy) written = write_superblock(replica.superblock_file',
    tests: everything,
  },
  {
    name: 'no-ring-record',
    reason: 'A write is acknowledged before the ring says where it is.',
    file: 'native/store/layered_store.cc',
    find: 'const Status status = co_await ring_.append(head().number, state, range.first, range.count());',
    replace: 'const Status status;',
    tests: kills,
  },
  {
    name: 'replay-ignores-the-session',
    reason: 'Records of an earlier opening are replayed over later maps.',
    file: 'native/store/ring_replay.cc',
    find: 'return record.session == session &&',
    replace: 'return',
    tests: everything,
  },
  {
    name: 'ring-counted-as-synced-too-early',
    reason: 'Records that came while a sync ran are taken for covered by it.',
    file: 'native/store/store_sync.cc',
    find: 'ring_.mark_synced(ring_through);',
    replace: 'ring_.mark_synced(ring_.settled());',
    tests: kills,
  },
];
