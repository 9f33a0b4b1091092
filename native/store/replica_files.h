// Blocking file operations on a replica's directory, for threads that may block. Errors name the file.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace cairn::store {

std::string layer_data_path(const std::string& directory, uint32_t layer);
std::string layer_map_path(const std::string& directory, uint32_t layer);
std::string layer_stamps_path(const std::string& directory, uint32_t layer);
std::string superblock_path(const std::string& directory);
std::string ring_path(const std::string& directory);
std::string activity_path(const std::string& directory);
std::string reserve_path(const std::string& directory);
/// Space kept for the moment when a full disk must take the deletion that makes room: for both files of metadata, and
/// for what a merge copies at once. Made with the first snapshot.
inline constexpr uint64_t reserve_bytes = 512 * kibibyte;
Result<Unit> keep_reserve(const std::string& directory);
/// Gives it back to the file system. False: there was none.
bool release_reserve(const std::string& directory);

/// Every kind of file that a layer may have; the first two it always has.
inline constexpr std::array layer_file_suffixes = {".data", ".map", ".sum", ".stamps", ".runs"};
std::string layer_path(const std::string& directory, uint32_t layer, const std::string& suffix);
/// What can be removed of them, is; the rest is an orphan that the next open removes.
void remove_layer_files(const std::string& directory, uint32_t layer);
/// Whether another replica has one of the layer's files too: such files are never written.
bool layer_shared(const std::string& directory, uint32_t layer);
/// Links the files of layers of `from` into `to`, a directory of the same file system. CLONE_OTHER_FILE_SYSTEM where
/// that cannot be.
Result<Unit> link_layers(const std::string& from, const std::string& to, const std::vector<uint32_t>& layers);

Result<UniqueFd> open_file(const std::string& path, int flags);
/// Of a whole replica, so REPLICA_CORRUPT when there is no such file, or when it is shorter than `size_min`: what was
/// there is lost, and must not be taken for a hole.
Result<UniqueFd> open_part(const std::string& path, int flags, uint64_t size_min);
Result<Unit> check_size(int fd, const std::string& path, uint64_t size_min);
/// Fails if it exists. Mode 0600.
Result<UniqueFd> create_file(const std::string& path);
Result<Unit> read_all(int fd, const std::string& path, std::span<std::byte> into, uint64_t offset);
Result<Unit> write_all(int fd, const std::string& path, std::span<const std::byte> from, uint64_t offset);
Result<Unit> sync_file(int fd, const std::string& path);
Result<Unit> sync_directory(const std::string& path);
Result<std::string> read_text(const std::string& path);
/// Succeeds when there is no such file.
Result<Unit> remove_file(const std::string& path);

template <typename T>
std::span<std::byte> bytes_of(T& object) {
  return std::as_writable_bytes(std::span<T, 1>(&object, 1));
}
template <typename T>
std::span<const std::byte> bytes_of(const T& object) {
  return std::as_bytes(std::span<const T, 1>(&object, 1));
}

}  // namespace cairn::store
