// The sections about the network: ports with their kernel-side interfaces, routes, and the full NAT pool.
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/address_rules.h"
#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

// IFNAMSIZ less the terminating zero.
constexpr std::uint32_t longest_interface_name = 15;

// What DPDK is built for (RTE_MAX_ETHPORTS of Debian's package).
constexpr std::size_t max_ports = 32;

bool is_interface_character(char character) {
  return is_letter(character) || is_digit(character) || character == '.' || character == '_' || character == '-';
}

bool is_device_character(char character) {
  return character > ' ' && character < 0x7f;
}

bool is_af_packet(std::string_view device) {
  return device.starts_with("net_af_packet") || device.starts_with("eth_af_packet");
}

void read_exception(const Node* node, Port& port, Position port_name_at, Report& report) {
  ExceptionInterface& exception = port.exception;
  bool named = false;
  if (node != nullptr) {
    MapReader map(*node, "`exception`", report);
    exception.at = map.at();
    map.boolean("enabled", exception.enabled);
    constexpr std::string_view rule = "letters, digits and . _ -";
    if (const Node* name = map.find("name")) {
      named = true;
      const auto text = read_text(*name, "`name`", {1, longest_interface_name}, is_interface_character, rule, report);
      const bool directory = text == "." || text == "..";
      if (directory) {
        report.error(name->at,
                     "`name` is " + in_quotes(*text) + ", which the kernel refuses; allowed: an interface name");
      }
      exception.name = directory ? "" : text.value_or("");
    }
    if (const Node* space = map.find("namespace")) {
      const auto text = read_text(*space, "`namespace`", {0, 80}, is_interface_character, rule, report);
      exception.network_namespace = text.value_or("");
    }
    map.boolean("manage", exception.manage);
    map.finish();
  }
  if (named || port.name.empty()) {
    return;
  }
  exception.name = "sy-" + port.name;
  if (exception.enabled && exception.name.size() > longest_interface_name) {
    report.error(port_name_at, "the kernel-side interface of this port would be " + in_quotes(exception.name) +
                                   "; interface names have at most 15 characters: give `exception: {name: ...}`");
  }
}

// Why an address with this prefix cannot be an interface's own; empty: it can.
std::string_view fault_of(const Prefix& prefix) {
  if (!is_host_address(prefix.address)) {
    return "is no unicast address that a host can have";
  }
  return prefix.length == 0 ? "has a prefix length of 0" : fault_in_network(prefix);
}

void read_addresses(MapReader& map, Port& port) {
  for (const Node& element : map.list("addresses")) {
    const auto prefix = read_prefix(element, "an address of the port", map.report());
    if (!prefix) {
      continue;
    }
    if (const std::string_view fault = fault_of(*prefix); !fault.empty()) {
      map.report().error(element.at, "an address of the port " + std::string(fault) + ": " + shown(element) +
                                         "; allowed: a host's address with its prefix length");
      continue;
    }
    port.addresses.push_back({*prefix, element.at});
  }
}

Vlan read_vlan(const Node& node, Report& report) {
  Vlan vlan;
  MapReader map(node, "`vlan`", report);
  vlan.at = map.at();
  map.required_name("port", vlan.port);
  if (const Node* id = map.require("id")) {
    vlan.id = static_cast<std::uint16_t>(read_integer(*id, "`id`", {1, 4094}, report).value_or(0));
  }
  map.finish();
  return vlan;
}

// 0 as the MTU of a VLAN: its port's.
Port read_port(const Node& node, Report& report) {
  Port port;
  MapReader map(node, "a port", report);
  port.at = map.at();
  map.required_name("name", port.name);
  const Node* vlan = map.find("vlan");
  if (vlan != nullptr) {
    port.vlan = read_vlan(*vlan, report);
    port.mtu = 0;
  }
  if (const Node* device = vlan == nullptr ? map.require("device") : map.find("device")) {
    const auto text = read_text(*device, "`device`", {1, 256}, is_device_character,
                                "a DPDK device string or a PCI address, without spaces", report);
    port.device = text.value_or("");
    if (vlan != nullptr) {
      report.error(device->at,
                   "a port has `device` and `vlan`; allowed: one of them, since a VLAN uses the device of "
                   "the port that carries it");
    }
  }
  read_addresses(map, port);
  const Node* mtu = map.find("mtu");
  if (mtu != nullptr) {
    if (const auto value = read_integer(*mtu, "`mtu`", {1280, 9000}, report)) {
      port.mtu = static_cast<std::uint16_t>(*value);
    }
  }
  if (mtu != nullptr && port.mtu > 1500 && is_af_packet(port.device)) {
    report.error(mtu->at, "`mtu` is " + shown(*mtu) +
                              " on an af_packet device, which carries no longer frames; "
                              "allowed: 1280..1500");
  }
  read_exception(map.find("exception"), port, map.position_of("name"), report);
  map.finish();
  return port;
}

Route read_route(const Node& node, Report& report) {
  Route route;
  MapReader map(node, "a route", report);
  route.at = map.at();
  bool has_destination = false;
  if (const Node* to = map.require("to")) {
    if (const auto prefix = read_prefix(*to, "`to`", report)) {
      route.to = prefix->network();
      has_destination = route.to == *prefix;
      if (!has_destination) {
        report.error(to->at, "`to` is " + shown(*to) + ", which has host bits; allowed: the network " +
                                 in_quotes(route.to.to_string()));
      }
    }
  }
  if (const Node* via = map.require("via")) {
    route.via = read_address(*via, "`via`", report).value_or(Address{});
    if (has_destination && !route.via.is_unspecified() && route.via.is_v4() != route.to.address.is_v4()) {
      report.error(via->at, "`via` is " + shown(*via) + ", of another address family than `to`; allowed: an IPv" +
                                (route.to.address.is_v4() ? "4" : "6") + " address");
    }
  }
  map.name("port", route.port);
  map.finish();
  return route;
}

// A default route for each gateway. One that repeats a route of the list is the same statement twice, not a conflict.
void read_gateways(const Node& node, Config& config, Report& report) {
  std::array<bool, 2> seen{};
  const bool is_list = node.kind == Node::Kind::sequence;
  for (const Node& element : is_list ? std::span<const Node>(node.children) : std::span(&node, 1)) {
    const auto address = read_address(element, "`gateway`", report);
    if (!address) {
      continue;
    }
    if (std::exchange(seen[address->is_v4() ? 1 : 0], true)) {
      report.error(element.at, "`gateway` names a second IPv" + std::string(address->is_v4() ? "4" : "6") +
                                   " address; allowed: at most one per address family");
      continue;
    }
    const Prefix everything = Prefix{*address, 0}.network();
    const bool known = std::ranges::any_of(
        config.routes, [&](const Route& route) { return route.to == everything && route.via == *address; });
    if (!known) {
      config.routes.push_back({everything, *address, "", element.at});
    }
  }
}

LocalAddress read_local_address(const Node& node, Report& report) {
  LocalAddress local;
  local.at = node.at;
  if (node.kind != Node::Kind::map) {
    local.address = read_address(node, "a local address", report).value_or(Address{});
    return local;
  }
  MapReader map(node, "a local address", report);
  if (const Node* address = map.require("address")) {
    local.address = read_address(*address, "`address`", report).value_or(Address{});
  }
  map.name("port", local.port);
  map.finish();
  return local;
}

}  // namespace

void read_network(MapReader& file, Config& config, Incomplete& incomplete) {
  Report& report = file.report();
  const std::size_t errors_before_ports = report.errors();
  const std::span<const Node> ports = file.list("ports");
  if (ports.size() > max_ports) {
    report.error(file.position_of("ports"),
                 "`ports` lists " + std::to_string(ports.size()) + " ports; allowed: 1.." + std::to_string(max_ports));
  }
  for (const Node& node : ports) {
    config.ports.push_back(read_port(node, report));
  }
  for (Port& port : config.ports) {
    if (port.mtu == 0) {
      const auto carrier = find_port(config, port.vlan->port);
      port.mtu = carrier && config.ports[*carrier].mtu != 0 ? config.ports[*carrier].mtu : Port{}.mtu;
    }
  }
  if (ports.empty() && report.errors() == errors_before_ports) {
    report.error(file.position_of("ports"), "the file has no ports; `ports` needs at least one");
  }
  incomplete.ports = report.errors() != errors_before_ports;
  const std::size_t errors_before_routes = report.errors();
  for (const Node& node : file.list("routes")) {
    config.routes.push_back(read_route(node, report));
  }
  if (const Node* gateway = file.find("gateway")) {
    read_gateways(*gateway, config, report);
  }
  const std::size_t errors_before_locals = report.errors();
  incomplete.routes = errors_before_locals != errors_before_routes;
  for (const Node& node : file.list("local_addresses")) {
    config.local_addresses.push_back(read_local_address(node, report));
  }
  incomplete.local_addresses = report.errors() != errors_before_locals;
  if (const Node* range = file.find("local_ports")) {
    config.local_ports_at = range->at;
    config.local_ports = read_port_range(*range, "`local_ports`", report).value_or(config.local_ports);
  }
}

}  // namespace steelyard::control::config
