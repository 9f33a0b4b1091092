// Random tagged operations from several coroutines at once, with snapshots and merges between them.
#pragma once

#include <random>

#include "test/native/store/support/opened_store.h"

namespace cairn::test {

/// Is told of every step: before it begins, and when it has been acknowledged.
class WorkloadLog {
 public:
  virtual ~WorkloadLog() = default;
  virtual void issued(SectorRange range, uint64_t tag, bool zero) = 0;
  virtual void acknowledged(SectorRange range, uint64_t tag, bool zero, bool durable) = 0;
  /// What it returns comes back when the flush is done.
  virtual uint64_t flush_started() = 0;
  virtual void flush_done(uint64_t ticket) = 0;
  /// False: not now.
  virtual bool snapshot_started(const std::string& id) = 0;
  virtual void snapshot_done(const std::string& id) = 0;
  virtual void removal_started(const std::string& id) = 0;
  virtual void removal_done(const std::string& id) = 0;
  virtual void resize_started(uint64_t size) = 0;
  virtual void resize_done(uint64_t size) = 0;
  /// A step failed that must not.
  virtual void failed(const std::string& what) = 0;
};

struct WorkloadOptions {
  uint64_t seed = 0;
  uint32_t block_size = 512;
  uint32_t workers = 6;
  /// Of each worker; as many as there is time for by default.
  size_t steps = SIZE_MAX;
  uint64_t first_tag = 1;
  size_t snapshots_max = 4;
  bool flatten = false;  // of a clone
};

/// Each worker has blocks of its own, so that the order of the writes to a sector is known; the groups of different
/// workers lie side by side in the same map sectors.
class Workload {
 public:
  Workload(OpenedStore& store, WorkloadLog& log, const WorkloadOptions& options);
  /// Until every worker has done its steps, and the store what it does in the background.
  Task<> run();
  uint64_t next_tag() const { return next_tag_; }

 private:
  Task<> work(uint32_t worker);
  Task<> step(uint32_t worker);
  Task<Status> write(SectorRange range, uint64_t tag, Durability durability);
  Task<> flush();
  Task<> change_layers();
  Task<> take_snapshot();
  Task<> remove_snapshot();
  Task<> grow();
  Task<> flatten();
  SectorRange pick_range(uint32_t worker);
  uint64_t below(uint64_t limit) { return random_() % limit; }
  void check(Status status, const char* what);

  OpenedStore& store_;
  WorkloadLog& log_;
  WorkloadOptions options_;
  std::mt19937_64 random_;
  uint64_t next_tag_;
  InFlight workers_;
};

}  // namespace cairn::test
