#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "block/block_device.h"
#include "nbd/description.h"
#include "nbd/metadata_contexts.h"
#include "nbd/server.h"

namespace cairn::nbd {

class Session;

/// One export. Its name, place and read-only state are constant and read from every thread; the rest is its reactor's
/// business.
class Export {
 public:
  explicit Export(ExportOptions options);
  ~Export();

  const std::string& name() const { return options_.name; }
  const std::string& description() const { return options_.description; }
  /// Null when another process has the device.
  Reactor* reactor() const;
  const std::string& handover_path() const;
  /// Connections in the transmission phase.
  size_t connections() const { return connections_; }

  // On the export's reactor only, of an export that has one.
  BlockDevice& device() const;
  /// Awaitable to be awaited again while crowded(): no request is taken in before.
  bool crowded() const;
  WaitQueue::Wait room() const;
  /// Of the volume's own device or one of its snapshots'.
  Geometry geometry_of(const BlockDevice& device) const;
  uint32_t payload_max() const;
  /// What the content of a snapshot, or (empty) the device itself, descends from.
  std::vector<SnapshotName> ancestors(const std::string& snapshot) const;
  /// The device of a snapshot, shared by all who have it open; null when there is none of that name.
  Task<std::shared_ptr<BlockDevice>> open_snapshot(std::string snapshot);
  /// As it is now; asks the device, and opens the snapshot for as long as it takes.
  Task<DescriptionAnswer> describe(DescriptionQuestion question);
  ExportDescription describe_device(const BlockDevice& device, const DescriptionQuestion& question) const;
  InFlight& users() { return *users_; }
  IntrusiveList<Session>& sessions() { return sessions_; }
  bool removed() const { return removed_; }
  void set_removed() { removed_ = true; }

 private:
  friend class ExportUse;
  ExportOptions options_;
  std::unique_ptr<InFlight> users_;  // none for a remote target
  IntrusiveList<Session> sessions_;
  std::map<std::string, std::weak_ptr<BlockDevice>> open_snapshots_;
  bool removed_ = false;
  std::atomic<size_t> connections_ = 0;
};

/// A connection's hold on an export of its reactor: while one exists the device is in use. The snapshot that it may be
/// about is open until the last hold on it goes.
class ExportUse {
 public:
  explicit ExportUse(std::shared_ptr<Export> held);
  ExportUse(ExportUse&&) = default;
  ExportUse& operator=(ExportUse&&) = delete;
  ~ExportUse();

  /// Takes a hold for a new connection, if it may have one. `use` is set when the answer is `found`.
  static Task<DescriptionAnswer> enter(std::shared_ptr<Export> chosen, DescriptionQuestion question,
                                       std::optional<ExportUse>& use);

  Export& operator*() const { return *held_; }
  Export* operator->() const { return held_.get(); }
  BlockDevice& device() const { return snapshot_ != nullptr ? *snapshot_ : held_->device(); }
  /// Empty: the export itself.
  const std::string& snapshot() const { return snapshot_name_; }

 private:
  std::shared_ptr<Export> held_;
  std::string snapshot_name_;
  std::shared_ptr<BlockDevice> snapshot_;
};

/// What a client's name for an export means.
struct ExportName {
  std::shared_ptr<Export> exported;  // null: nothing
  std::string snapshot;              // of its volume; empty: the export itself

  std::string canonical() const { return snapshot.empty() ? exported->name() : exported->name() + '@' + snapshot; }
};

/// Exports by name; safe from every thread. Handshakes ask it, the data path never does.
class ExportTable {
 public:
  /// False when the name is taken.
  bool add(std::shared_ptr<Export> added);
  /// False when it is no longer there.
  bool remove(const Export& removed);
  std::shared_ptr<Export> find(const std::string& name) const;
  /// An export of exactly this name; else NAME@SNAPSHOT, where NAME is the longest that fits. The empty name stands for
  /// `default_name`, or, where that is empty, the only export there is.
  ExportName resolve(const std::string& name, const std::string& default_name) const;
  /// By name.
  std::vector<std::shared_ptr<Export>> list() const;

 private:
  std::shared_ptr<Export> find_default() const;

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Export>> by_name_;
};

}  // namespace cairn::nbd
