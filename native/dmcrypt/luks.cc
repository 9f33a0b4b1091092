#include "dmcrypt/luks.h"

#include <libcryptsetup.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "dmcrypt/luks_context.h"
#include "dmcrypt/luks_metadata.h"

namespace cairn::dmcrypt {
namespace {

constexpr uint64_t device_sector = 512;  // libcryptsetup counts offsets in it

Error unsupported(const std::string& what) {
  return {"ENCRYPTION_UNSUPPORTED", "this LUKS2 device " + what + ", which Cairn does not serve"};
}

/// Null when it cannot be read.
nlohmann::json metadata_of(crypt_device* device) {
  const char* text = nullptr;
  if (crypt_dump_json(device, &text, 0) < 0 || text == nullptr) return nullptr;
  nlohmann::json metadata = nlohmann::json::parse(text, nullptr, false);
  return metadata.is_object() ? metadata : nlohmann::json(nullptr);
}

/// The one segment that there is, but while cryptsetup re-encrypts.
Result<nlohmann::json> crypt_segment(const nlohmann::json& header) {
  if (header.is_null()) return unsupported("has no readable metadata");
  if (!header.contains("segments")) return unsupported("has no segments");
  if (header.contains("config") && header["config"].contains("requirements"))
    return unsupported("needs what is being done to it elsewhere to be finished (its header lists requirements)");
  if (header["segments"].size() != 1) return unsupported("has several segments");
  const nlohmann::json& segment = header["segments"].front();
  if (segment.value("type", "") != "crypt") return unsupported("has a segment that is not of type crypt");
  if (segment.contains("integrity")) return unsupported("has integrity tags");
  return segment;
}

Result<CryptLayout> read_layout(crypt_device* device, const nlohmann::json& metadata) {
  Result<nlohmann::json> segment = crypt_segment(metadata);
  if (!segment.ok()) return segment.error();
  const std::string cipher = segment.value().value("encryption", "");
  if (cipher != "aes-xts-plain64" || crypt_get_volume_key_size(device) != volume_key_size)
    return unsupported("is encrypted with " + cipher + " and a key of " +
                       std::to_string(8 * crypt_get_volume_key_size(device)) +
                       " bits, not aes-xts-plain64 and 512 bits");
  CryptLayout layout;
  layout.data_offset = crypt_get_data_offset(device) * device_sector;
  layout.sector_size = static_cast<uint32_t>(crypt_get_sector_size(device));
  layout.iv_offset = crypt_get_iv_offset(device);
  const std::string size = segment.value().value("size", "dynamic");
  if (size != "dynamic") layout.length = std::strtoull(size.c_str(), nullptr, 10);
  uint32_t flags = 0;
  crypt_persistent_flags_get(device, CRYPT_FLAGS_ACTIVATION, &flags);
  layout.allow_discards = (flags & CRYPT_ACTIVATE_ALLOW_DISCARDS) != 0;
  layout.iv_large_sectors = (flags & CRYPT_ACTIVATE_IV_LARGE_SECTORS) != 0;
  return layout;
}

/// Those that open the device: others may hold keys of no segment.
std::vector<LuksKeySlot> list_key_slots(crypt_device* device) {
  std::vector<LuksKeySlot> slots;
  for (int slot = 0; slot < crypt_keyslot_max(CRYPT_LUKS2); ++slot) {
    const crypt_keyslot_info info = crypt_keyslot_status(device, slot);
    if (info != CRYPT_SLOT_ACTIVE && info != CRYPT_SLOT_ACTIVE_LAST) continue;
    crypt_pbkdf_type derivation{};
    if (crypt_keyslot_get_pbkdf(device, slot, &derivation) < 0) derivation = {};
    slots.push_back(
        {slot, derivation.type == nullptr ? "" : derivation.type, derivation.max_memory_kb, derivation.iterations});
  }
  return slots;
}

/// Whether the slot opens the device with it; an error's number otherwise.
int try_slot(crypt_device* device, int slot, Passphrase passphrase) {
  return crypt_activate_by_passphrase(device, nullptr, slot, chars(passphrase), passphrase.size(), 0);
}

Result<LuksInfo> read_info(crypt_device* device) {
  const nlohmann::json metadata = metadata_of(device);
  Result<CryptLayout> layout = read_layout(device, metadata);
  if (!layout.ok()) return layout.error();
  const char* uuid = crypt_get_uuid(device);
  LuksInfo info{uuid == nullptr ? "" : uuid, layout.value(), list_key_slots(device), key_id_of(metadata), {}};
  if (const std::optional<KeyChangeToken> token = key_change_of(metadata)) info.change = token->change;
  return info;
}

/// Of the first of the slots that opens with the passphrase.
Result<SecureMemory> open_key(const Device& device, const std::vector<int>& slots, Passphrase passphrase) {
  Result<SecureMemory> key = SecureMemory::create(volume_key_size);
  if (!key.ok()) return key;
  int opened = -EPERM;
  for (const int slot : slots) {
    size_t size = volume_key_size;
    auto* into = reinterpret_cast<char*>(key.value().span().data());
    opened = crypt_volume_key_get(device.get(), slot, into, &size, chars(passphrase), passphrase.size());
    if (opened >= 0) return key;
  }
  return device.failed("opening a key slot", opened);
}

/// While the volume key is being changed, slots of the older one must stay, and all must open with one passphrase.
Result<Unit> check_no_change(crypt_device* device) {
  const std::optional<KeyChangeToken> token = key_change_of(metadata_of(device));
  if (!token || !token->change.running()) return Unit{};
  return Error{"REENCRYPTION_RUNNING",
               "the volume is being encrypted with a new volume key: its key slots can be "
               "changed when that is done"};
}

Result<Unit> set_key_change(const Device& device, int token, const KeyChange& change) {
  const int set = crypt_token_json_set(device.get(), token, key_change_json(change).c_str());
  if (set < 0) return device.failed("noting the change of the volume key", set);
  return Unit{};
}

}  // namespace

Result<HeaderFile> HeaderFile::create(uint64_t device_size, uint64_t area) {
  UniqueFd fd(::memfd_create("luks-header", MFD_CLOEXEC));
  if (!fd.valid() || ::ftruncate(fd.get(), static_cast<off_t>(device_size)) != 0)
    return system_error("create", "a file in memory for a LUKS2 header", errno);
  return HeaderFile(std::move(fd), area);
}

std::string HeaderFile::path() const { return "/proc/self/fd/" + std::to_string(fd()); }

Result<LuksInfo> luks_format(const HeaderFile& file, const LuksFormat& format, Passphrase passphrase) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::open(file);
  if (!device.ok()) return device.error();
  crypt_device* context = device.value()->get();
  crypt_params_luks2 parameters{};
  parameters.pbkdf = &argon2id;
  parameters.sector_size = format.sector_size;
  crypt_set_data_offset(context, data_offset_default / device_sector);
  // The library draws the volume key from the kernel's generator when it is given none.
  int result = crypt_format(context, CRYPT_LUKS2, "aes", "xts-plain64", nullptr, nullptr, volume_key_size, &parameters);
  if (result < 0) return device.value()->failed("formatting a LUKS2 device", result);
  result = crypt_keyslot_add_by_volume_key(context, CRYPT_ANY_SLOT, nullptr, volume_key_size, chars(passphrase),
                                           passphrase.size());
  if (result < 0) return device.value()->failed("adding a key slot", result);
  if (format.allow_discards) {
    result = crypt_persistent_flags_set(context, CRYPT_FLAGS_ACTIVATION, CRYPT_ACTIVATE_ALLOW_DISCARDS);
    if (result < 0) return device.value()->failed("allowing discards", result);
  }
  return read_info(context);
}

Result<LuksInfo> luks_info(const HeaderFile& file) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  return read_info(device.value()->get());
}

Result<LuksUnlocked> luks_unlock(const HeaderFile& file, Passphrase passphrase) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  Result<LuksInfo> info = read_info(device.value()->get());
  if (!info.ok()) return info.error();
  Result<SecureMemory> key = open_key(*device.value(), {CRYPT_ANY_SLOT}, passphrase);
  if (!key.ok()) return key.error();
  LuksUnlocked unlocked{std::move(info.value()), std::move(key.value()), {}};
  if (!unlocked.info.change || !unlocked.info.change->running()) return unlocked;
  const std::vector<int> slots = slots_of_key(metadata_of(device.value()->get()), unlocked.info.change->older);
  Result<SecureMemory> older = open_key(*device.value(), slots, passphrase);
  if (!older.ok()) return older.error();
  unlocked.older_key = std::move(older.value());
  return unlocked;
}

Result<Unit> luks_add_key(const HeaderFile& file, Passphrase known, Passphrase added) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  crypt_device* context = device.value()->get();
  if (const Result<Unit> may = check_no_change(context); !may.ok()) return may;
  if (try_slot(context, CRYPT_ANY_SLOT, added) >= 0) return Unit{};
  crypt_set_pbkdf_type(context, &argon2id);
  const int slot =
      crypt_keyslot_add_by_passphrase(context, CRYPT_ANY_SLOT, chars(known), known.size(), chars(added), added.size());
  if (slot < 0) return device.value()->failed("adding a key slot", slot);
  return Unit{};
}

Result<bool> luks_remove_key(const HeaderFile& file, Passphrase removed, Passphrase kept) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  crypt_device* context = device.value()->get();
  if (const Result<Unit> may = check_no_change(context); !may.ok()) return may.error();
  std::vector<int> opened;
  bool is_kept = false;
  for (const LuksKeySlot& slot : list_key_slots(context)) {
    if (try_slot(context, slot.number, removed) == slot.number)
      opened.push_back(slot.number);
    else if (!is_kept)
      is_kept = try_slot(context, slot.number, kept) == slot.number;
  }
  if (!opened.empty() && !is_kept)
    return Error{"INVALID_ARGUMENT",
                 "the volume's own key would not open it any more: it has the same passphrase, or "
                 "no key slot"};
  for (const int slot : opened) {
    const int result = crypt_keyslot_destroy(context, slot);
    if (result < 0) return device.value()->failed("removing a key slot", result);
  }
  return !opened.empty();
}

Result<Unit> luks_begin_key_change(const HeaderFile& file, Passphrase passphrase, const std::string& id,
                                   const std::string& snapshot) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  crypt_device* context = device.value()->get();
  if (const Result<Unit> may = check_no_change(context); !may.ok()) return may;
  // Whoever knows no key of the volume changes nothing, and has to be able to read what is there.
  const Result<SecureMemory> older = open_key(*device.value(), {CRYPT_ANY_SLOT}, passphrase);
  if (!older.ok()) return older.error();
  Result<SecureMemory> newer = SecureMemory::create(volume_key_size);
  if (!newer.ok()) return newer.error();
  const std::span<std::byte> key = newer.value().span();
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    return system_error("draw", "a volume key", errno);
  const nlohmann::json before = metadata_of(context);
  crypt_set_pbkdf_type(context, &argon2id);
  const int slot = crypt_keyslot_add_by_key(context, CRYPT_ANY_SLOT, reinterpret_cast<const char*>(key.data()),
                                            key.size(), chars(passphrase), passphrase.size(), CRYPT_VOLUME_KEY_SET);
  if (slot < 0) return device.value()->failed("adding a key slot for the new volume key", slot);
  const std::optional<KeyChangeToken> token = key_change_of(before);
  return set_key_change(*device.value(), token ? token->number : CRYPT_ANY_TOKEN, {id, snapshot, key_id_of(before)});
}

Result<Unit> luks_end_key_change(const HeaderFile& file) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  const std::optional<KeyChangeToken> token = key_change_of(metadata_of(device.value()->get()));
  if (!token) return Error{"INVALID_ARGUMENT", "the volume key is not being changed"};
  return set_key_change(*device.value(), token->number, {token->change.id, "", token->change.older});
}

Result<bool> luks_forget_older_key(const HeaderFile& file) {
  const std::lock_guard lock(library());
  Result<std::unique_ptr<Device>> device = Device::load(file);
  if (!device.ok()) return device.error();
  crypt_device* context = device.value()->get();
  if (const Result<Unit> may = check_no_change(context); !may.ok()) return may.error();
  const nlohmann::json metadata = metadata_of(context);
  const std::optional<KeyChangeToken> token = key_change_of(metadata);
  if (!token) return false;
  const std::vector<int> slots = slots_of_key(metadata, token->change.older);
  for (const int slot : slots) {
    const int result = crypt_keyslot_destroy(context, slot);
    if (result < 0) return device.value()->failed("removing a key slot", result);
  }
  return !slots.empty();
}

}  // namespace cairn::dmcrypt
