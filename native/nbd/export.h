#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aio/reactor.h"
#include "aio/wait.h"
#include "base/intrusive_list.h"
#include "block/block_device.h"
#include "nbd/server.h"

namespace cairn::nbd {

class Session;

/// One export. What it says of itself is constant and read from every thread; its users are its reactor's business.
class Export {
 public:
  explicit Export(ExportOptions options);
  ~Export();

  const std::string& name() const { return options_.name; }
  const std::string& description() const { return options_.description; }
  const Geometry& geometry() const { return geometry_; }
  bool read_only() const { return geometry_.read_only; }
  /// Null when another process has the device.
  Reactor* reactor() const;
  BlockDevice* device() const;
  const std::string& handover_path() const;
  /// NBD's transmission flags of a connection.
  uint16_t transmission_flags(bool structured_replies) const;
  uint32_t maximum_block_size() const;
  size_t connections() const { return connections_; }

  // On the export's reactor only.
  InFlight& users() { return *users_; }
  IntrusiveList<Session>& sessions() { return sessions_; }
  bool removed() const { return removed_; }
  void set_removed() { removed_ = true; }

 private:
  friend class ExportUse;
  ExportOptions options_;
  Geometry geometry_;
  std::unique_ptr<InFlight> users_;  // none for a remote target
  IntrusiveList<Session> sessions_;
  bool removed_ = false;
  std::atomic<size_t> connections_ = 0;
};

/// A connection's hold on an export of its reactor: while one exists the device is in use.
class ExportUse {
 public:
  explicit ExportUse(std::shared_ptr<Export> held);
  ExportUse(ExportUse&&) = default;
  ExportUse& operator=(ExportUse&&) = delete;
  ~ExportUse();

  Export& operator*() const { return *held_; }
  Export* operator->() const { return held_.get(); }

 private:
  std::shared_ptr<Export> held_;
};

/// Exports by name; safe from every thread. Handshakes ask it, the data path never does.
class ExportTable {
 public:
  /// False when the name is taken.
  bool add(std::shared_ptr<Export> added);
  /// False when it is no longer there.
  bool remove(const Export& removed);
  std::shared_ptr<Export> find(const std::string& name) const;
  /// What the empty name stands for: the only export, where there is exactly one.
  std::shared_ptr<Export> find_default() const;
  /// By name.
  std::vector<std::shared_ptr<Export>> list() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Export>> by_name_;
};

}  // namespace cairn::nbd
