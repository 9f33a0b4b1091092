#include "nbd/server.h"

#include <future>

#include "nbd/limits.h"
#include "nbd/server_core.h"
#include "nbd/tls_policy.h"

namespace cairn::nbd {
namespace {

Error closed_error() { return {"CLOSED", "the NBD server is closed"}; }

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

void listen_on_first(ServerCore& core, ListeningSocket socket) {
  // Shared because a std::function must be copyable. The presence keeps a close() that comes next waiting for it.
  struct Carried {
    ListeningSocket socket;
    Presence presence;
  };
  auto carried = std::make_shared<Carried>(Carried{std::move(socket), core.presence()});
  core.first().reactor().post([&branch = core.first(), carried] {
    branch.acceptor().listen(std::move(carried->socket), std::move(carried->presence));
  });
}

}  // namespace

Server::Server(std::vector<Reactor*> reactors, const Limits& limits)
    : core_(std::make_shared<ServerCore>(std::move(reactors), limits)) {}

Server::~Server() {
  if (core_->closed()) return;
  std::promise<void> closed;
  close([&closed](Result<Unit>) { closed.set_value(); });
  closed.get_future().wait();
}

Result<Unit> Server::add_export(ExportOptions options) {
  if (core_->closed()) return closed_error();
  if (Result<Unit> checked = check(*core_, options); !checked.ok()) return checked;
  std::string name = options.name;
  if (!core_->exports().add(std::make_shared<Export>(std::move(options))))
    return Error{"EXPORT_EXISTS", "there is an export " + name + " already"};
  return Unit{};
}

void Server::remove_export(const std::string& name, bool force, Completed done) {
  Reactor* first = &core_->first().reactor();
  if (core_->closed()) return first->post([done = std::move(done)] { done(closed_error()); });
  std::shared_ptr<Export> found = core_->exports().find(name);
  if (found == nullptr)
    return first->post([done = std::move(done), name] { done(Error{"EXPORT_MISSING", "there is no export " + name}); });
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
  if (core_->closed()) return closed_error();
  Result<std::shared_ptr<const TlsPolicy>> policy = make_tls_policy(settings);
  if (!policy.ok()) return policy.error();
  core_->set_tls(std::move(policy.value()));
  return Unit{};
}

Result<TcpAddress> Server::listen_tcp(const std::string& host, uint16_t port) {
  if (core_->closed()) return closed_error();
  Result<ListeningSocket> socket = open_tcp_listener(host, port);
  if (!socket.ok()) return socket.error();
  TcpAddress address = socket.value().address;
  listen_on_first(*core_, std::move(socket.value()));
  return address;
}

void Server::unlisten_tcp(const TcpAddress& address, Completed done) {
  Reactor& reactor = core_->first().reactor();
  if (core_->closed()) return reactor.post([done = std::move(done)] { done(closed_error()); });
  auto presence = std::make_shared<Presence>(core_->presence());
  reactor.post([&branch = core_->first(), address, done = std::move(done), presence] {
    branch.acceptor().unlisten(address, done);
  });
}

Result<Unit> Server::listen_unix(const std::string& path) {
  if (core_->closed()) return closed_error();
  Result<ListeningSocket> socket = open_unix_listener(path, ListenerKind::unix_stream);
  if (!socket.ok()) return socket.error();
  listen_on_first(*core_, std::move(socket.value()));
  return Unit{};
}

Result<Unit> Server::listen_handover(const std::string& path) {
  if (core_->closed()) return closed_error();
  Result<ListeningSocket> socket = open_unix_listener(path, ListenerKind::handover);
  if (!socket.ok()) return socket.error();
  listen_on_first(*core_, std::move(socket.value()));
  return Unit{};
}

void Server::close(Completed done) {
  if (core_->closed()) {
    core_->first().reactor().post([done = std::move(done)] { done(closed_error()); });
    return;
  }
  core_->close(std::move(done));
}

}  // namespace cairn::nbd
