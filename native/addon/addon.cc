// The addon: class DataPlane and probe(), as src/engine/native.ts declares them. Checks are made in TypeScript, I/O in
// C++; this only carries plain data across and turns callbacks into promises.
#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>

#include "addon/convert.h"
#include "addon/data_plane.h"

namespace cairn::addon {
namespace {

/// The way onto Node's main thread (or a worker's) from any thread. It keeps the event loop alive only while a promise
/// is open. All but post() is called on the thread it leads to.
class ControlThread {
 public:
  explicit ControlThread(Napi::Env env) : calls_(Calls::New(env, Napi::Function(), "cairn", 0, 1)), env_(env) {
    calls_.Unref(env_);
    // Hooks run latest first, so this one runs before the one that takes `calls_` away.
    napi_add_env_cleanup_hook(env_, environment_ends, this);
  }
  ~ControlThread() {
    if (!environment_lives_) return;
    napi_remove_env_cleanup_hook(env_, environment_ends, this);
    calls_.Release();
  }
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  /// Any thread, also when the environment has ended: then nothing happens.
  void post(std::function<void()> work) {
    auto call = std::make_unique<std::function<void()>>(std::move(work));
    const std::lock_guard lock(mutex_);
    if (environment_lives_ && calls_.NonBlockingCall(call.get()) == napi_ok) (void)call.release();
  }
  void promise_opened() {
    if (open_promises_++ == 0) calls_.Ref(env_);
  }
  void promise_settled() {
    if (--open_promises_ == 0) calls_.Unref(env_);
  }

 private:
  static void run(Napi::Env env, Napi::Function, std::nullptr_t*, std::function<void()>* call) {
    const std::unique_ptr<std::function<void()>> owned(call);
    if (static_cast<napi_env>(env) == nullptr) return;
    const Napi::HandleScope scope(env);
    (*owned)();
  }
  using Calls = Napi::TypedThreadSafeFunction<std::nullptr_t, std::function<void()>, run>;

  static void environment_ends(void* self) {
    auto* control = static_cast<ControlThread*>(self);
    const std::lock_guard lock(control->mutex_);
    control->environment_lives_ = false;
  }

  std::mutex mutex_;  // Node frees what `calls_` names when the environment ends, whoever is calling
  bool environment_lives_ = true;
  Calls calls_;
  Napi::Env env_;
  size_t open_promises_ = 0;
};

class DataPlaneObject : public Napi::ObjectWrap<DataPlaneObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "DataPlane",
                       {InstanceMethod<&DataPlaneObject::create_replica>("createReplica"),
                        InstanceMethod<&DataPlaneObject::open_volume>("openVolume"),
                        InstanceMethod<&DataPlaneObject::close_volume>("closeVolume"),
                        InstanceMethod<&DataPlaneObject::volume_info>("volumeInfo"),
                        InstanceMethod<&DataPlaneObject::set_limits>("setLimits"),
                        InstanceMethod<&DataPlaneObject::resize_volume>("resizeVolume"),
                        InstanceMethod<&DataPlaneObject::flatten_volume>("flattenVolume"),
                        InstanceMethod<&DataPlaneObject::start_scrub>("startScrub"),
                        InstanceMethod<&DataPlaneObject::format_encryption>("formatEncryption"),
                        InstanceMethod<&DataPlaneObject::unlock_volume>("unlockVolume"),
                        InstanceMethod<&DataPlaneObject::header_info>("headerInfo"),
                        InstanceMethod<&DataPlaneObject::format_pool_device>("formatPoolDevice"),
                        InstanceMethod<&DataPlaneObject::open_pool_device>("openPoolDevice"),
                        InstanceMethod<&DataPlaneObject::close_pool_device>("closePoolDevice"),
                        InstanceMethod<&DataPlaneObject::add_key>("addKey"),
                        InstanceMethod<&DataPlaneObject::remove_key>("removeKey"),
                        InstanceMethod<&DataPlaneObject::backup_header>("backupHeader"),
                        InstanceMethod<&DataPlaneObject::restore_header>("restoreHeader"),
                        InstanceMethod<&DataPlaneObject::reencrypt_volume>("reencryptVolume"),
                        InstanceMethod<&DataPlaneObject::clone_snapshot>("cloneSnapshot"),
                        InstanceMethod<&DataPlaneObject::create_snapshot>("createSnapshot"),
                        InstanceMethod<&DataPlaneObject::delete_snapshot>("deleteSnapshot"),
                        InstanceMethod<&DataPlaneObject::revert_snapshot>("revertSnapshot"),
                        InstanceMethod<&DataPlaneObject::add_export>("addExport"),
                        InstanceMethod<&DataPlaneObject::remove_export>("removeExport"),
                        InstanceMethod<&DataPlaneObject::add_target>("addTarget"),
                        InstanceMethod<&DataPlaneObject::remove_target>("removeTarget"),
                        InstanceMethod<&DataPlaneObject::set_target_access>("setTargetAccess"),
                        InstanceMethod<&DataPlaneObject::set_space_low>("setSpaceLow"),
                        InstanceMethod<&DataPlaneObject::set_discovery>("setDiscovery"),
                        InstanceMethod<&DataPlaneObject::listen_iscsi>("listenIscsi"),
                        InstanceMethod<&DataPlaneObject::unlisten_iscsi>("unlistenIscsi"),
                        InstanceMethod<&DataPlaneObject::listen_iscsi_handover>("listenIscsiHandover"),
                        InstanceMethod<&DataPlaneObject::set_tls>("setTls"),
                        InstanceMethod<&DataPlaneObject::listen_tcp>("listenTcp"),
                        InstanceMethod<&DataPlaneObject::unlisten_tcp>("unlistenTcp"),
                        InstanceMethod<&DataPlaneObject::listen_unix>("listenUnix"),
                        InstanceMethod<&DataPlaneObject::listen_handover>("listenHandover"),
                        InstanceMethod<&DataPlaneObject::close>("close")});
  }

  explicit DataPlaneObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), control_(std::make_shared<ControlThread>(info.Env())) {
    const DataPlaneOptions options = read_options(argument_fields(info, 0, "options"));
    if (!info[1].IsFunction()) throw Napi::TypeError::New(info.Env(), "onEvent must be a function");
    auto on_event = std::make_shared<Napi::FunctionReference>(Napi::Persistent(info[1].As<Napi::Function>()));
    const Napi::Env env = info.Env();
    auto started = DataPlane::start(
        options, [control = control_](std::function<void()> work) { control->post(std::move(work)); },
        [env, on_event](const DataPlaneEvent& event) { report(env, *on_event, event); });
    if (!started.ok()) throw Napi::Error(env, to_js(env, started.error()));
    plane_ = std::move(started.value());
    Ref();  // clients are served whether JavaScript refers to the object or not
  }

  ~DataPlaneObject() override {
    // Never closed, and the environment ends, as a rule with the process. Volumes are left as a crash leaves them,
    // which they are made for; waiting for clients here could hang the exit.
    if (plane_.release() != nullptr) (void)new std::shared_ptr<ControlThread>(control_);
  }

 private:
  /// What a handler throws is an uncaught exception, as from any event of Node's; nobody else could catch it.
  static void report(Napi::Env env, const Napi::FunctionReference& on_event, const DataPlaneEvent& event) {
    try {
      on_event.Call({to_js(env, event)});
    } catch (const Napi::Error& error) {
      napi_fatal_exception(env, error.Value());
    }
  }

  /// A promise, and the callback that settles it.
  template <typename T, typename Start>
  Napi::Value promise(const Napi::CallbackInfo& info, Start start) {
    const Napi::Env env = info.Env();
    auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
    const Napi::Promise promised = deferred->Promise();
    if (closing_) {
      deferred->Reject(to_js(env, Error{"CLOSED", "the data plane is closed"}));
      return promised;
    }
    control_->promise_opened();
    Ref();  // the object stays while a promise is open
    start([this, env, deferred](Result<T> result) {
      if (result.ok())
        deferred->Resolve(to_js(env, result.value()));
      else
        deferred->Reject(to_js(env, result.error()));
      control_->promise_settled();
      Unref();
    });
    return promised;
  }

  Napi::Value create_replica(const Napi::CallbackInfo& info) {
    store::NewReplica replica = read_new_replica(argument_fields(info, 0, "replica"));
    return promise<Unit>(info, [&](auto done) { plane_->create_replica(std::move(replica), done); });
  }
  Napi::Value open_volume(const Napi::CallbackInfo& info) {
    const VolumeToOpen volume = read_volume_to_open(argument_fields(info, 0, "volume"));
    return promise<VolumeInfo>(info, [&](auto done) { plane_->open_volume(volume, done); });
  }
  Napi::Value close_volume(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "name");
    return promise<Unit>(info, [&](auto done) { plane_->close_volume(name, done); });
  }
  Napi::Value volume_info(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "name");
    return promise<VolumeInfo>(info, [&](auto done) { plane_->volume_info(name, done); });
  }
  template <void (DataPlane::*operation)(const std::string&, const std::string&, DataPlane::Done<Unit>)>
  Napi::Value snapshot_operation(const Napi::CallbackInfo& info) {
    const std::string volume = argument_string(info, 0, "volume");
    const std::string id = argument_string(info, 1, "snapshotId");
    return promise<Unit>(info, [&](auto done) { (plane_.get()->*operation)(volume, id, done); });
  }
  Napi::Value set_limits(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    const qos::Limits limits = read_limits(argument_fields(info, 1, "limits"));
    return promise<Unit>(info, [&](auto done) { plane_->set_limits(name, limits, done); });
  }
  Napi::Value resize_volume(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    const uint64_t size = argument_whole_number(info, 1, "sizeBytes");
    return promise<Unit>(info, [&](auto done) { plane_->resize_volume(name, size, done); });
  }
  Napi::Value flatten_volume(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    return promise<Unit>(info, [&](auto done) { plane_->flatten_volume(name, done); });
  }
  Napi::Value start_scrub(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    return promise<Unit>(info, [&](auto done) { plane_->start_scrub(name, done); });
  }
  Napi::Value format_encryption(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    const dmcrypt::LuksFormat format = read_luks_format(argument_fields(info, 1, "format"));
    SecureMemory passphrase = argument_secret(info, 2, "passphrase");
    return promise<Unit>(info,
                         [&](auto done) { plane_->format_encryption(name, format, std::move(passphrase), done); });
  }
  Napi::Value unlock_volume(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    SecureMemory passphrase = argument_secret(info, 1, "passphrase");
    return promise<Unit>(info, [&](auto done) { plane_->unlock_volume(name, std::move(passphrase), done); });
  }
  Napi::Value header_info(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    return promise<dmcrypt::LuksInfo>(info, [&](auto done) { plane_->header_info(name, done); });
  }
  Napi::Value format_pool_device(const Napi::CallbackInfo& info) {
    const PoolDevice device = read_pool_device(argument_fields(info, 0, "device"));
    SecureMemory passphrase = argument_secret(info, 1, "passphrase");
    return promise<Unit>(info, [&](auto done) { plane_->format_pool_device(device, std::move(passphrase), done); });
  }
  Napi::Value open_pool_device(const Napi::CallbackInfo& info) {
    const PoolDevice device = read_pool_device(argument_fields(info, 0, "device"));
    const std::string mapping = argument_string(info, 1, "mapping");
    SecureMemory passphrase = argument_secret(info, 2, "passphrase");
    return promise<Unit>(info,
                         [&](auto done) { plane_->open_pool_device(device, mapping, std::move(passphrase), done); });
  }
  Napi::Value close_pool_device(const Napi::CallbackInfo& info) {
    const std::string mapping = argument_string(info, 0, "mapping");
    return promise<Unit>(info, [&](auto done) { plane_->close_pool_device(mapping, done); });
  }
  Napi::Value add_key(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    SecureMemory known = argument_secret(info, 1, "known");
    SecureMemory added = argument_secret(info, 2, "added");
    return promise<Unit>(info, [&](auto done) { plane_->add_key(name, std::move(known), std::move(added), done); });
  }
  Napi::Value remove_key(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    SecureMemory removed = argument_secret(info, 1, "removed");
    SecureMemory kept = argument_secret(info, 2, "kept");
    return promise<Unit>(info, [&](auto done) { plane_->remove_key(name, std::move(removed), std::move(kept), done); });
  }
  Napi::Value backup_header(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    const std::string path = argument_string(info, 1, "path");
    return promise<Unit>(info, [&](auto done) { plane_->backup_header(name, path, done); });
  }
  Napi::Value restore_header(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    const std::string path = argument_string(info, 1, "path");
    const bool force = argument_boolean(info, 2, "force");
    return promise<Unit>(info, [&](auto done) { plane_->restore_header(name, path, force, done); });
  }
  Napi::Value reencrypt_volume(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "volume");
    const std::string id = argument_string(info, 1, "id");
    SecureMemory passphrase = argument_secret(info, 2, "passphrase");
    return promise<Unit>(info, [&](auto done) { plane_->reencrypt_volume(name, id, std::move(passphrase), done); });
  }
  Napi::Value clone_snapshot(const Napi::CallbackInfo& info) {
    const std::string volume = argument_string(info, 0, "volume");
    store::CloneTarget target = read_clone_target(argument_fields(info, 1, "target"));
    return promise<Unit>(info, [&](auto done) { plane_->clone_snapshot(volume, std::move(target), done); });
  }
  Napi::Value create_snapshot(const Napi::CallbackInfo& info) {
    const std::string volume = argument_string(info, 0, "volume");
    const std::string id = argument_string(info, 1, "snapshotId");
    const std::string name = argument_string(info, 2, "name");
    return promise<Unit>(info, [&](auto done) { plane_->create_snapshot(volume, id, name, done); });
  }
  Napi::Value delete_snapshot(const Napi::CallbackInfo& info) {
    return snapshot_operation<&DataPlane::delete_snapshot>(info);
  }
  Napi::Value revert_snapshot(const Napi::CallbackInfo& info) {
    return snapshot_operation<&DataPlane::revert_snapshot>(info);
  }
  Napi::Value add_export(const Napi::CallbackInfo& info) {
    const NewExport exported = read_new_export(argument_fields(info, 0, "exported"));
    return promise<Unit>(info, [&](auto done) { done(plane_->add_export(exported)); });
  }
  Napi::Value remove_export(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "name");
    const bool force = argument_boolean(info, 1, "force");
    return promise<Unit>(info, [&](auto done) { plane_->remove_export(name, force, done); });
  }
  Napi::Value add_target(const Napi::CallbackInfo& info) {
    NewTarget target = read_new_target(argument_fields(info, 0, "target"));
    return promise<Unit>(info, [&](auto done) { plane_->add_target(std::move(target), done); });
  }
  Napi::Value remove_target(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "name");
    const bool force = argument_boolean(info, 1, "force");
    return promise<Unit>(info, [&](auto done) { plane_->remove_target(name, force, done); });
  }
  Napi::Value set_target_access(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "name");
    iscsi::Access access = read_access(argument_fields(info, 1, "access"));
    return promise<Unit>(info, [&](auto done) { done(plane_->set_target_access(name, std::move(access))); });
  }
  Napi::Value set_space_low(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0, "name");
    const bool low = argument_boolean(info, 1, "low");
    return promise<Unit>(info, [&](auto done) { done(plane_->set_space_low(name, low)); });
  }
  Napi::Value set_discovery(const Napi::CallbackInfo& info) {
    const Fields settings = argument_fields(info, 0, "settings");
    iscsi::Access access = read_access(settings.fields("access"));
    std::vector<iscsi::Portal> portals = read_portals(settings);
    return promise<Unit>(info, [&](auto done) { done(plane_->set_discovery(std::move(access), std::move(portals))); });
  }
  Napi::Value listen_iscsi(const Napi::CallbackInfo& info) {
    const std::string host = argument_string(info, 0, "host");
    const uint16_t port = argument_port(info, 1, "port");
    return promise<TcpAddress>(info, [&](auto done) { done(plane_->listen_iscsi(host, port)); });
  }
  Napi::Value unlisten_iscsi(const Napi::CallbackInfo& info) {
    const TcpAddress address{argument_string(info, 0, "host"), argument_port(info, 1, "port")};
    return promise<Unit>(info, [&](auto done) { plane_->unlisten_iscsi(address, done); });
  }
  Napi::Value listen_iscsi_handover(const Napi::CallbackInfo& info) {
    const std::string path = argument_string(info, 0, "path");
    return promise<Unit>(info, [&](auto done) { done(plane_->listen_iscsi_handover(path)); });
  }
  Napi::Value set_tls(const Napi::CallbackInfo& info) {
    const nbd::TlsSettings settings = read_tls_settings(argument_fields(info, 0, "settings"));
    return promise<Unit>(info, [&](auto done) { done(plane_->set_tls(settings)); });
  }
  Napi::Value listen_tcp(const Napi::CallbackInfo& info) {
    const std::string host = argument_string(info, 0, "host");
    const uint16_t port = argument_port(info, 1, "port");
    return promise<TcpAddress>(info, [&](auto done) { done(plane_->listen_tcp(host, port)); });
  }
  Napi::Value unlisten_tcp(const Napi::CallbackInfo& info) {
    const TcpAddress address{argument_string(info, 0, "host"), argument_port(info, 1, "port")};
    return promise<Unit>(info, [&](auto done) { plane_->unlisten_tcp(address, done); });
  }
  Napi::Value listen_unix(const Napi::CallbackInfo& info) {
    const std::string path = argument_string(info, 0, "path");
    return promise<Unit>(info, [&](auto done) { done(plane_->listen_unix(path)); });
  }
  Napi::Value listen_handover(const Napi::CallbackInfo& info) {
    const std::string path = argument_string(info, 0, "path");
    return promise<Unit>(info, [&](auto done) { done(plane_->listen_handover(path)); });
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    return promise<Unit>(info, [&](auto done) {
      closing_ = true;
      plane_->close([this, done](Result<Unit> result) {
        // Its threads end here. The call came from the plane itself, so it is destroyed behind it.
        control_->post([this, done, result = std::move(result)] {
          plane_.reset();
          Unref();  // the promise keeps the object until it is settled
          done(result);
        });
      });
    });
  }

  std::shared_ptr<ControlThread> control_;
  std::unique_ptr<DataPlane> plane_;  // none when it is closed
  bool closing_ = false;
};

Napi::Value probe(const Napi::CallbackInfo& info) {
  const auto reactor = Reactor::create({.buffer_bytes = mebibyte});
  Napi::Object object = Napi::Object::New(info.Env());
  object["ioUring"] = Napi::Boolean::New(info.Env(), reactor.ok());
  object["reason"] =
      reactor.ok() ? info.Env().Null() : Napi::String::New(info.Env(), reactor.error().message).As<Napi::Value>();
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports["DataPlane"] = DataPlaneObject::define(env);
  exports["probe"] = Napi::Function::New(env, probe, "probe");
  return exports;
}

NODE_API_MODULE(cairn, init)

}  // namespace
}  // namespace cairn::addon
