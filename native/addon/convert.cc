#include "addon/convert.h"

#include <cmath>

namespace cairn::addon {
namespace {

[[noreturn]] void wrong(Napi::Env env, const std::string& field, const char* expected) {
  throw Napi::TypeError::New(env, field + " must be " + expected);
}

Napi::Value field_of(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  // Null is "not set"; undefined is a forgotten field.
  if (value.IsUndefined()) wrong(object.Env(), field, "given");
  return value;
}

Napi::Value string_or_null(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::String::New(env, text).As<Napi::Value>();
}

Napi::Number number(Napi::Env env, uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

const char* cache_mode_name(store::CacheMode mode) {
  switch (mode) {
    case store::CacheMode::none:
      return "none";
    case store::CacheMode::writeback:
      return "writeback";
    case store::CacheMode::writethrough:
      return "writethrough";
  }
  return "";
}

Napi::Object layer_to_js(Napi::Env env, const LayerInfo& layer) {
  Napi::Object object = Napi::Object::New(env);
  object["id"] = layer.status.id;
  object["parent"] = string_or_null(env, layer.status.parent);
  object["removed"] = Napi::Boolean::New(env, layer.status.removed);
  object["inChain"] = Napi::Boolean::New(env, layer.status.in_chain);
  object["allocatedBytes"] = number(env, layer.allocated_bytes);
  object["createdMs"] = number(env, layer.status.created_ms);
  object["mergeProgress"] = Napi::Number::New(env, layer.status.merge_progress);
  return object;
}

Napi::Object counters_to_js(Napi::Env env, const store::StoreCounters& counters) {
  Napi::Object object = Napi::Object::New(env);
  object["reads"] = number(env, counters.reads);
  object["readBytes"] = number(env, counters.read_bytes);
  object["writes"] = number(env, counters.writes);
  object["writtenBytes"] = number(env, counters.written_bytes);
  object["flushes"] = number(env, counters.flushes);
  object["trims"] = number(env, counters.trims);
  object["trimmedBytes"] = number(env, counters.trimmed_bytes);
  object["writeZeroes"] = number(env, counters.write_zeroes);
  object["errors"] = number(env, counters.errors);
  return object;
}

}  // namespace

std::string read_string(const Napi::Object& object, const char* field) {
  const Napi::Value value = field_of(object, field);
  if (!value.IsString()) wrong(object.Env(), field, "a string");
  return value.As<Napi::String>().Utf8Value();
}

bool read_boolean(const Napi::Object& object, const char* field) {
  const Napi::Value value = field_of(object, field);
  if (!value.IsBoolean()) wrong(object.Env(), field, "true or false");
  return value.As<Napi::Boolean>().Value();
}

uint64_t read_size(const Napi::Object& object, const char* field) {
  constexpr double exact_max = 9007199254740991.0;
  const Napi::Value value = field_of(object, field);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0) || number > exact_max || number != std::floor(number))
    wrong(object.Env(), field, "a whole number from 0 to 2^53 - 1");
  return static_cast<uint64_t>(number);
}

std::string argument_string(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsString()) wrong(info.Env(), "argument " + std::to_string(index + 1), "a string");
  return info[index].As<Napi::String>().Utf8Value();
}

Napi::Object argument_object(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject()) wrong(info.Env(), "argument " + std::to_string(index + 1), "an object");
  return info[index].As<Napi::Object>();
}

DataPlaneOptions read_options(const Napi::Object& object) {
  return {.reactors = read_size(object, "reactors"), .buffer_bytes = read_size(object, "bufferBytes")};
}

store::NewReplica read_new_replica(const Napi::Object& object) {
  const uint64_t block_size = read_size(object, "blockSize");
  if (block_size > UINT32_MAX) wrong(object.Env(), "blockSize", "512 or 4096");
  return {.directory = read_string(object, "directory"),
          .volume_id = read_string(object, "volumeId"),
          .replica_id = read_string(object, "replicaId"),
          .size_bytes = read_size(object, "sizeBytes"),
          .block_size = static_cast<uint32_t>(block_size)};
}

store::CacheMode read_cache_mode(const Napi::Object& object, const char* field) {
  const std::string name = read_string(object, field);
  for (const auto mode : {store::CacheMode::none, store::CacheMode::writeback, store::CacheMode::writethrough})
    if (name == cache_mode_name(mode)) return mode;
  wrong(object.Env(), field, "none, writeback or writethrough");
}

NewExport read_new_export(const Napi::Object& object) {
  NewExport exported;
  exported.name = read_string(object, "name");
  exported.description = read_string(object, "description");
  exported.read_only = read_boolean(object, "readOnly");
  if (!field_of(object, "volume").IsNull()) {
    exported.volume = read_string(object, "volume");
    if (exported.volume.empty()) wrong(object.Env(), "volume", "a volume's name");
    return exported;
  }
  const Napi::Value handover = field_of(object, "handover");
  if (!handover.IsObject()) wrong(object.Env(), "handover", "an object when volume is null");
  const Napi::Object remote = handover.As<Napi::Object>();
  exported.remote = {.handover_path = read_string(remote, "path"),
                     .size = read_size(remote, "sizeBytes"),
                     .block_size = static_cast<uint32_t>(read_size(remote, "blockSize"))};
  return exported;
}

Napi::Value to_js(Napi::Env env, const Unit&) { return env.Undefined(); }

Napi::Value to_js(Napi::Env env, const VolumeInfo& info) {
  Napi::Object object = Napi::Object::New(env);
  object["name"] = info.name;
  object["directory"] = info.directory;
  object["volumeId"] = info.volume_id;
  object["sizeBytes"] = number(env, info.size_bytes);
  object["blockSize"] = number(env, info.block_size);
  object["cacheMode"] = cache_mode_name(info.cache_mode);
  Napi::Array layers = Napi::Array::New(env, info.layers.size());
  for (uint32_t i = 0; i < info.layers.size(); ++i) layers[i] = layer_to_js(env, info.layers[i]);
  object["layers"] = layers;
  object["counters"] = counters_to_js(env, info.counters);
  object["clients"] = number(env, info.clients);
  object["failure"] = string_or_null(env, info.failure);
  object["recovered"] = Napi::Boolean::New(env, info.recovered);
  return object;
}

Napi::Value to_js(Napi::Env env, const nbd::TcpAddress& address) {
  Napi::Object object = Napi::Object::New(env);
  object["host"] = address.host;
  object["port"] = number(env, address.port);
  return object;
}

Napi::Value to_js(Napi::Env env, const DataPlaneEvent& event) {
  Napi::Object object = Napi::Object::New(env);
  object["kind"] = event.kind;
  object["volume"] = event.volume;
  object["message"] = event.message;
  return object;
}

Napi::Value to_js(Napi::Env env, const Error& error) {
  Napi::Object object = Napi::Error::New(env, error.message).Value();
  object["code"] = error.code;
  return object;
}

}  // namespace cairn::addon
