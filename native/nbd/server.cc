#include "nbd/server.h"

#include "nbd/limits.h"
#include "nbd/server_core.h"
#include "nbd/tls_policy.h"

namespace cairn::nbd {
namespace {

Result<Unit> check(const ServerCore& core, const ExportOptions& options) {
  const auto invalid = [&options](const char* why) {
    return Error{"INVALID_ARGUMENT", "export " + options.name + ": " + why};
  };
  if (options.name.empty() || options.name.size() > name_length_max) return invalid("a name has 1 to 4096 bytes");
  if (options.name.find('\0') != std::string::npos) return invalid("a name has no NUL in it");
  if (options.description.size() > name_length_max) return invalid("a description has at most 4096 bytes");
  if (const auto* local = std::get_if<LocalTarget>(&options.target)) {
    if (local->device == nullptr || !core.owns(local->reactor)) return invalid("no device on a reactor of the server");
    return Unit{};
  }
  const auto& remote = std::get<RemoteTarget>(options.target);
  if (remote.handover_path.empty()) return invalid("no hand-over path");
  return Unit{};
}

}  // namespace

Server::Server(std::vector<Reactor*> reactors, const Limits& limits)
    : core_(std::make_shared<ServerCore>(std::move(reactors), limits)) {}

Server::~Server() { core_->end(); }

Result<Unit> Server::add_export(ExportOptions options) {
  if (core_->closed()) return core_->closed_error();
  if (Result<Unit> checked = check(*core_, options); !checked.ok()) return checked;
  std::string name = options.name;
  if (!core_->exports().add(std::make_shared<Export>(std::move(options))))
    return Error{"EXPORT_EXISTS", "there is an export " + name + " already"};
  return Unit{};
}

void Server::remove_export(const std::string& name, bool force, Completed done) {
  if (core_->closed()) return core_->fail(std::move(done), core_->closed_error());
  std::shared_ptr<Export> found = core_->exports().find(name);
  if (found == nullptr) return core_->fail(std::move(done), {"EXPORT_MISSING", "there is no export " + name});
  Branch& branch = found->reactor() == nullptr ? core_->first() : core_->branch_of(*found->reactor());
  auto presence = std::make_shared<Presence>(core_->presence());
  branch.reactor().post([&branch, found, force, done = std::move(done), presence] {
    branch.remove(found, force, done, std::move(*presence));
  });
}

size_t Server::connections(const std::string& name) const {
  const std::shared_ptr<Export> found = core_->exports().find(name);
  return found == nullptr ? 0 : found->connections();
}

Result<Unit> Server::set_tls(const TlsSettings& settings) {
  if (core_->closed()) return core_->closed_error();
  Result<std::shared_ptr<const TlsPolicy>> policy = make_tls_policy(settings);
  if (!policy.ok()) return policy.error();
  core_->set_tls(std::move(policy.value()));
  return Unit{};
}

Result<TcpAddress> Server::listen_tcp(const std::string& host, uint16_t port) { return core_->listen_tcp(host, port); }

void Server::unlisten_tcp(const TcpAddress& address, Completed done) { core_->unlisten_tcp(address, std::move(done)); }

Result<Unit> Server::listen_unix(const std::string& path) {
  return core_->listen_unix(path, ListenerKind::unix_stream);
}

Result<Unit> Server::listen_handover(const std::string& path) {
  return core_->listen_unix(path, ListenerKind::handover);
}

void Server::close(Completed done) { core_->close(std::move(done)); }

}  // namespace cairn::nbd
