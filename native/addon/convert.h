// Between JavaScript's plain data and ours. Every function that reads throws a TypeError naming the field.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "addon/data_plane.h"

namespace cairn::addon {

/// What a double holds exactly: 2^53 - 1.
inline constexpr uint64_t exact_number_max = 9007199254740991;

/// The fields of an object that a caller passed. `path` names it in errors: "" for an argument, "handover." for a
/// field.
class Fields {
 public:
  explicit Fields(Napi::Object object, std::string path = "") : object_(object), path_(std::move(path)) {}

  std::string string(const char* field) const;
  bool boolean(const char* field) const;
  /// From 0 to `max`.
  uint64_t whole_number(const char* field, uint64_t max = exact_number_max) const;
  bool is_null(const char* field) const { return value(field).IsNull(); }
  Fields fields(const char* field) const;
  /// The objects of an array.
  std::vector<Fields> list(const char* field) const;
  std::vector<std::string> strings(const char* field) const;
  /// A copy of a Uint8Array, as argument_secret().
  SecureMemory secret(const char* field) const;
  [[noreturn]] void wrong(const char* field, const char* expected) const;

 private:
  Napi::Value value(const char* field) const;

  Napi::Object object_;
  std::string path_;
};

Fields argument_fields(const Napi::CallbackInfo& info, size_t index, const char* name);
std::string argument_string(const Napi::CallbackInfo& info, size_t index, const char* name);
bool argument_boolean(const Napi::CallbackInfo& info, size_t index, const char* name);
/// From 0 to 2^53 - 1.
uint64_t argument_whole_number(const Napi::CallbackInfo& info, size_t index, const char* name);
/// A copy of a Uint8Array of 1 to 8 MiB bytes, which is libcryptsetup's limit; throws when memory cannot be locked.
SecureMemory argument_secret(const Napi::CallbackInfo& info, size_t index, const char* name);
uint16_t argument_port(const Napi::CallbackInfo& info, size_t index, const char* name);

DataPlaneOptions read_options(const Fields& options);
store::NewReplica read_new_replica(const Fields& replica);
store::CloneTarget read_clone_target(const Fields& target);
VolumeToOpen read_volume_to_open(const Fields& volume);
qos::Limits read_limits(const Fields& limits);
nbd::TlsSettings read_tls_settings(const Fields& settings);
NewExport read_new_export(const Fields& exported);
NewTarget read_new_target(const Fields& target);
iscsi::Access read_access(const Fields& access);
std::vector<iscsi::Portal> read_portals(const Fields& settings);
dmcrypt::LuksFormat read_luks_format(const Fields& format);
PoolDevice read_pool_device(const Fields& device);

Napi::Value to_js(Napi::Env env, const Unit& unit);
Napi::Value to_js(Napi::Env env, const VolumeInfo& info);
Napi::Value to_js(Napi::Env env, const dmcrypt::LuksInfo& info);
Napi::Value to_js(Napi::Env env, const TcpAddress& address);
Napi::Value to_js(Napi::Env env, const DataPlaneEvent& event);
/// An Error with `code`.
Napi::Value to_js(Napi::Env env, const Error& error);

}  // namespace cairn::addon
