#include "iscsi/server.h"

#include "iscsi/login/check_access.h"
#include "iscsi/login/iscsi_name.h"
#include "iscsi/server_core.h"

namespace cairn::iscsi {
namespace {

constexpr size_t alias_length_max = 255;  // RFC 7143 section 6.1

Error missing_error(const std::string& name) { return {"EXPORT_MISSING", "there is no target " + name}; }

Result<Unit> check(const ServerCore& core, const TargetOptions& options) {
  const auto invalid = [&options](const std::string& why) {
    return Error{"INVALID_ARGUMENT", "target " + options.name + ": " + why};
  };
  if (!is_iscsi_name(options.name))
    return invalid("this is no iSCSI name (iqn.YYYY-MM.DOMAIN:NAME, at most 223 bytes)");
  if (options.alias.size() > alias_length_max) return invalid("an alias has at most 255 bytes");
  if (options.alias.find('\0') != std::string::npos) return invalid("an alias has no NUL in it");
  if (Result<Unit> access = check_access(options.access); !access.ok()) return access;
  if (const auto* local = std::get_if<LocalTarget>(&options.target)) {
    if (local->device == nullptr || !core.owns(local->reactor)) return invalid("no device on a reactor of the server");
  } else if (const auto* remote = std::get_if<RemoteTarget>(&options.target)) {
    if (remote->handover_path.empty()) return invalid("no hand-over path");
  } else if (std::get<MovedTarget>(options.target).address.empty()) {
    return invalid("no address to send initiators to");
  }
  return Unit{};
}

Branch& branch_of(ServerCore& core, const Target& target) {
  return target.reactor() == nullptr ? core.first() : core.branch_of(*target.reactor());
}

}  // namespace

Server::Server(std::vector<Reactor*> reactors, const Limits& limits)
    : core_(std::make_shared<ServerCore>(std::move(reactors), limits)) {}

Server::~Server() { core_->end(); }

// ---- Targets --------------------------------------------------------------------------------------------------------

void Server::add_target(TargetOptions options, Completed done) {
  const auto fail = [this, &done](Error error) { core_->fail(std::move(done), std::move(error)); };
  if (core_->closed()) return fail(core_->closed_error());
  if (Result<Unit> checked = check(*core_, options); !checked.ok()) return fail(checked.error());
  if (core_->targets().find(options.name) != nullptr)
    return fail({"EXPORT_EXISTS", "there is a target " + options.name + " already"});
  auto target = std::make_shared<Target>(std::move(options), core_->blocking());
  Branch& branch = branch_of(*core_, *target);
  auto presence = std::make_shared<Presence>(core_->presence());
  branch.reactor().post(
      [&branch, target, done = std::move(done), presence] { branch.add(target, done, std::move(*presence)); });
}

void Server::remove_target(const std::string& name, bool force, Completed done) {
  if (core_->closed()) return core_->fail(std::move(done), core_->closed_error());
  std::shared_ptr<Target> found = core_->targets().find(name);
  if (found == nullptr) return core_->fail(std::move(done), missing_error(name));
  Branch& branch = branch_of(*core_, *found);
  auto presence = std::make_shared<Presence>(core_->presence());
  branch.reactor().post([&branch, found, force, done = std::move(done), presence] {
    branch.remove(found, force, done, std::move(*presence));
  });
}

Result<Unit> Server::set_access(const std::string& name, Access access) {
  if (core_->closed()) return core_->closed_error();
  if (Result<Unit> checked = check_access(access); !checked.ok()) return checked;
  const std::shared_ptr<Target> found = core_->targets().find(name);
  if (found == nullptr) return missing_error(name);
  found->set_access(std::move(access));
  return Unit{};
}

void Server::set_space_low(const std::string& name, bool low) {
  if (core_->closed()) return;
  const std::shared_ptr<Target> found = core_->targets().find(name);
  if (found == nullptr || found->reactor() == nullptr) return;
  auto presence = std::make_shared<Presence>(core_->presence());
  found->reactor()->post([found, low, presence] {
    if (!found->removed()) found->unit().set_space_low(low);
    presence->release();
  });
}

size_t Server::sessions(const std::string& name) const {
  const std::shared_ptr<Target> found = core_->targets().find(name);
  return found == nullptr ? 0 : found->session_count();
}

// ---- Discovery ------------------------------------------------------------------------------------------------------

Result<Unit> Server::set_discovery_access(Access access) {
  if (core_->closed()) return core_->closed_error();
  if (Result<Unit> checked = check_access(access); !checked.ok()) return checked;
  core_->set_discovery_access(std::move(access));
  return Unit{};
}

Result<Unit> Server::set_portals(std::vector<Portal> portals) {
  if (core_->closed()) return core_->closed_error();
  for (const Portal& portal : portals)
    if (portal.host.empty() || portal.host.size() > 255 || portal.port == 0)
      return Error{"INVALID_ARGUMENT", "portal " + portal.host + ": it needs a host and a port"};
  core_->set_portals(std::move(portals));
  return Unit{};
}

// ---- Listeners ------------------------------------------------------------------------------------------------------

Result<TcpAddress> Server::listen_tcp(const std::string& host, uint16_t port) { return core_->listen_tcp(host, port); }

void Server::unlisten_tcp(const TcpAddress& address, Completed done) { core_->unlisten_tcp(address, std::move(done)); }

Result<Unit> Server::listen_handover(const std::string& path) {
  return core_->listen_unix(path, ListenerKind::handover);
}

void Server::close(Completed done) { core_->close(std::move(done)); }

}  // namespace cairn::iscsi
