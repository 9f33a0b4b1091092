#include "addon/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cairn::addon {
namespace {

[[noreturn]] void throw_wrong(Napi::Env env, const std::string& name, const std::string& expected) {
  throw Napi::TypeError::New(env, name + " must be " + expected);
}

std::string to_string(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) throw_wrong(value.Env(), name, "a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  // The system's calls would end the path there, and mean another file.
  if (text.find('\0') != std::string::npos) throw_wrong(value.Env(), name, "a string without NUL in it");
  return text;
}

bool to_boolean(const Napi::Value& value, const std::string& name) {
  if (!value.IsBoolean()) throw_wrong(value.Env(), name, "true or false");
  return value.As<Napi::Boolean>().Value();
}

uint64_t to_whole_number(const Napi::Value& value, const std::string& name, uint64_t max) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0) || number > static_cast<double>(max) || number != std::floor(number))
    throw_wrong(value.Env(), name, "a whole number from 0 to " + std::to_string(max));
  return static_cast<uint64_t>(number);
}

Napi::Object to_object(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) throw_wrong(value.Env(), name, "an object");
  return value.As<Napi::Object>();
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
  object["name"] = string_or_null(env, layer.status.name);
  object["parent"] = string_or_null(env, layer.status.parent);
  object["removed"] = Napi::Boolean::New(env, layer.status.removed);
  object["inChain"] = Napi::Boolean::New(env, layer.status.in_chain);
  object["allocatedBytes"] = number(env, layer.allocated_bytes);
  object["createdMs"] = number(env, layer.status.created_ms);
  object["mergeProgress"] = Napi::Number::New(env, layer.status.merge_progress);
  object["shared"] = Napi::Boolean::New(env, layer.shared);
  object["checksummed"] = Napi::Boolean::New(env, layer.status.checksummed);
  return object;
}

Napi::Object counters_to_js(Napi::Env env, const VolumeInfo& info) {
  const store::StoreCounters& counters = info.counters;
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
  object["throttled"] = number(env, info.throttled.requests);
  object["throttledMs"] =
      number(env, std::chrono::duration_cast<std::chrono::milliseconds>(info.throttled.waited).count());
  return object;
}

Napi::Value number_or_null(Napi::Env env, uint64_t value) {
  return value == 0 ? env.Null() : number(env, value).As<Napi::Value>();
}

Napi::Object limits_to_js(Napi::Env env, const qos::Limits& limits) {
  Napi::Object object = Napi::Object::New(env);
  object["iops"] = number_or_null(env, limits.operations.sustained);
  object["iopsBurst"] = number_or_null(env, limits.operations.burst);
  object["bandwidth"] = number_or_null(env, limits.bytes.sustained);
  object["bandwidthBurst"] = number_or_null(env, limits.bytes.burst);
  object["burstSeconds"] = number_or_null(env, std::max(limits.operations.burst_seconds, limits.bytes.burst_seconds));
  return object;
}

Napi::Value flatten_to_js(Napi::Env env, const VolumeInfo& info) {
  if (!info.flattening) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object["progress"] = Napi::Number::New(env, info.flatten_progress);
  object["problem"] = Napi::String::New(env, info.flatten_problem);
  return object;
}

Napi::Value reencryption_to_js(Napi::Env env, const VolumeInfo& info) {
  if (!info.reencrypting) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object["progress"] = Napi::Number::New(env, info.reencryption_progress);
  object["problem"] = Napi::String::New(env, info.reencryption_problem);
  return object;
}

const char* scrub_state_name(store::ScrubStatus::State state) {
  switch (state) {
    case store::ScrubStatus::State::never:
      return "never";
    case store::ScrubStatus::State::running:
      return "running";
    case store::ScrubStatus::State::finished:
      return "finished";
    case store::ScrubStatus::State::stopped:
      return "stopped";
  }
  return "";
}

Napi::Object scrub_to_js(Napi::Env env, const store::ScrubStatus& scrub) {
  Napi::Object object = Napi::Object::New(env);
  object["state"] = scrub_state_name(scrub.state);
  object["progress"] = Napi::Number::New(env, scrub.progress);
  object["blocksChecked"] = number(env, scrub.blocks_checked);
  object["blocksDamaged"] = number(env, scrub.blocks_damaged);
  object["blocksUnverified"] = number(env, scrub.blocks_unverified);
  object["repaired"] = number(env, scrub.repaired);
  Napi::Array findings = Napi::Array::New(env, scrub.findings.size());
  for (uint32_t i = 0; i < scrub.findings.size(); ++i) findings[i] = scrub.findings[i];
  object["findings"] = findings;
  return object;
}

}  // namespace

Napi::Value Fields::value(const char* field) const {
  const Napi::Value found = object_.Get(field);
  // Null is "not set"; undefined is a forgotten field.
  if (found.IsUndefined()) wrong(field, "given");
  return found;
}

void Fields::wrong(const char* field, const char* expected) const {
  throw_wrong(object_.Env(), path_ + field, expected);
}

std::string Fields::string(const char* field) const { return to_string(value(field), path_ + field); }
bool Fields::boolean(const char* field) const { return to_boolean(value(field), path_ + field); }
uint64_t Fields::whole_number(const char* field, uint64_t max) const {
  return to_whole_number(value(field), path_ + field, max);
}
std::vector<Fields> Fields::list(const char* field) const {
  const Napi::Value all = value(field);
  if (!all.IsArray()) wrong(field, "an array of objects");
  const Napi::Array array = all.As<Napi::Array>();
  std::vector<Fields> list;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const std::string name = path_ + field + "[" + std::to_string(i) + "]";
    list.emplace_back(to_object(array.Get(i), name), name + ".");
  }
  return list;
}

std::vector<std::string> Fields::strings(const char* field) const {
  const Napi::Value all = value(field);
  if (!all.IsArray()) wrong(field, "an array of strings");
  const Napi::Array array = all.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i)
    strings.push_back(to_string(array.Get(i), path_ + field + "[" + std::to_string(i) + "]"));
  return strings;
}

Fields Fields::fields(const char* field) const {
  return Fields(to_object(value(field), path_ + field), path_ + field + ".");
}

Fields argument_fields(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return Fields(to_object(info[index], name));
}
std::string argument_string(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return to_string(info[index], name);
}
bool argument_boolean(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return to_boolean(info[index], name);
}
uint64_t argument_whole_number(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return to_whole_number(info[index], name, exact_number_max);
}
namespace {

SecureMemory to_secret(const Napi::Value& value, const std::string& name) {
  constexpr size_t length_max = 8 * mebibyte;
  const bool is_bytes = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  const size_t length = is_bytes ? value.As<Napi::Uint8Array>().ByteLength() : 0;
  if (length == 0 || length > length_max) throw_wrong(value.Env(), name, "a Uint8Array of 1 byte to 8 MiB");
  Result<SecureMemory> memory = SecureMemory::create(length);
  if (!memory.ok()) throw Napi::Error(value.Env(), to_js(value.Env(), memory.error()));
  std::memcpy(memory.value().span().data(), value.As<Napi::Uint8Array>().Data(), length);
  return std::move(memory.value());
}

}  // namespace

SecureMemory argument_secret(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return to_secret(info[index], name);
}

SecureMemory Fields::secret(const char* field) const { return to_secret(value(field), path_ + field); }

uint16_t argument_port(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<uint16_t>(to_whole_number(info[index], name, UINT16_MAX));
}

DataPlaneOptions read_options(const Fields& options) {
  DataPlaneOptions result;
  result.reactors = options.whole_number("reactors");
  result.buffer_bytes = options.whole_number("bufferBytes");
  result.nbd.connections_max = options.whole_number("connectionsMax");
  result.nbd.negotiations_max = options.whole_number("negotiationsMax");
  const Fields iscsi = options.fields("iscsi");
  result.iscsi.connections_max = iscsi.whole_number("connectionsMax");
  result.iscsi.logins_max = iscsi.whole_number("loginsMax");
  return result;
}

store::NewReplica read_new_replica(const Fields& replica) {
  return {.directory = replica.string("directory"),
          .volume_id = replica.string("volumeId"),
          .replica_id = replica.string("replicaId"),
          .size_bytes = replica.whole_number("sizeBytes"),
          .block_size = static_cast<uint32_t>(replica.whole_number("blockSize", UINT32_MAX))};
}

store::CloneTarget read_clone_target(const Fields& target) {
  return {.snapshot_id = target.string("snapshotId"),
          .directory = target.string("directory"),
          .volume_id = target.string("volumeId"),
          .replica_id = target.string("replicaId")};
}

static store::CacheMode read_cache_mode(const Fields& volume) {
  const std::string name = volume.string("cacheMode");
  for (const auto mode : {store::CacheMode::none, store::CacheMode::writeback, store::CacheMode::writethrough})
    if (name == cache_mode_name(mode)) return mode;
  volume.wrong("cacheMode", "none, writeback or writethrough");
}

VolumeToOpen read_volume_to_open(const Fields& volume) {
  return {.name = volume.string("name"),
          .directory = volume.string("directory"),
          .cache_mode = read_cache_mode(volume),
          .limits = read_limits(volume.fields("limits"))};
}

static uint64_t number_or_zero(const Fields& fields, const char* field) {
  return fields.is_null(field) ? 0 : fields.whole_number(field);
}

static qos::Rate read_rate(const Fields& limits, const char* sustained, const char* burst) {
  const qos::Rate rate{.sustained = number_or_zero(limits, sustained),
                       .burst = number_or_zero(limits, burst),
                       .burst_seconds = number_or_zero(limits, "burstSeconds")};
  if (rate.burst == 0) return {.sustained = rate.sustained};
  if (rate.sustained == 0) limits.wrong(burst, "null, for there is nothing to exceed");
  if (rate.burst <= rate.sustained) limits.wrong(burst, "more than what it exceeds");
  if (rate.burst_seconds == 0) limits.wrong("burstSeconds", "given, for there are bursts");
  return rate;
}

qos::Limits read_limits(const Fields& limits) {
  return {.operations = read_rate(limits, "iops", "iopsBurst"),
          .bytes = read_rate(limits, "bandwidth", "bandwidthBurst")};
}

nbd::TlsSettings read_tls_settings(const Fields& settings) {
  nbd::TlsSettings result;
  const std::string mode = settings.string("mode");
  if (mode == "on")
    result.mode = nbd::TlsSettings::Mode::on;
  else if (mode == "require")
    result.mode = nbd::TlsSettings::Mode::require;
  else if (mode != "off")
    settings.wrong("mode", "off, on or require");
  if (!settings.is_null("certificateDirectory")) result.certificate_directory = settings.string("certificateDirectory");
  result.verify_peer = settings.boolean("verifyPeer");
  if (!settings.is_null("pskFile")) result.psk_file = settings.string("pskFile");
  return result;
}

NewExport read_new_export(const Fields& exported) {
  NewExport result;
  result.name = exported.string("name");
  result.description = exported.string("description");
  result.read_only = exported.boolean("readOnly");
  result.decrypted = exported.boolean("decrypted");
  if (!exported.is_null("volume")) {
    result.volume = exported.string("volume");
    if (result.volume.empty()) exported.wrong("volume", "a volume's name or null");
    return result;
  }
  const Fields handover = exported.fields("handover");
  result.remote = {.handover_path = handover.string("path")};
  return result;
}

namespace {

iscsi::Credential read_credential(const Fields& credential) {
  return {credential.string("user"), std::make_shared<SecureMemory>(credential.secret("secret"))};
}

}  // namespace

iscsi::Access read_access(const Fields& access) {
  iscsi::Access result;
  result.initiators = access.strings("initiators");
  for (const Fields& credential : access.list("chap")) result.chap.push_back(read_credential(credential));
  if (!access.is_null("mutual")) result.mutual = read_credential(access.fields("mutual"));
  return result;
}

NewTarget read_new_target(const Fields& target) {
  NewTarget result;
  result.name = target.string("name");
  result.alias = target.string("alias");
  result.read_only = target.boolean("readOnly");
  result.decrypted = target.boolean("decrypted");
  result.access = read_access(target.fields("access"));
  if (target.is_null("volume")) {
    result.remote = {.handover_path = target.fields("handover").string("path")};
    return result;
  }
  result.volume = target.string("volume");
  if (result.volume.empty()) target.wrong("volume", "a volume's name or null");
  result.volume_id = target.string("volumeId");
  return result;
}

std::vector<iscsi::Portal> read_portals(const Fields& settings) {
  std::vector<iscsi::Portal> portals;
  for (const Fields& portal : settings.list("portals"))
    portals.push_back(
        {.host = portal.string("host"), .port = static_cast<uint16_t>(portal.whole_number("port", 65535))});
  return portals;
}

dmcrypt::LuksFormat read_luks_format(const Fields& format) {
  const uint64_t sector_size = format.whole_number("sectorSize");
  if (sector_size != 512 && sector_size != 4096) format.wrong("sectorSize", "512 or 4096");
  return {.sector_size = static_cast<uint32_t>(sector_size), .allow_discards = format.boolean("allowDiscards")};
}

PoolDevice read_pool_device(const Fields& device) { return {device.string("path"), device.string("uuid")}; }

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
  object["counters"] = counters_to_js(env, info);
  object["limits"] = limits_to_js(env, info.limits);
  object["clients"] = number(env, info.clients);
  object["failure"] = string_or_null(env, info.failure);
  object["flatten"] = flatten_to_js(env, info);
  object["reencryption"] = reencryption_to_js(env, info);
  object["scrub"] = scrub_to_js(env, info.scrub);
  object["unlocked"] = Napi::Boolean::New(env, info.unlocked);
  object["recovered"] = Napi::Boolean::New(env, info.recovered);
  return object;
}

Napi::Value to_js(Napi::Env env, const dmcrypt::LuksInfo& info) {
  Napi::Object object = Napi::Object::New(env);
  object["uuid"] = info.uuid;
  object["sectorSize"] = number(env, info.layout.sector_size);
  Napi::Array slots = Napi::Array::New(env, info.key_slots.size());
  for (uint32_t i = 0; i < info.key_slots.size(); ++i) {
    const dmcrypt::LuksKeySlot& from = info.key_slots[i];
    Napi::Object slot = Napi::Object::New(env);
    slot["number"] = Napi::Number::New(env, from.number);
    slot["derivation"] = from.derivation;
    slot["memoryKib"] = number(env, from.memory_kib);
    slot["iterations"] = number(env, from.iterations);
    slots[i] = slot;
  }
  object["keySlots"] = slots;
  return object;
}

Napi::Value to_js(Napi::Env env, const TcpAddress& address) {
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
