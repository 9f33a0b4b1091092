// The addon: class DataPlane and probe(), as src/engine/native.ts declares them. Checks are made in TypeScript, I/O in
// C++; this only carries plain data across and turns callbacks into promises.
#include <napi.h>

#include "addon/convert.h"
#include "addon/data_plane.h"

namespace cairn::addon {
namespace {

/// A way onto Node's main thread from any thread. It keeps the event loop alive only while a promise is open.
class ControlThread {
 public:
  explicit ControlThread(Napi::Env env) : calls_(Calls::New(env, Napi::Function(), "cairn", 0, 1)), env_(env) {
    calls_.Unref(env_);
  }
  ~ControlThread() { calls_.Release(); }

  void post(std::function<void()> work) {
    auto* call = new std::function<void()>(std::move(work));
    if (calls_.NonBlockingCall(call) != napi_ok) delete call;  // the environment is going away
  }
  void promise_opened() {
    if (open_promises_++ == 0) calls_.Ref(env_);
  }
  void promise_settled() {
    if (--open_promises_ == 0) calls_.Unref(env_);
  }
  Napi::Env env() const { return env_; }

 private:
  static void run(Napi::Env env, Napi::Function, std::nullptr_t*, std::function<void()>* call) {
    const std::unique_ptr<std::function<void()>> owned(call);
    if (static_cast<napi_env>(env) == nullptr) return;
    const Napi::HandleScope scope(env);
    (*owned)();
  }
  using Calls = Napi::TypedThreadSafeFunction<std::nullptr_t, std::function<void()>, run>;

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
                        InstanceMethod<&DataPlaneObject::create_snapshot>("createSnapshot"),
                        InstanceMethod<&DataPlaneObject::delete_snapshot>("deleteSnapshot"),
                        InstanceMethod<&DataPlaneObject::revert_snapshot>("revertSnapshot"),
                        InstanceMethod<&DataPlaneObject::add_export>("addExport"),
                        InstanceMethod<&DataPlaneObject::remove_export>("removeExport"),
                        InstanceMethod<&DataPlaneObject::listen_tcp>("listenTcp"),
                        InstanceMethod<&DataPlaneObject::listen_unix>("listenUnix"),
                        InstanceMethod<&DataPlaneObject::listen_handover>("listenHandover"),
                        InstanceMethod<&DataPlaneObject::close>("close")});
  }

  explicit DataPlaneObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), control_(std::make_shared<ControlThread>(info.Env())) {
    const DataPlaneOptions options = read_options(argument_object(info, 0));
    if (!info[1].IsFunction()) throw Napi::TypeError::New(info.Env(), "argument 2 must be a function");
    auto on_event = std::make_shared<Napi::FunctionReference>(Napi::Persistent(info[1].As<Napi::Function>()));
    const Napi::Env env = info.Env();
    auto started = DataPlane::start(
        options, [control = control_](std::function<void()> work) { control->post(std::move(work)); },
        [env, on_event](const DataPlaneEvent& event) { on_event->Call({to_js(env, event)}); });
    if (!started.ok()) throw Napi::Error(env, to_js(env, started.error()));
    plane_ = std::move(started.value());
  }

  ~DataPlaneObject() override {
    // Never closed, and the environment ends: the process does too. Volumes are left as a crash leaves them, which they
    // are made for; waiting for clients here could hang the exit.
    (void)plane_.release();
    if (!closed_) (void)new std::shared_ptr<ControlThread>(control_);
  }

 private:
  /// A promise, and the callback that settles it.
  template <typename T, typename Start>
  Napi::Value promise(const Napi::CallbackInfo& info, Start start) {
    const Napi::Env env = info.Env();
    auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
    const Napi::Promise promised = deferred->Promise();
    if (plane_ == nullptr) {
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
    store::NewReplica replica = read_new_replica(argument_object(info, 0));
    return promise<Unit>(info, [&](auto done) { plane_->create_replica(std::move(replica), done); });
  }
  Napi::Value open_volume(const Napi::CallbackInfo& info) {
    const Napi::Object volume = argument_object(info, 0);
    const std::string name = read_string(volume, "name");
    const std::string directory = read_string(volume, "directory");
    const store::CacheMode mode = read_cache_mode(volume, "cacheMode");
    return promise<VolumeInfo>(info, [&](auto done) { plane_->open_volume(name, directory, mode, done); });
  }
  Napi::Value close_volume(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0);
    return promise<Unit>(info, [&](auto done) { plane_->close_volume(name, done); });
  }
  Napi::Value volume_info(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0);
    return promise<VolumeInfo>(info, [&](auto done) { plane_->volume_info(name, done); });
  }
  template <void (DataPlane::*operation)(const std::string&, const std::string&, DataPlane::Done<Unit>)>
  Napi::Value snapshot_operation(const Napi::CallbackInfo& info) {
    const std::string volume = argument_string(info, 0);
    const std::string id = argument_string(info, 1);
    return promise<Unit>(info, [&](auto done) { (plane_.get()->*operation)(volume, id, done); });
  }
  Napi::Value create_snapshot(const Napi::CallbackInfo& info) {
    return snapshot_operation<&DataPlane::create_snapshot>(info);
  }
  Napi::Value delete_snapshot(const Napi::CallbackInfo& info) {
    return snapshot_operation<&DataPlane::delete_snapshot>(info);
  }
  Napi::Value revert_snapshot(const Napi::CallbackInfo& info) {
    return snapshot_operation<&DataPlane::revert_snapshot>(info);
  }
  Napi::Value add_export(const Napi::CallbackInfo& info) {
    const NewExport exported = read_new_export(argument_object(info, 0));
    return promise<Unit>(info, [&](auto done) { done(plane_->add_export(exported)); });
  }
  Napi::Value remove_export(const Napi::CallbackInfo& info) {
    const std::string name = argument_string(info, 0);
    if (!info[1].IsBoolean()) throw Napi::TypeError::New(info.Env(), "argument 2 must be true or false");
    const bool force = info[1].As<Napi::Boolean>().Value();
    return promise<Unit>(info, [&](auto done) { plane_->remove_export(name, force, done); });
  }
  Napi::Value listen_tcp(const Napi::CallbackInfo& info) {
    const std::string host = argument_string(info, 0);
    const uint32_t port = info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : 65536;
    if (port > 65535) throw Napi::TypeError::New(info.Env(), "argument 2 must be a port number");
    return promise<nbd::TcpAddress>(info,
                                    [&](auto done) { done(plane_->listen_tcp(host, static_cast<uint16_t>(port))); });
  }
  Napi::Value listen_unix(const Napi::CallbackInfo& info) {
    const std::string path = argument_string(info, 0);
    return promise<Unit>(info, [&](auto done) { done(plane_->listen_unix(path)); });
  }
  Napi::Value listen_handover(const Napi::CallbackInfo& info) {
    const std::string path = argument_string(info, 0);
    return promise<Unit>(info, [&](auto done) { done(plane_->listen_handover(path)); });
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    return promise<Unit>(info, [&](auto done) {
      plane_->close([this, done](Result<Unit> result) {
        // Its threads end here. The call came from the plane itself, so it is destroyed behind it.
        control_->post([this, done, result = std::move(result)] {
          plane_.reset();
          closed_ = true;
          done(result);
        });
      });
    });
  }

  std::shared_ptr<ControlThread> control_;
  std::unique_ptr<DataPlane> plane_;
  bool closed_ = false;
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
