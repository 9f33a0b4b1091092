// Everything one data-plane process holds: reactors, open volumes, exports, listeners. Knows nothing of Node; the addon
// wraps it, and tests can drive it from C++.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "aio/offload.h"
#include "base/secure_memory.h"
#include "block/checked_device.h"
#include "dmcrypt/encrypted_volume.h"
#include "dmcrypt/luks.h"
#include "iscsi/server.h"
#include "nbd/server.h"
#include "qos/throttled_volume.h"
#include "store/layered_store.h"

namespace cairn {

inline constexpr size_t reactors_max = 64;
inline constexpr size_t buffer_bytes_min = 1 * mebibyte;
inline constexpr size_t buffer_bytes_max = 64 * gibibyte;
inline constexpr size_t nbd_connections_max = 1'000'000;
inline constexpr size_t iscsi_connections_max = 1'000'000;
/// Opening waits for the disk and for locks that other processes hold; a process that is restarted opens many volumes.
inline constexpr size_t opening_threads = 4;

struct DataPlaneOptions {
  size_t reactors = 1;                  // 1 to reactors_max
  size_t buffer_bytes = 64 * mebibyte;  // of each reactor, buffer_bytes_min to buffer_bytes_max
  nbd::Limits nbd;                      // of connections, 1 to nbd_connections_max
  iscsi::Limits iscsi;                  // of connections, 1 to iscsi_connections_max
};

struct LayerInfo {
  store::LayerStatus status;
  uint64_t allocated_bytes = 0;
  bool shared = false;  // other replicas have its files too
};

struct VolumeInfo {
  std::string name;
  std::string directory;
  std::string volume_id;
  uint64_t size_bytes = 0;
  uint32_t block_size = 0;
  store::CacheMode cache_mode = store::CacheMode::none;
  std::vector<LayerInfo> layers;
  store::StoreCounters counters;
  qos::Limits limits;
  qos::ThrottleCounters throttled;
  size_t clients = 0;
  std::string failure;
  bool recovered = false;
  bool unlocked = false;  // its plaintext can be exported
  bool reencrypting = false;
  double reencryption_progress = 0;
  std::string reencryption_problem;  // why it waits
  bool flattening = false;
  double flatten_progress = 0;
  std::string flatten_problem;  // why it waits
  store::ScrubStatus scrub;
};

struct VolumeToOpen {
  std::string name;
  std::string directory;
  store::CacheMode cache_mode = store::CacheMode::none;
  qos::Limits limits;
};

struct DataPlaneEvent {
  std::string kind;  // as in NativeEvent of src/engine/native.ts
  std::string volume;
  std::string message;
};

struct NewExport {
  std::string name;
  std::string description;
  bool read_only = false;
  bool decrypted = false;  // the plaintext of an encrypted volume
  std::string volume;      // of this process; empty: `remote`
  nbd::RemoteTarget remote;
};

struct NewTarget {
  std::string name;   // an iSCSI name
  std::string alias;  // may be empty
  bool read_only = false;
  bool decrypted = false;  // the plaintext of an encrypted volume
  std::string volume;      // of this process; empty: `remote`
  std::string volume_id;   // its UUID, of which the identifiers of the logical unit are made
  iscsi::RemoteTarget remote;
  iscsi::Access access;
};

/// A block device of the kernel's that is, or becomes, a LUKS2 one with this UUID.
struct PoolDevice {
  std::string path;
  std::string uuid;
};

class DataPlane {
 public:
  /// Runs a function on the control thread, from any thread.
  using Post = std::function<void(std::function<void()>)>;
  template <typename T>
  using Done = std::function<void(Result<T>)>;

  /// All methods are called, and all callbacks and events come, on the control thread. Errors carry a code of
  /// NativeErrorCode in src/engine/native.ts.
  static Result<std::unique_ptr<DataPlane>> start(const DataPlaneOptions& options, Post control,
                                                  std::function<void(const DataPlaneEvent&)> on_event);
  /// Only after close() has completed.
  ~DataPlane();

  void create_replica(store::NewReplica replica, Done<Unit> done);
  void open_volume(const VolumeToOpen& opened, Done<VolumeInfo> done);
  void close_volume(const std::string& name, Done<Unit> done);
  void volume_info(const std::string& name, Done<VolumeInfo> done);
  void set_limits(const std::string& name, const qos::Limits& limits, Done<Unit> done);
  void resize_volume(const std::string& name, uint64_t size_bytes, Done<Unit> done);
  void flatten_volume(const std::string& name, Done<Unit> done);
  void start_scrub(const std::string& name, Done<Unit> done);
  /// Makes an open volume that is not exported a LUKS2 device. What it held cannot be read any more.
  void format_encryption(const std::string& name, const dmcrypt::LuksFormat& format, SecureMemory passphrase,
                         Done<Unit> done);
  /// From then on its plaintext can be exported, until it is closed. Nothing to do for one that is unlocked.
  void unlock_volume(const std::string& name, SecureMemory passphrase, Done<Unit> done);
  /// What the header of an encrypted volume says without a key.
  void header_info(const std::string& name, Done<dmcrypt::LuksInfo> done);
  /// As dmcrypt::format_kernel_device and the like, one after the other. Volumes have no part in it.
  void format_pool_device(const PoolDevice& device, SecureMemory passphrase, Done<Unit> done);
  void open_pool_device(const PoolDevice& device, const std::string& mapping, SecureMemory passphrase, Done<Unit> done);
  void close_pool_device(const std::string& mapping, Done<Unit> done);
  /// Clients that are connected go on. As dmcrypt::luks_add_key and luks_remove_key.
  void add_key(const std::string& name, SecureMemory known, SecureMemory added, Done<Unit> done);
  void remove_key(const std::string& name, SecureMemory removed, SecureMemory kept, Done<Unit> done);
  /// Into a new file, as cryptsetup luksHeaderBackup writes it.
  void backup_header(const std::string& name, const std::string& path, Done<Unit> done);
  /// Of a volume that is neither exported nor unlocked. Refused with INVALID_ARGUMENT unless forced, when the present
  /// header is readable and of another volume or volume key.
  void restore_header(const std::string& name, const std::string& path, bool force, Done<Unit> done);
  /// Encrypts an unlocked volume with a new volume key, in the background (`reencryption-finished`), with clients or
  /// without; resolves when that has begun. Nothing to do when `id` is that of the last one.
  void reencrypt_volume(const std::string& name, const std::string& id, SecureMemory passphrase, Done<Unit> done);
  void clone_snapshot(const std::string& volume, store::CloneTarget target, Done<Unit> done);
  void create_snapshot(const std::string& volume, const std::string& id, const std::string& snapshot, Done<Unit> done);
  void delete_snapshot(const std::string& volume, const std::string& id, Done<Unit> done);
  void revert_snapshot(const std::string& name, const std::string& id, Done<Unit> done);
  Result<Unit> add_export(const NewExport& exported);
  void remove_export(const std::string& name, bool force, Done<Unit> done);
  /// Initiators can log in when it resolves.
  void add_target(NewTarget target, Done<Unit> done);
  void remove_target(const std::string& name, bool force, Done<Unit> done);
  /// For logins that begin later.
  Result<Unit> set_target_access(const std::string& name, iscsi::Access access);
  /// The pool of a target's volume is running out of space, or not any more.
  Result<Unit> set_space_low(const std::string& name, bool low);
  Result<Unit> set_discovery(iscsi::Access access, std::vector<iscsi::Portal> portals);
  Result<TcpAddress> listen_iscsi(const std::string& host, uint16_t port);
  void unlisten_iscsi(const TcpAddress& address, Done<Unit> done);
  Result<Unit> listen_iscsi_handover(const std::string& path);
  /// Reads files, which blocks the control thread: they are small.
  Result<Unit> set_tls(const nbd::TlsSettings& settings);
  Result<TcpAddress> listen_tcp(const std::string& host, uint16_t port);
  void unlisten_tcp(const TcpAddress& address, Done<Unit> done);
  Result<Unit> listen_unix(const std::string& path);
  Result<Unit> listen_handover(const std::string& path);
  void close(Done<Unit> done);

 private:
  struct Volume;
  struct Exported;
  using VolumeOperation = std::function<Task<Result<Unit>>(store::LayeredStore&)>;
  using ThrottleChange = void (qos::Throttle::*)();

  explicit DataPlane(Post control, std::function<void(const DataPlaneEvent&)> on_event);
  /// Throws std::system_error when there is no thread to be had: from here on no others are needed.
  static Result<std::unique_ptr<DataPlane>> start_threads(const DataPlaneOptions& options, Post control,
                                                          std::function<void(const DataPlaneEvent&)> on_event);
  Result<Volume*> find(const std::string& name);
  Result<Unit> serve(Volume& volume, bool decrypted, nbd::ExportOptions& options);
  Result<iscsi::LocalTarget> serve(Volume& volume, const NewTarget& target);
  size_t clients_of(const Volume& volume) const;
  dmcrypt::CryptBuffers& crypt_buffers(Reactor& reactor);
  Task<Result<dmcrypt::Mending>> unlock_plaintext(Volume& volume, dmcrypt::CryptBuffers& buffers,
                                                  std::shared_ptr<SecureMemory> passphrase);
  void report_mending(const std::string& volume, const dmcrypt::Mending& mending);
  static Task<Result<Unit>> take_snapshot(store::LayeredStore& store, std::string id, std::string name);
  Task<Result<Unit>> revert(Volume& volume, store::LayeredStore& store, std::string id);
  Task<Result<Unit>> settle_header_of(Volume& volume);
  Task<Result<Unit>> keep_header_of(Volume& volume);
  void report_key_changed(const std::string& volume);
  void work_on_header(const std::string& name, std::function<Result<Unit>(const dmcrypt::HeaderFile&)> work,
                      Done<Unit> done);
  void go_on_with_key_change(Volume& volume);
  void stop_key_change(Volume& volume);
  static Error reencryption_running();
  static bool key_was_changed(const Volume& volume);
  void finish_unlock(Volume& volume, const Result<dmcrypt::Mending>& unlocked, const Done<Unit>& done);
  void on_key_thread(std::function<Result<Unit>()> work, Done<Unit> done);
  bool exported(const std::string& volume) const;
  void operate(const std::string& name, VolumeOperation operation, Done<Unit> done);
  void install(Volume& volume, store::OpenedReplica replica, const qos::Limits& limits, Done<VolumeInfo> done);
  void change_throttle(const std::string& volume, ThrottleChange change);
  void gather_info(Volume& volume, Done<VolumeInfo> done);
  void finish_operation(Volume& volume);
  void shut_volume(Volume& volume);
  void destroy_volume(Volume& volume, const Result<Unit>& outcome);
  void close_volumes(Done<Unit> done);
  void report(const std::string& volume, const store::StoreEvent& event);
  Reactor& least_used_reactor();
  BlockingThread& opening_thread(const std::string& directory);

  Post control_;
  std::function<void(const DataPlaneEvent&)> on_event_;
  std::vector<std::unique_ptr<ReactorThread>> reactors_;
  BlockingThread store_files_;  // snapshots and merges of open volumes
  BlockingThread sizes_;        // what files take
  BlockingThread keys_;         // what derives keys
  std::array<BlockingThread, opening_threads> opening_;
  std::map<Reactor*, std::unique_ptr<dmcrypt::CryptBuffers>> crypt_buffers_;
  std::unique_ptr<nbd::Server> server_;
  std::unique_ptr<iscsi::Server> iscsi_;
  qos::FairShare shares_;
  std::map<std::string, std::unique_ptr<Volume>> volumes_;
  std::list<Exported> exports_;  // oldest first
  bool closing_ = false;
};

}  // namespace cairn
