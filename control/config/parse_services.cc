// The sections about the service: load balancers, their listeners and health checks, and server groups.
#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

// What the file calls a listener's protocol.
enum class Kind : std::uint8_t { tcp, udp, http };
constexpr std::array protocol_choices{Choice<Kind>{"tcp", Kind::tcp}, Choice<Kind>{"udp", Kind::udp},
                                      Choice<Kind>{"http", Kind::http}};
constexpr std::array<std::string_view, 1> later_protocols{"https"};
constexpr std::array mode_choices{Choice<Mode>{"nat", Mode::nat}, Choice<Mode>{"fullnat", Mode::fullnat},
                                  Choice<Mode>{"dr", Mode::dr}, Choice<Mode>{"tunnel", Mode::tunnel}};
constexpr std::array scheduler_choices{Choice<Scheduler>{"wrr", Scheduler::wrr},
                                       Choice<Scheduler>{"wlc", Scheduler::wlc}, Choice<Scheduler>{"rr", Scheduler::rr},
                                       Choice<Scheduler>{"sch", Scheduler::sch},
                                       Choice<Scheduler>{"tch", Scheduler::tch}};
constexpr std::array<std::string_view, 1> later_schedulers{"qch"};
constexpr std::array orphan_choices{Choice<OrphanPolicy>{"run", OrphanPolicy::run},
                                    Choice<OrphanPolicy>{"reset", OrphanPolicy::reset}};
constexpr std::array when_full_choices{Choice<WhenFull>{"reset", WhenFull::reset},
                                       Choice<WhenFull>{"drop", WhenFull::drop}};
constexpr Range any_limit{0, std::numeric_limits<std::uint32_t>::max()};
constexpr std::array client_address_choices{Choice<ClientAddress>{"none", ClientAddress::none},
                                            Choice<ClientAddress>{"toa", ClientAddress::toa},
                                            Choice<ClientAddress>{"proxy_v2", ClientAddress::proxy_v2}};
constexpr std::array http_client_address_choices{Choice<ClientAddress>{"none", ClientAddress::none},
                                                 Choice<ClientAddress>{"proxy_v1", ClientAddress::proxy_v1},
                                                 Choice<ClientAddress>{"proxy_v2", ClientAddress::proxy_v2}};
constexpr std::array balancer_status_choices{Choice<bool>{"active", true}, Choice<bool>{"inactive", false}};
constexpr std::array listener_status_choices{Choice<bool>{"running", true}, Choice<bool>{"stopped", false}};

void read_connection_drain(MapReader& map, Listener& listener) {
  const Node* node = map.find("connection_drain");
  if (node == nullptr || (node->kind == Node::Kind::scalar && node->plain && node->scalar == "off")) {
    return;
  }
  if (const auto seconds = read_integer(*node, "`connection_drain`", {10, 900}, map.report())) {
    listener.connection_drain = std::chrono::seconds{*seconds};
  }
}

void read_bandwidth(MapReader& map, Listener& listener) {
  const Node* node = map.find("bandwidth");
  if (node == nullptr || (node->kind == Node::Kind::scalar && node->plain && node->scalar == "unlimited")) {
    return;
  }
  listener.bandwidth_at = node->at;
  listener.bandwidth =
      static_cast<std::uint32_t>(read_integer(*node, "`bandwidth`", {1, 5120}, map.report()).value_or(0));
}

void read_servers_of_listener(MapReader& map, Listener& listener) {
  if (listener.http && (listener.http->redirect || listener.http->changes.answer)) {
    const char* why = listener.http->redirect ? "a listener with `redirect` sends no request to a server"
                                              : "with `answer` a listener needs no servers; its rules may have some";
    for (const char* key : {"server_group", "server_port"}) {
      map.has_no_place(key, why);
    }
    return;
  }
  const Node* group = map.find("server_group");
  const Node* port = map.find("server_port");
  if (group != nullptr) {
    listener.server_group_at = group->at;
    listener.server_group = read_name(*group, "`server_group`", map.report()).value_or("");
  }
  if (port != nullptr) {
    listener.server_group_at = group == nullptr ? port->at : group->at;
    listener.server_port =
        static_cast<std::uint16_t>(read_integer(*port, "`server_port`", any_port, map.report()).value_or(0));
  }
  if (!map.has("server_group") && !map.has("server_port")) {
    map.report().error(map.at(),
                       "a listener names no servers; allowed: `server_group`, or `server_port` to use the "
                       "default group of the load balancer");
  }
  if (group != nullptr && port != nullptr) {
    map.report().error(port->at,
                       "`server_port` goes with the default group only; the servers of a group have ports of "
                       "their own: leave it or `server_group` out");
  }
}

void read_timing_of_listener(MapReader& map, Listener& listener) {
  map.seconds("slow_start", listener.slow_start, {0, 3600});
  read_connection_drain(map, listener);
  if (listener.slow_start.count() > 0 && listener.scheduler == Scheduler::rr) {
    map.has_no_effect("slow_start", "scheduler rr gives every server the same share; use wrr or wlc");
  }
  if (listener.slow_start.count() > 0 && service::by_hash(listener.scheduler)) {
    map.has_no_effect("slow_start", "a weight that grows would move clients between servers; use wrr or wlc");
  }
  if (listener.protocol == Protocol::udp) {
    map.has_no_effect("established_timeout", "only a tcp listener uses it");
    map.has_no_effect("connection_drain", "only a tcp listener uses it");
    map.has_no_effect("on_unhealthy", "udp always leaves a server that is down");
    map.has_no_effect("on_removed", "udp always leaves a server that was removed");
  }
}

// What is unknown of protocol and mode, since it could not be read, is no reason to refuse the rest.
void read_client_address(MapReader& map, Listener& listener, bool protocol_is_known, bool mode_is_known) {
  const Node* node = map.find("client_address");
  if (node == nullptr || !map.choice("client_address", listener.client_address, client_address_choices) ||
      listener.client_address == ClientAddress::none) {
    return;
  }
  const std::string begin = "`client_address` is " + shown(*node);
  if (protocol_is_known && listener.protocol == Protocol::udp) {
    map.report().error(node->at, begin +
                                     ", and the listener is a udp one: each datagram is forwarded by itself, none of "
                                     "them begins a stream that could begin with the address, and a server that does "
                                     "not expect it takes it for data; allowed: none");
  } else if (mode_is_known && listener.mode != Mode::fullnat) {
    map.report().error(node->at, begin + ", and the mode is " + std::string(to_string(listener.mode)) +
                                     ", in which servers see the client's own address; allowed: none");
  } else if (listener.client_address == ClientAddress::proxy_v2 && !listener.strip_timestamps) {
    map.report().error(map.position_of("strip_timestamps"),
                       "`strip_timestamps` is off, and `client_address` is `proxy_v2`: the header is a segment of "
                       "Steelyard's own, which cannot carry the client's timestamps; allowed: true");
  }
}

// What listeners of layer 4 alone can say.
void read_layer4(MapReader& map, Listener& listener, bool protocol_is_known) {
  const bool has_mode = map.choice("mode", listener.mode, mode_choices) || !map.has("mode");
  map.choice("scheduler", listener.scheduler, scheduler_choices, later_schedulers);
  map.seconds("persistence_timeout", listener.persistence_timeout, {0, 3600});
  map.seconds("established_timeout", listener.established_timeout, {10, 900});
  map.boolean("strip_timestamps", listener.strip_timestamps);
  map.choice("when_full", listener.when_full, when_full_choices);
  if (protocol_is_known && listener.protocol == Protocol::udp) {
    map.has_no_effect("strip_timestamps", "only a tcp listener uses it");
  } else if (has_mode && listener.mode != Mode::fullnat) {
    map.has_no_effect("strip_timestamps", "only mode fullnat uses it");
  }
  read_client_address(map, listener, protocol_is_known, has_mode);
  refuse_http_keys(map, protocol_is_known);
}

void read_http(MapReader& map, Listener& listener) {
  listener.mode = Mode::fullnat;
  map.choice("scheduler", listener.scheduler, http_scheduler_choices, later_schedulers);
  map.choice("client_address", listener.client_address, http_client_address_choices);
  listener.http = read_http_listener(map);
}

// Servers that expect PROXY headers take a check without one for a failure.
void warn_of_bare_checks(const MapReader& map, const Listener& listener) {
  const auto look = [&](const HealthCheck& check, Position at) {
    if (check.enabled && check.type == CheckType::http && !check.port) {
      map.report().warning(at,
                           "the check speaks HTTP without a PROXY header, and a port that expects one refuses that; "
                           "give it a `port` of its own, or `type: tcp`");
    }
  };
  const bool sends_headers =
      listener.client_address == ClientAddress::proxy_v1 || listener.client_address == ClientAddress::proxy_v2;
  if (!sends_headers || (listener.http && listener.http->redirect)) {
    return;
  }
  look(listener.health_check, map.position_of("health_check"));
  for (const HttpRule& rule : listener.http ? listener.http->rules : std::vector<HttpRule>{}) {
    if (rule.health_check) {
      look(*rule.health_check, rule.health_check->at);
    }
  }
}

Listener read_listener(const Node& node, Report& report) {
  Listener listener;
  MapReader map(node, "a listener", report);
  listener.at = map.at();
  Kind kind{};
  const bool has_protocol = map.required_choice("protocol", kind, protocol_choices, later_protocols);
  listener.protocol = kind == Kind::udp ? Protocol::udp : Protocol::tcp;
  if (const Node* port = map.require("port")) {
    listener.port_at = port->at;
    listener.port = static_cast<std::uint16_t>(read_integer(*port, "`port`", any_port, report).value_or(0));
  }
  map.choice("status", listener.running, listener_status_choices);
  if (kind == Kind::http) {
    read_http(map, listener);
  } else {
    read_layer4(map, listener, has_protocol);
  }
  read_servers_of_listener(map, listener);
  read_timing_of_listener(map, listener);
  map.choice("on_unhealthy", listener.on_unhealthy, orphan_choices);
  map.choice("on_removed", listener.on_removed, orphan_choices);
  if (const Node* access = map.find("access_control")) {
    listener.access_control = read_access_control(*access, report);
  }
  read_client_limits(map, listener);
  read_bandwidth(map, listener);
  listener.health_check = listener.http ? HealthCheck::for_http() : HealthCheck::for_protocol(listener.protocol);
  if (const Node* check = map.find("health_check")) {
    listener.health_check = read_health_check(*check, listener.health_check,
                                              has_protocol ? std::optional(listener.protocol) : std::nullopt, report);
  }
  warn_of_bare_checks(map, listener);
  map.finish();
  return listener;
}

enum class ServerPlace : std::uint8_t { group, default_group, primary_secondary };

// `max_connections`: what the server's group says for those that say nothing.
Server read_server(const Node& node, ServerPlace place, std::uint32_t max_connections, Report& report) {
  Server server;
  server.max_connections = max_connections;
  MapReader map(node, place == ServerPlace::default_group ? "a server of the default group" : "a server", report);
  server.at = map.at();
  map.name("name", server.name);
  if (const Node* address = map.require("address")) {
    server.address = read_address(*address, "`address`", report).value_or(Address{});
  }
  if (place != ServerPlace::default_group) {
    if (const Node* port = map.require("port")) {
      server.port = static_cast<std::uint16_t>(read_integer(*port, "`port`", any_port, report).value_or(0));
    }
  }
  if (place != ServerPlace::primary_secondary) {
    map.integer("weight", server.weight, {0, 100});
  }
  map.integer("max_connections", server.max_connections, any_limit);
  if (place != ServerPlace::primary_secondary) {
    map.boolean("backup", server.backup);
  }
  map.finish();
  return server;
}

LoadBalancer read_load_balancer(const Node& node, Report& report) {
  LoadBalancer balancer;
  MapReader map(node, "a load balancer", report);
  balancer.at = map.at();
  map.required_name("name", balancer.name);
  if (const Node* address = map.require("address")) {
    balancer.address_at = address->at;
    balancer.address = read_address(*address, "`address`", report).value_or(Address{});
  }
  map.choice("status", balancer.active, balancer_status_choices);
  for (const Node& server : map.list("default_group")) {
    balancer.default_group.push_back(read_server(server, ServerPlace::default_group, 0, report));
  }
  for (const Node& listener : map.list("listeners")) {
    balancer.listeners.push_back(read_listener(listener, report));
    const Listener& added = balancer.listeners.back();
    if (added.server_group.empty() && added.server_port != 0 && !map.has("default_group")) {
      report.error(added.server_group_at,
                   "`server_port` uses the default group, but the load balancer has no "
                   "`default_group`; give one, or a `server_group`");
    }
  }
  map.finish();
  return balancer;
}

ServerGroup read_server_group(const Node& node, Report& report) {
  ServerGroup group;
  MapReader map(node, "a server group", report);
  group.at = map.at();
  map.required_name("name", group.name);
  std::uint32_t max_connections = 0;
  map.integer("max_connections", max_connections, any_limit);
  if (const Node* servers = map.require("servers")) {
    if (servers->kind != Node::Kind::sequence) {
      report.error(servers->at, "`servers` is " + shown(*servers) + "; allowed: a list");
    } else {
      for (const Node& server : servers->children) {
        group.servers.push_back(read_server(server, ServerPlace::group, max_connections, report));
      }
    }
  }
  map.finish();
  return group;
}

// The primary comes first.
ServerGroup read_primary_secondary_group(const Node& node, Report& report) {
  ServerGroup group;
  group.primary_secondary = true;
  MapReader map(node, "a primary/secondary group", report);
  group.at = map.at();
  map.required_name("name", group.name);
  for (const char* role : {"primary", "secondary"}) {
    if (const Node* server = map.require(role)) {
      group.servers.push_back(read_server(*server, ServerPlace::primary_secondary, 0, report));
    }
  }
  map.finish();
  return group;
}

}  // namespace

void read_services(MapReader& file, Config& config, Incomplete& incomplete) {
  Report& report = file.report();
  for (const Node& node : file.list("load_balancers")) {
    config.load_balancers.push_back(read_load_balancer(node, report));
  }
  const std::size_t errors = report.errors();
  for (const Node& node : file.list("server_groups")) {
    config.server_groups.push_back(read_server_group(node, report));
    incomplete.server_groups = incomplete.server_groups || config.server_groups.back().name.empty();
  }
  for (const Node& node : file.list("primary_secondary_groups")) {
    config.server_groups.push_back(read_primary_secondary_group(node, report));
    incomplete.server_groups = incomplete.server_groups || config.server_groups.back().name.empty();
  }
  incomplete.server_groups = incomplete.server_groups || (config.server_groups.empty() && report.errors() != errors);
}

}  // namespace steelyard::control::config
