// Checks between ports, routes and the full NAT pool.
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "control/config/checks.h"

namespace steelyard::control::config {

namespace {

// The ephemeral range that Linux starts with (net.ipv4.ip_local_port_range).
constexpr PortRange kernel_ephemeral_ports{32768, 60999};

void check_port_names(const Config& config, Report& report) {
  std::unordered_map<std::string_view, Position> names;
  std::unordered_map<std::string_view, Position> devices;
  std::map<std::pair<std::string_view, std::string_view>, Position> interfaces;
  for (const Port& port : config.ports) {
    if (!port.name.empty()) {
      const auto [first, is_new] = names.try_emplace(port.name, port.at);
      if (!is_new) {
        report.error(port.at, "a second port is named " + in_quotes(port.name) + ", after " + in_line(first->second) +
                                  "; names must differ");
      }
    }
    if (!port.device.empty()) {
      const auto [first, is_new] = devices.try_emplace(port.device, port.at);
      if (!is_new) {
        report.error(port.at, "device " + in_quotes(port.device) + " is already used by the port of " +
                                  in_line(first->second) + "; one port per device");
      }
    }
    if (port.exception.enabled && !port.exception.name.empty()) {
      const auto [first, is_new] = interfaces.try_emplace(
          std::pair<std::string_view, std::string_view>{port.exception.network_namespace, port.exception.name},
          port.at);
      if (!is_new) {
        report.error(port.at, "kernel-side interface " + in_quotes(port.exception.name) +
                                  " is already used by the port of " + in_line(first->second) +
                                  "; names must differ within a network namespace");
      }
    }
  }
}

// `subject` names the object: "a route".
void check_port_exists(const Config& config, const std::string& name, Position at, std::string_view subject,
                       Report& report) {
  if (find_port(config, name)) {
    return;
  }
  std::string known;
  for (const Port& port : config.ports) {
    known += (known.empty() ? "" : ", ") + in_quotes(port.name);
  }
  report.error(at,
               std::string(subject) + " names port " + in_quotes(name) + ", which does not exist; allowed: " + known);
}

void check_vlans(const Config& config, Report& report) {
  std::map<std::pair<std::string_view, std::uint16_t>, Position> ids;
  for (const Port& port : config.ports) {
    if (!port.vlan) {
      continue;
    }
    const Vlan& vlan = *port.vlan;
    const auto place = find_port(config, vlan.port);
    if (!place) {
      report.error(vlan.at, "`vlan` names port " + in_quotes(vlan.port) +
                                ", which does not exist; allowed: a port with a `device`");
      continue;
    }
    const Port& carrier = config.ports[*place];
    if (carrier.vlan) {
      report.error(vlan.at, "`vlan` names port " + in_quotes(vlan.port) +
                                ", which is a VLAN itself; allowed: a port with a `device`");
      continue;
    }
    const auto [first, is_new] = ids.try_emplace({vlan.port, vlan.id}, vlan.at);
    if (!is_new) {
      report.error(vlan.at, "VLAN " + std::to_string(vlan.id) + " of port " + in_quotes(vlan.port) +
                                " already stands in " + in_line(first->second) + "; each may stand once");
    }
    if (port.mtu > carrier.mtu) {
      report.error(port.at, "`mtu` is " + std::to_string(port.mtu) + ", but port " + in_quotes(vlan.port) +
                                ", which carries this VLAN, has " + std::to_string(carrier.mtu) + "; allowed: 1280.." +
                                std::to_string(carrier.mtu));
    }
  }
}

void check_port_addresses(const Config& config, Report& report) {
  std::unordered_map<Address, Position> addresses;
  std::map<Prefix, const Port*> networks;
  for (const Port& port : config.ports) {
    for (const PortAddress& each : port.addresses) {
      const auto [first, is_new] = addresses.try_emplace(each.prefix.address, each.at);
      if (!is_new) {
        report.error(each.at, "address " + each.prefix.address.to_string() + " already stands in " +
                                  in_line(first->second) + "; an address belongs to one port, once");
        continue;
      }
      const auto [other, is_first] = networks.try_emplace(each.prefix.network(), &port);
      if (!is_first && other->second != &port) {
        report.warning(each.at, "network " + each.prefix.network().to_string() + " is connected to port " +
                                    in_quotes(other->second->name) + ", too; packets to it leave by that port only");
      }
    }
  }
}

void check_routes(const Config& config, const Incomplete& incomplete, const std::unordered_set<Address>& port_addresses,
                  const PrefixSet& connected, Report& report) {
  std::map<Prefix, Position> destinations;
  for (const Route& route : config.routes) {
    if (route.via.is_unspecified()) {
      continue;
    }
    const auto [first, is_new] = destinations.try_emplace(route.to, route.at);
    if (!is_new) {
      report.error(route.at, "a second route to " + route.to.to_string() + ", after " + in_line(first->second) +
                                 "; allowed: one route per destination (`gateway` is the route to everything)");
    }
    if (port_addresses.contains(route.via)) {
      report.error(route.at, "next hop " + route.via.to_string() +
                                 " is an address of our own ports; allowed: "
                                 "another router's address");
      continue;
    }
    if (incomplete.ports) {
      continue;
    }
    if (!route.port.empty()) {
      check_port_exists(config, route.port, route.at, "a route", report);
    } else if (!connected.find(route.via)) {
      report.error(route.at, "next hop " + route.via.to_string() +
                                 " is on no network of a port; allowed: an address within a port's `addresses`, or a "
                                 "`port` to leave by");
    }
  }
}

void check_local_addresses(const Config& config, const Incomplete& incomplete,
                           const std::unordered_set<Address>& port_addresses, const PrefixSet& connected,
                           Report& report) {
  std::unordered_set<Address> next_hops;
  for (const Route& route : config.routes) {
    next_hops.insert(route.via);
  }
  const bool meets_kernel_ports = config.local_ports.first <= kernel_ephemeral_ports.last &&
                                  config.local_ports.last >= kernel_ephemeral_ports.first;
  std::unordered_map<Address, Position> seen;
  for (const LocalAddress& local : config.local_addresses) {
    if (local.address.is_unspecified()) {
      continue;
    }
    const std::string text = local.address.to_string();
    const auto [first, is_new] = seen.try_emplace(local.address, local.at);
    if (!is_new) {
      report.error(local.at,
                   "local address " + text + " already stands in " + in_line(first->second) + "; each may stand once");
    }
    if (next_hops.contains(local.address)) {
      report.error(local.at, "local address " + text + " is the next hop of a route; allowed: an address of our own");
    }
    if (port_addresses.contains(local.address) && meets_kernel_ports) {
      report.warning(local.at, "local address " + text +
                                   " is a port's own address: the kernel's connections and health checks from it lose "
                                   "the ports of `local_ports`; keep net.ipv4.ip_local_port_range apart from them");
    }
    if (incomplete.ports) {
      continue;
    }
    if (!local.port.empty()) {
      check_port_exists(config, local.port, local.at, "a local address", report);
    } else if (!connected.find(local.address)) {
      report.error(local.at, "local address " + text +
                                 " is on no network of a port; allowed: an address within a port's `addresses`, or "
                                 "{address: " +
                                 text + ", port: <name>} when it is routed to us");
    }
  }
}

}  // namespace

void PrefixSet::add(const Prefix& prefix) {
  auto& family = prefix.address.is_v4() ? v4_ : v6_;
  family[prefix.length].insert(prefix.network().address);
}

std::optional<Prefix> PrefixSet::find(const Address& address) const {
  for (const auto& [length, networks] : address.is_v4() ? v4_ : v6_) {
    const Prefix network = Prefix{address, length}.network();
    if (networks.contains(network.address)) {
      return network;
    }
  }
  return std::nullopt;
}

std::optional<Prefix> PrefixSet::only_one(bool v4) const {
  const auto& family = v4 ? v4_ : v6_;
  if (family.size() != 1 || family.begin()->second.size() != 1) {
    return std::nullopt;
  }
  return Prefix{*family.begin()->second.begin(), family.begin()->first};
}

PrefixSet connected_prefixes(const Config& config) {
  PrefixSet connected;
  for (const Port& port : config.ports) {
    for (const PortAddress& each : port.addresses) {
      connected.add(each.prefix);
    }
  }
  return connected;
}

void check_network(const Config& config, const Incomplete& incomplete, Report& report) {
  const PrefixSet connected = connected_prefixes(config);
  std::unordered_set<Address> port_addresses;
  for (const Port& port : config.ports) {
    for (const PortAddress& each : port.addresses) {
      port_addresses.insert(each.prefix.address);
    }
  }
  check_port_names(config, report);
  if (!incomplete.ports) {
    check_vlans(config, report);
  }
  check_port_addresses(config, report);
  check_routes(config, incomplete, port_addresses, connected, report);
  check_local_addresses(config, incomplete, port_addresses, connected, report);
}

}  // namespace steelyard::control::config
