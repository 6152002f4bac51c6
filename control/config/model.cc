#include "control/config/model.h"

#include <algorithm>

namespace steelyard::control::config {

namespace {

template <class Object>
std::optional<std::size_t> egress(const Config& config, const Object& object, const Address& address) {
  return object.port.empty() ? connected_port(config, address) : find_port(config, object.port);
}

}  // namespace

HealthCheck HealthCheck::for_protocol(Protocol protocol) {
  HealthCheck check;
  if (protocol == Protocol::udp) {
    check.type = CheckType::udp;
    check.interval = std::chrono::seconds{5};
    check.timeout = std::chrono::seconds{10};
  }
  return check;
}

HealthCheck HealthCheck::for_http() {
  HealthCheck check;
  check.type = CheckType::http;
  return check;
}

const ServerGroup* find_server_group(const Config& config, std::string_view name) {
  const auto found = std::ranges::find(config.server_groups, name, &ServerGroup::name);
  return found == config.server_groups.end() ? nullptr : &*found;
}

const AccessControlList* find_access_control_list(const Config& config, std::string_view name) {
  const auto found = std::ranges::find(config.access_control_lists, name, &AccessControlList::name);
  return found == config.access_control_lists.end() ? nullptr : &*found;
}

std::optional<std::size_t> find_port(const Config& config, std::string_view name) {
  const auto found = std::ranges::find(config.ports, name, &Port::name);
  if (found == config.ports.end()) {
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - config.ports.begin());
}

std::optional<std::size_t> connected_port(const Config& config, const Address& address) {
  std::optional<std::size_t> best;
  int longest = -1;
  for (std::size_t index = 0; index < config.ports.size(); ++index) {
    for (const PortAddress& candidate : config.ports[index].addresses) {
      if (candidate.prefix.length > longest && candidate.prefix.contains(address)) {
        longest = candidate.prefix.length;
        best = index;
      }
    }
  }
  return best;
}

std::optional<std::size_t> egress_port(const Config& config, const Route& route) {
  return egress(config, route, route.via);
}

std::optional<std::size_t> egress_port(const Config& config, const LocalAddress& local) {
  return egress(config, local, local.address);
}

std::optional<std::size_t> egress_port(const Config& config, const Address& server) {
  if (const auto port = connected_port(config, server)) {
    return port;
  }
  const Route* best = nullptr;
  for (const Route& route : config.routes) {
    if (route.to.contains(server) && (best == nullptr || route.to.length > best->to.length)) {
      best = &route;
    }
  }
  return best != nullptr ? egress_port(config, *best) : std::nullopt;
}

std::vector<Server> servers_of(const LoadBalancer& balancer, const Listener& listener, const ServerGroup* group) {
  if (group != nullptr) {
    return group->servers;
  }
  if (listener.server_port == 0) {
    return {};
  }
  std::vector<Server> servers = balancer.default_group;
  for (Server& server : servers) {
    server.port = listener.server_port;
  }
  return servers;
}

std::vector<Server> servers_of(const Config& config, const LoadBalancer& balancer, const Listener& listener) {
  if (listener.server_group.empty()) {
    return servers_of(balancer, listener, nullptr);
  }
  const ServerGroup* group = find_server_group(config, listener.server_group);
  return group == nullptr ? std::vector<Server>{} : group->servers;
}

std::string_view to_string(Protocol protocol) {
  return protocol == Protocol::tcp ? "tcp" : "udp";
}

std::string_view protocol_name(const Listener& listener) {
  return listener.http ? "http" : to_string(listener.protocol);
}

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::nat:
      return "nat";
    case Mode::fullnat:
      return "fullnat";
    case Mode::dr:
      return "dr";
    case Mode::tunnel:
      return "tunnel";
  }
  return "?";
}

std::string_view to_string(ClientAddress how) {
  switch (how) {
    case ClientAddress::none:
      return "none";
    case ClientAddress::toa:
      return "toa";
    case ClientAddress::proxy_v2:
      return "proxy_v2";
    case ClientAddress::proxy_v1:
      return "proxy_v1";
  }
  return "?";
}

std::string_view to_string(Scheduler scheduler) {
  switch (scheduler) {
    case Scheduler::wrr:
      return "wrr";
    case Scheduler::wlc:
      return "wlc";
    case Scheduler::rr:
      return "rr";
    case Scheduler::sch:
      return "sch";
    case Scheduler::uri:
      return "uri";
    case Scheduler::header:
      return "header";
    case Scheduler::tch:
      return "tch";
  }
  return "?";
}

std::string_view to_string(WhenFull when_full) {
  return when_full == WhenFull::reset ? "reset" : "drop";
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
    case LogLevel::critical:
      return "critical";
  }
  return "?";
}

std::string_view to_string(CheckType type) {
  switch (type) {
    case CheckType::tcp:
      return "tcp";
    case CheckType::http:
      return "http";
    case CheckType::udp:
      return "udp";
  }
  return "?";
}

std::string_view to_string(AccessType type) {
  return type == AccessType::white ? "white" : "black";
}

}  // namespace steelyard::control::config
