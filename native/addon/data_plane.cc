#include "addon/data_plane.h"

#include <algorithm>
#include <system_error>

#include "addon/data_plane_volume.h"
#include "store/replica_files.h"
#include "store/uuid.h"

namespace cairn {
namespace {

Error not_open(const std::string& name) {
  return {"VOLUME_NOT_OPEN", "volume " + name + " is not open in this process: attach it first"};
}
Error in_use(const std::string& name) { return {"VOLUME_IN_USE", "volume " + name + " is exported: detach it first"}; }
Error closed() { return {"CLOSED", "the data plane is closing"}; }

Result<Unit> check(const DataPlaneOptions& options) {
  if (options.reactors < 1 || options.reactors > reactors_max)
    return Error{"INVALID_ARGUMENT", "there are 1 to " + std::to_string(reactors_max) + " reactors"};
  if (options.buffer_bytes < buffer_bytes_min || options.buffer_bytes > buffer_bytes_max)
    return Error{"INVALID_ARGUMENT", "a reactor's buffers take 1 MiB to 64 GiB"};
  for (const size_t count : {options.nbd.connections_max, options.nbd.negotiations_max})
    if (count < 1 || count > nbd_connections_max)
      return Error{"INVALID_ARGUMENT", "there are 1 to " + std::to_string(nbd_connections_max) + " connections"};
  return Unit{};
}

const char* event_kind(store::StoreEvent::Kind kind) {
  switch (kind) {
    case store::StoreEvent::Kind::merge_finished:
      return "merge-finished";
    case store::StoreEvent::Kind::failed:
      return "volume-failed";
    case store::StoreEvent::Kind::no_space:
      return "no-space";
    case store::StoreEvent::Kind::flatten_finished:
      return "flatten-finished";
    case store::StoreEvent::Kind::scrub_finished:
      return "scrub-finished";
    case store::StoreEvent::Kind::repaired:
      return "repaired";
    case store::StoreEvent::Kind::damaged:
      return "damaged";
  }
  return "";
}

}  // namespace

DataPlane::DataPlane(Post control, std::function<void(const DataPlaneEvent&)> on_event)
    : control_(std::move(control)), on_event_(std::move(on_event)) {}

DataPlane::~DataPlane() { CAIRN_ASSERT(volumes_.empty()); }

Result<std::unique_ptr<DataPlane>> DataPlane::start(const DataPlaneOptions& options, Post control,
                                                    std::function<void(const DataPlaneEvent&)> on_event) {
  if (Result<Unit> checked = check(options); !checked.ok()) return checked.error();
  try {
    return start_threads(options, std::move(control), std::move(on_event));
  } catch (const std::system_error& error) {
    return Error{errno_code(error.code().value()),
                 "the data plane could not start its threads (" + error.code().message() +
                     "): raise the limit of processes and threads (TasksMax of the service, ulimit -u)"};
  }
}

Result<std::unique_ptr<DataPlane>> DataPlane::start_threads(const DataPlaneOptions& options, Post control,
                                                            std::function<void(const DataPlaneEvent&)> on_event) {
  std::unique_ptr<DataPlane> plane(new DataPlane(std::move(control), std::move(on_event)));
  std::vector<Reactor*> reactors;
  for (size_t i = 0; i < options.reactors; ++i) {
    Result<std::unique_ptr<ReactorThread>> thread = ReactorThread::start({.buffer_bytes = options.buffer_bytes});
    if (!thread.ok()) return thread.error();
    reactors.push_back(&thread.value()->reactor());
    plane->reactors_.push_back(std::move(thread.value()));
  }
  plane->server_ = std::make_unique<nbd::Server>(reactors, options.nbd);
  plane->iscsi_ = std::make_unique<iscsi::Server>(reactors, options.iscsi);
  return plane;
}

Reactor& DataPlane::least_used_reactor() {
  const auto volumes_on = [this](Reactor& reactor) {
    return std::count_if(volumes_.begin(), volumes_.end(),
                         [&](const auto& entry) { return entry.second->reactor == &reactor; });
  };
  const auto least = std::min_element(reactors_.begin(), reactors_.end(), [&](const auto& a, const auto& b) {
    return volumes_on(a->reactor()) < volumes_on(b->reactor());
  });
  return (*least)->reactor();
}

/// Always the same one for a replica: what is asked of it is done in that order.
BlockingThread& DataPlane::opening_thread(const std::string& directory) {
  return opening_[std::hash<std::string>()(directory) % opening_.size()];
}

// ---- Volumes --------------------------------------------------------------------------------------------------------

void DataPlane::create_replica(store::NewReplica replica, Done<Unit> done) {
  if (closing_) return done(closed());
  opening_thread(replica.directory).run([this, replica = std::move(replica), done = std::move(done)] {
    Result<Unit> created = store::create_replica(replica);
    control_([done, created = std::move(created)] { done(created); });
  });
}

void DataPlane::open_volume(const VolumeToOpen& wanted, Done<VolumeInfo> done) {
  const std::string& name = wanted.name;
  if (closing_) return done(closed());
  if (name.empty()) return done(Error{"INVALID_ARGUMENT", "a volume has a name"});
  if (volumes_.contains(name)) return done(Error{"VOLUME_EXISTS", "volume " + name + " is open already"});
  auto owned = std::make_unique<Volume>();
  Volume& volume = *owned;
  volume.name = name;
  volume.directory = wanted.directory;
  volume.reactor = &least_used_reactor();
  volume.operations = 1;
  volumes_[name] = std::move(owned);
  opening_thread(wanted.directory).run([this, &volume, wanted, done = std::move(done)] {
    auto opened = std::make_shared<Result<store::OpenedReplica>>(
        store::open_replica(wanted.directory, {.cache_mode = wanted.cache_mode, .boot_id = store::current_boot_id()}));
    control_([this, &volume, limits = wanted.limits, opened, done] {
      if (opened->ok()) return install(volume, std::move(opened->value()), limits, done);
      const Error error = opened->error();
      Done<Unit> closing = std::move(volume.closing);
      volumes_.erase(volume.name);
      done(error);
      if (closing) closing(Unit{});
    });
  });
}

/// The store is made on its reactor.
void DataPlane::install(Volume& volume, store::OpenedReplica replica, const qos::Limits& limits,
                        Done<VolumeInfo> done) {
  auto handed = std::make_shared<store::OpenedReplica>(std::move(replica));
  volume.reactor->post([this, &volume, handed, limits, done = std::move(done)] {
    volume.store = std::make_unique<store::LayeredStore>(*volume.reactor, store_files_, std::move(*handed),
                                                         [this, name = volume.name](const store::StoreEvent& event) {
                                                           control_([this, name, event] { report(name, event); });
                                                         });
    volume.throttled = std::make_unique<qos::ThrottledVolume>(*volume.reactor, shares_, *volume.store, *volume.store);
    volume.throttled->throttle().set_limits(limits);
    volume.device = std::make_unique<CheckedDevice>(volume.throttled->device());
    volume.header = std::make_unique<AsyncMutex>(volume.reactor->ready());
    volume.keeper = std::make_unique<StoreSnapshots>(*volume.store);
    volume.store->resume_maintenance();
    control_([this, &volume, done] {
      volume.open = true;
      gather_info(volume, done);
      finish_operation(volume);
    });
  });
}

Result<DataPlane::Volume*> DataPlane::find(const std::string& name) {
  if (closing_) return closed();
  const auto found = volumes_.find(name);
  if (found == volumes_.end() || !found->second->open || found->second->closing) return not_open(name);
  return found->second.get();
}

bool DataPlane::exported(const std::string& volume) const {
  return std::any_of(exports_.begin(), exports_.end(), [&](const Exported& each) { return each.volume == volume; });
}

/// Runs `operation` on the volume's reactor; a close that comes meanwhile waits for it.
void DataPlane::operate(const std::string& name, VolumeOperation operation, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  ++volume.operations;
  volume.reactor->post([this, &volume, operation = std::move(operation), done = std::move(done)] {
    run_detached(operation(*volume.store), [this, &volume, done](Result<Unit> result) {
      control_([this, &volume, done, result = std::move(result)] {
        done(result);
        finish_operation(volume);
      });
    });
  });
}

void DataPlane::finish_operation(Volume& volume) {
  CAIRN_ASSERT(volume.operations > 0);
  if (--volume.operations == 0 && volume.closing) shut_volume(volume);
}

void DataPlane::close_volume(const std::string& name, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  if (exported(name)) return done(in_use(name));
  found.value()->closing = std::move(done);
  stop_key_change(*found.value());
  if (found.value()->operations == 0) shut_volume(*found.value());
}

void DataPlane::shut_volume(Volume& volume) {
  ++volume.operations;
  volume.reactor->post([this, &volume, anyway = closing_] {
    run_detached(volume.store->close(anyway), [this, &volume, anyway](Result<Unit> result) {
      control_([this, &volume, anyway, result = std::move(result)] {
        --volume.operations;
        if (result.ok() || anyway) return destroy_volume(volume, result);
        if (closing_) return shut_volume(volume);  // the process ends meanwhile
        const Done<Unit> done = std::exchange(volume.closing, nullptr);
        go_on_with_key_change(volume);
        done(result);
      });
    });
  });
}

void DataPlane::destroy_volume(Volume& volume, const Result<Unit>& outcome) {
  volume.reactor->post([this, &volume, outcome] {
    volume.decrypted.reset();
    volume.header.reset();
    volume.device.reset();
    volume.throttled.reset();
    volume.store.reset();
    control_([this, &volume, outcome] {
      const Done<Unit> done = std::move(volume.closing);
      volumes_.erase(volume.name);
      done(outcome);
    });
  });
}

void DataPlane::volume_info(const std::string& name, Done<VolumeInfo> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  gather_info(*found.value(), std::move(done));
}

/// What the store knows, on its reactor; what its files take, on a thread that may block.
size_t DataPlane::clients_of(const Volume& volume) const {
  size_t clients = 0;
  for (const Exported& each : exports_) {
    if (each.volume != volume.name) continue;
    clients += each.frontend == Exported::Frontend::nbd ? server_->connections(each.name) : iscsi_->sessions(each.name);
  }
  return clients;
}

void DataPlane::gather_info(Volume& volume, Done<VolumeInfo> done) {
  ++volume.operations;
  const size_t clients = clients_of(volume);
  volume.reactor->post([this, &volume, clients, done = std::move(done)] {
    const store::LayeredStore& store = *volume.store;
    const store::VolumeMetadata& metadata = store.metadata();
    auto info = std::make_shared<VolumeInfo>(VolumeInfo{.name = volume.name,
                                                        .directory = store.directory(),
                                                        .volume_id = metadata.volume_id,
                                                        .size_bytes = metadata.size_bytes,
                                                        .block_size = metadata.block_size,
                                                        .cache_mode = store.cache_mode(),
                                                        .layers = {},
                                                        .counters = store.counters(),
                                                        .limits = volume.throttled->throttle().limits(),
                                                        .throttled = volume.throttled->throttle().counters(),
                                                        .clients = clients,
                                                        .failure = store.failure(),
                                                        .recovered = store.recovered(),
                                                        .unlocked = volume.decrypted != nullptr,
                                                        .flattening = store.flattening(),
                                                        .flatten_progress = store.flatten_progress(),
                                                        .flatten_problem = store.flatten_problem(),
                                                        .scrub = store.scrub_status()});
    if (volume.decrypted != nullptr) {
      info->reencrypting = volume.decrypted->changer().running();
      info->reencryption_progress = volume.decrypted->changer().progress();
      info->reencryption_problem = volume.decrypted->changer().problem();
    }
    for (store::LayerStatus& status : store.layers()) info->layers.push_back({.status = std::move(status)});
    sizes_.run([this, &volume, info, done] {
      for (LayerInfo& layer : info->layers) {
        layer.allocated_bytes = store::allocated_bytes(info->directory, layer.status.number);
        layer.shared = store::layer_shared(info->directory, layer.status.number);
      }
      control_([this, &volume, info, done] {
        done(std::move(*info));
        finish_operation(volume);
      });
    });
  });
}

void DataPlane::set_limits(const std::string& name, const qos::Limits& limits, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  Volume& volume = *found.value();
  ++volume.operations;
  volume.reactor->post([this, &volume, limits, done = std::move(done)] {
    volume.throttled->throttle().set_limits(limits);
    control_([this, &volume, done] {
      done(Unit{});
      finish_operation(volume);
    });
  });
}

/// One that is being closed has no clients.
void DataPlane::change_throttle(const std::string& name, ThrottleChange change) {
  const auto found = volumes_.find(name);
  if (found == volumes_.end() || !found->second->open || found->second->closing) return;
  Volume& volume = *found->second;
  ++volume.operations;
  volume.reactor->post([this, &volume, change] {
    (volume.throttled->throttle().*change)();
    control_([this, &volume] { finish_operation(volume); });
  });
}

void DataPlane::resize_volume(const std::string& name, uint64_t size_bytes, Done<Unit> done) {
  operate(
      name, [size_bytes](store::LayeredStore& store) { return store.resize(size_bytes); }, std::move(done));
}

void DataPlane::flatten_volume(const std::string& name, Done<Unit> done) {
  operate(
      name, [](store::LayeredStore& store) { return store.flatten(); }, std::move(done));
}

void DataPlane::start_scrub(const std::string& name, Done<Unit> done) {
  operate(
      name, [](store::LayeredStore& store) -> Task<Result<Unit>> { co_return store.start_scrub(); }, std::move(done));
}

void DataPlane::clone_snapshot(const std::string& volume, store::CloneTarget target, Done<Unit> done) {
  operate(
      volume, [target = std::move(target)](store::LayeredStore& store) { return store.clone(target); },
      std::move(done));
}

void DataPlane::create_snapshot(const std::string& volume, const std::string& id, const std::string& snapshot,
                                Done<Unit> done) {
  operate(
      volume, [id, snapshot](store::LayeredStore& store) { return take_snapshot(store, id, snapshot); },
      std::move(done));
}

void DataPlane::delete_snapshot(const std::string& volume, const std::string& id, Done<Unit> done) {
  operate(
      volume, [id](store::LayeredStore& store) { return store.delete_snapshot(id); }, std::move(done));
}

void DataPlane::revert_snapshot(const std::string& name, const std::string& id, Done<Unit> done) {
  Result<Volume*> found = find(name);
  if (!found.ok()) return done(found.error());
  if (exported(name)) return done(in_use(name));
  Volume& volume = *found.value();
  volume.reverting = true;
  operate(
      name, [this, &volume, id](store::LayeredStore& store) { return revert(volume, store, id); },
      [&volume, done = std::move(done)](Result<Unit> result) {
        volume.reverting = false;
        if (result.ok()) volume.unlocked = false;
        done(std::move(result));
      });
}

void DataPlane::report(const std::string& volume, const store::StoreEvent& event) {
  on_event_({event_kind(event.kind), volume, event.message});
}

// ---- Exports and listeners ------------------------------------------------------------------------------------------

Result<Unit> DataPlane::serve(Volume& volume, bool decrypted, nbd::ExportOptions& options) {
  if (decrypted && !volume.unlocked)
    return Error{"VOLUME_KEY_MISSING", "volume " + volume.name + " is encrypted and has not been unlocked"};
  BlockDevice* device = decrypted ? &volume.decrypted->checked : volume.device.get();
  options.target = nbd::LocalTarget{volume.reactor, device, &volume.throttled->throttle().admission()};
  if (decrypted)
    options.snapshots = &volume.decrypted->snapshots;
  else
    options.snapshots = &volume.throttled->snapshots();
  return Unit{};
}

Result<Unit> DataPlane::add_export(const NewExport& exported) {
  if (closing_) return closed();
  nbd::ExportOptions options{exported.name, exported.description, exported.read_only, exported.remote, nullptr};
  if (!exported.volume.empty()) {
    Result<Volume*> volume = find(exported.volume);
    if (!volume.ok()) return volume.error();
    if (volume.value()->reverting)
      return Error{"VOLUME_IN_USE", "volume " + exported.volume + " is being reverted: attach it when that is done"};
    const Result<Unit> served = serve(*volume.value(), exported.decrypted, options);
    if (!served.ok()) return served;
  }
  Result<Unit> added = server_->add_export(std::move(options));
  if (added.ok()) exports_.push_back({Exported::Frontend::nbd, exported.name, exported.volume});
  return added;
}

void DataPlane::remove_export(const std::string& name, bool force, Done<Unit> done) {
  if (closing_) return done(closed());
  // The latest of that name is the one that clients find.
  const auto found = std::find_if(exports_.rbegin(), exports_.rend(), [&](const Exported& e) {
    return e.frontend == Exported::Frontend::nbd && e.name == name;
  });
  const Exported* record = found == exports_.rend() ? nullptr : &*found;
  // Clients that are disconnected are not waited for at the pace of their limits.
  const std::string lifted = force && record != nullptr ? record->volume : std::string();
  change_throttle(lifted, &qos::Throttle::lift);
  server_->remove_export(name, force, [this, record, lifted, done = std::move(done)](Result<Unit> removed) {
    control_([this, record, lifted, done, removed = std::move(removed)] {
      change_throttle(lifted, &qos::Throttle::restore);
      if (removed.ok()) exports_.remove_if([record](const Exported& each) { return &each == record; });
      done(removed);
    });
  });
}

Result<Unit> DataPlane::set_tls(const nbd::TlsSettings& settings) {
  if (closing_) return closed();
  return server_->set_tls(settings);
}

Result<TcpAddress> DataPlane::listen_tcp(const std::string& host, uint16_t port) {
  if (closing_) return closed();
  return server_->listen_tcp(host, port);
}

void DataPlane::unlisten_tcp(const TcpAddress& address, Done<Unit> done) {
  if (closing_) return done(closed());
  server_->unlisten_tcp(address, [this, done = std::move(done)](Result<Unit> ended) {
    control_([done, ended = std::move(ended)] { done(ended); });
  });
}

Result<Unit> DataPlane::listen_unix(const std::string& path) {
  if (closing_) return closed();
  return server_->listen_unix(path);
}

Result<Unit> DataPlane::listen_handover(const std::string& path) {
  if (closing_) return closed();
  return server_->listen_handover(path);
}

// ---- The end --------------------------------------------------------------------------------------------------------

/// First the clients, then the volumes; the first error is the outcome, but everything is closed in any case.
void DataPlane::close(Done<Unit> done) {
  if (closing_) return done(closed());
  closing_ = true;
  for (const auto& [name, volume] : volumes_) change_throttle(name, &qos::Throttle::lift);
  server_->close([this, done = std::move(done)](Result<Unit> served) {
    iscsi_->close([this, done, served = std::move(served)](Result<Unit> served_too) {
      control_([this, done, served = served.ok() ? std::move(served_too) : served] {
        exports_.clear();
        close_volumes([done, served](Result<Unit> volumes) { done(served.ok() ? volumes : served); });
      });
    });
  });
}

void DataPlane::close_volumes(Done<Unit> done) {
  if (volumes_.empty()) return done(Unit{});
  auto outcome = std::make_shared<Result<Unit>>(Unit{});
  auto left = std::make_shared<size_t>(volumes_.size());
  const Done<Unit> one_closed = [done, outcome, left](Result<Unit> result) {
    if (!result.ok() && outcome->ok()) *outcome = result;
    if (--*left == 0) done(*outcome);
  };
  std::vector<Volume*> all;
  for (const auto& [name, volume] : volumes_) all.push_back(volume.get());
  for (Volume* volume : all) {
    // One that somebody is closing already answers to both.
    const Done<Unit> before = volume->closing;
    if (!before) stop_key_change(*volume);
    volume->closing = !before ? one_closed : [before, one_closed](Result<Unit> result) {
      before(result);
      one_closed(result);
    };
    if (!before && volume->operations == 0) shut_volume(*volume);
  }
}

}  // namespace cairn
