// What dm-crypt does in the kernel: every sector of a device below, from an offset on, is ciphertext.
#pragma once

#include <memory>

#include "aio/range_lock.h"
#include "aio/reactor.h"
#include "aio/wait.h"
#include "block/block_device.h"
#include "dmcrypt/sector_cipher.h"

namespace cairn::dmcrypt {

/// Where a device's ciphertext is, and how its sectors are numbered (LUKS2 On-Disk Format 1.1, section 3.2, segments).
struct CryptLayout {
  uint64_t data_offset = 0;       // bytes, a multiple of the sector size
  uint64_t length = 0;            // bytes; 0: to the end of the device, also when that grows
  uint32_t sector_size = 4096;    // 512, 1024, 2048 or 4096: one tweak each
  uint64_t iv_offset = 0;         // added to each number
  bool iv_large_sectors = false;  // numbers count sectors of sector_size; else, as dm-crypt's default, of 512 bytes
  bool allow_discards = true;
};

/// The cipher of one device and its snapshots.
struct Crypt {
  CryptLayout layout;
  std::unique_ptr<SectorCipher> cipher;
};

/// With the fastest cipher that computes what OpenSSL computes. The key may be wiped afterwards.
Result<std::shared_ptr<Crypt>> make_crypt(const CryptLayout& layout, VolumeKey key);

/// What a device was encrypted with until a snapshot: what has not been written since has this key.
struct OlderKey {
  std::shared_ptr<Crypt> crypt;
  std::unique_ptr<BlockDevice> snapshot;  // of the device below
  uint32_t reference = 0;                 // of the snapshot, for StatusQuery::since
};

/// Ciphertext on its way down, for all encrypted devices of a reactor. A pool of its own: a request holds its
/// client's buffer while it waits for one, and so those who wait here never wait for each other.
class CryptBuffers {
 public:
  explicit CryptBuffers(Reactor& reactor) : pool_(reactor.ready(), size) {}
  /// A write is passed down in pieces of at most so many bytes.
  static constexpr size_t piece_max = 1 * mebibyte;
  BufferPool::Acquire acquire(size_t length) { return pool_.acquire(length); }

 private:
  static constexpr size_t size = 32 * mebibyte;  // of addresses; memory is taken as it is used
  BufferPool pool_;
};

/// Decrypts what is read where it has been read to, and encrypts into memory of its own what is written.
///
/// What the device below has no data for is not zeros here but what zeros decrypt to, as with dm-crypt: an image of the
/// device reads the same through either. So write_zeroes() writes ciphertext, and a trimmed range reads as anything.
///
/// While the key is being changed, two keys are in use, block by block of the store: what has not been written since a
/// snapshot is in that snapshot, under the older key. Nothing written once becomes older again, so that it is enough
/// to ask the device below before each read, and no crash can leave a block of which nobody knows the key.
class CryptDevice final : public BlockDevice {
 public:
  CryptDevice(Reactor& reactor, CryptBuffers& buffers, std::shared_ptr<Crypt> crypt, BlockDevice& below)
      : CryptDevice(reactor, buffers, std::move(crypt), nullptr, &below) {}
  CryptDevice(Reactor& reactor, CryptBuffers& buffers, std::shared_ptr<Crypt> crypt, std::unique_ptr<BlockDevice> below)
      : CryptDevice(reactor, buffers, std::move(crypt), std::move(below), nullptr) {}

  Geometry geometry() const override;
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override { return below_.flush(); }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

  /// Until release(), no read or write begins; when it is done, none is under way.
  Task<> hold();
  void release();
  /// While it is held. `older`: what was in use before, or null when nothing has it any more.
  void change_key(std::shared_ptr<Crypt> crypt, std::unique_ptr<OlderKey> older);
  /// Nobody knows which key what is below has: every read and write fails with EIO from now on.
  void give_up() { given_up_ = true; }
  bool given_up() const { return given_up_; }
  bool has_older_key() const { return older_ != nullptr; }
  /// Encrypts the next piece at or behind `offset` that has the older key with the present one. Resolves with where
  /// that ended: the device's size when there is no more. Buffered: a flush makes it durable.
  Task<Result<uint64_t>> renew_next(uint64_t offset);
  const std::shared_ptr<Crypt>& crypt() const { return crypt_; }

 private:
  CryptDevice(Reactor& reactor, CryptBuffers& buffers, std::shared_ptr<Crypt> crypt, std::unique_ptr<BlockDevice> owned,
              BlockDevice* below)
      : reactor_(reactor),
        buffers_(buffers),
        crypt_(std::move(crypt)),
        owned_(std::move(owned)),
        below_(owned_ ? *owned_ : *below),
        in_flight_(reactor.ready()),
        released_(reactor.ready()),
        lock_(reactor.ready()) {}

  struct Range {
    uint64_t offset;
    uint64_t length;
    uint64_t end() const { return offset + length; }
  };

  Sectors sectors_at(uint64_t offset, size_t length) const;
  uint64_t place(uint64_t offset) const { return crypt_->layout.data_offset + offset; }
  Task<> decrypt(SectorCipher& cipher, uint64_t offset, std::span<std::byte> bytes);
  Task<Status> read_present(uint64_t offset, std::span<std::byte> into);
  Task<Status> read_older(uint64_t offset, std::span<std::byte> into);
  Task<Status> read_either(uint64_t offset, std::span<std::byte> into);
  Task<Status> write_changing(uint64_t offset, std::span<const std::byte> piece, Durability durability);
  Task<Result<bool>> is_older(uint64_t offset, uint64_t& length);
  Task<Result<Range>> next_older(uint64_t offset);
  Task<Status> renew(Range range, Durability durability);
  Task<Status> renew_data(Range range, Durability durability);
  RangeLock::Hold lock(Range range, RangeLock::Mode mode);

  Reactor& reactor_;
  CryptBuffers& buffers_;
  std::shared_ptr<Crypt> crypt_;
  std::unique_ptr<BlockDevice> owned_;
  BlockDevice& below_;
  std::unique_ptr<OlderKey> older_;
  InFlight in_flight_;  // reads and pieces of writes
  WaitQueue released_;
  RangeLock lock_;  // of store blocks, while there is an older key
  bool held_ = false;
  bool given_up_ = false;
};

}  // namespace cairn::dmcrypt
