// What dm-crypt does in the kernel: every sector of a device below, from an offset on, is ciphertext.
#pragma once

#include <memory>

#include "aio/reactor.h"
#include "block/block_device.h"
#include "block/snapshot_set.h"
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
class CryptDevice final : public BlockDevice {
 public:
  CryptDevice(Reactor& reactor, CryptBuffers& buffers, std::shared_ptr<Crypt> crypt, BlockDevice& below)
      : reactor_(reactor), buffers_(buffers), crypt_(std::move(crypt)), below_(below) {}
  CryptDevice(Reactor& reactor, CryptBuffers& buffers, std::shared_ptr<Crypt> crypt, std::unique_ptr<BlockDevice> below)
      : reactor_(reactor), buffers_(buffers), crypt_(std::move(crypt)), owned_(std::move(below)), below_(*owned_) {}

  Geometry geometry() const override;
  Task<Status> read(uint64_t offset, std::span<std::byte> into) override;
  Task<Status> write(uint64_t offset, std::span<const std::byte> from, Durability durability) override;
  Task<Status> flush() override { return below_.flush(); }
  Task<Status> trim(uint64_t offset, uint64_t length, Durability durability) override;
  Task<Status> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode, Durability durability) override;
  Task<Status> block_status(uint64_t offset, uint64_t length, StatusQuery query, size_t extents_max,
                            std::vector<Extent>& extents) override;

 private:
  Sectors sectors_at(uint64_t offset, size_t length) const;
  uint64_t place(uint64_t offset) const { return crypt_->layout.data_offset + offset; }

  Reactor& reactor_;
  CryptBuffers& buffers_;
  std::shared_ptr<Crypt> crypt_;
  std::unique_ptr<BlockDevice> owned_;
  BlockDevice& below_;
};

/// Snapshots of an encrypted device are encrypted alike.
class CryptSnapshots final : public SnapshotSet {
 public:
  CryptSnapshots(Reactor& reactor, CryptBuffers& buffers, std::shared_ptr<Crypt> crypt, SnapshotSet& below)
      : reactor_(reactor), buffers_(buffers), crypt_(std::move(crypt)), below_(below) {}

  std::vector<SnapshotName> snapshots() const override { return below_.snapshots(); }
  std::vector<SnapshotName> ancestors(const std::string& of) const override { return below_.ancestors(of); }
  Task<Result<std::unique_ptr<BlockDevice>>> open_snapshot(std::string name) override;

 private:
  Reactor& reactor_;
  CryptBuffers& buffers_;
  std::shared_ptr<Crypt> crypt_;
  SnapshotSet& below_;
};

}  // namespace cairn::dmcrypt
