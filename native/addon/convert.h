// Between JavaScript's plain data and ours. Every function that reads throws a TypeError naming the field.
#pragma once

#include <napi.h>

#include <string>

#include "addon/data_plane.h"

namespace cairn::addon {

std::string read_string(const Napi::Object& object, const char* field);
bool read_boolean(const Napi::Object& object, const char* field);
/// A whole number from 0 to 2^53 - 1.
uint64_t read_size(const Napi::Object& object, const char* field);
std::string argument_string(const Napi::CallbackInfo& info, size_t index);
Napi::Object argument_object(const Napi::CallbackInfo& info, size_t index);

DataPlaneOptions read_options(const Napi::Object& object);
store::NewReplica read_new_replica(const Napi::Object& object);
store::CacheMode read_cache_mode(const Napi::Object& object, const char* field);
NewExport read_new_export(const Napi::Object& object);

Napi::Value to_js(Napi::Env env, const Unit& unit);
Napi::Value to_js(Napi::Env env, const VolumeInfo& info);
Napi::Value to_js(Napi::Env env, const nbd::TcpAddress& address);
Napi::Value to_js(Napi::Env env, const DataPlaneEvent& event);
/// An Error with `code`.
Napi::Value to_js(Napi::Env env, const Error& error);

}  // namespace cairn::addon
