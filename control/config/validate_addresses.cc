// Where the addresses of a file lie: none may be a connected network's own or its broadcast address (an error), and a
// group with servers that neither a network nor a route leads to is pointed out (a warning: the other ones work).
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/address_rules.h"
#include "control/config/checks.h"

namespace steelyard::control::config {

namespace {

// `subject` names the object: "a server".
void check_host(const Address& address, Position at, std::string_view subject, const PrefixSet& connected,
                Report& report) {
  const auto network = connected.find(address);
  if (!network) {
    return;
  }
  if (const std::string_view fault = fault_in_network({address, network->length}); !fault.empty()) {
    report.error(at, std::string(subject) + ' ' + address.to_string() + ' ' + std::string(fault) + ", of " +
                         network->to_string() + "; allowed: a host's address");
  }
}

void check_hosts(const Config& config, const PrefixSet& connected, Report& report) {
  for (const Port& port : config.ports) {
    for (const PortAddress& each : port.addresses) {
      check_host(each.prefix.address, each.at, "address", connected, report);
    }
  }
  for (const Route& route : config.routes) {
    check_host(route.via, route.at, "next hop", connected, report);
  }
  for (const LocalAddress& local : config.local_addresses) {
    check_host(local.address, local.at, "local address", connected, report);
  }
  for (const LoadBalancer& balancer : config.load_balancers) {
    check_host(balancer.address, balancer.address_at, "load balancer's address", connected, report);
    for (const Server& server : balancer.default_group) {
      check_host(server.address, server.at, "server", connected, report);
    }
  }
  for (const ServerGroup& group : config.server_groups) {
    for (const Server& server : group.servers) {
      check_host(server.address, server.at, "server", connected, report);
    }
  }
}

void warn_of_unreachable(std::span<const Server> servers, const std::string& label, const PrefixSet& reachable,
                         Report& report) {
  const Server* first = nullptr;
  std::size_t count = 0;
  for (const Server& server : servers) {
    if (!server.address.is_unspecified() && !reachable.find(server.address)) {
      first = first == nullptr ? &server : first;
      ++count;
    }
  }
  if (first != nullptr) {
    report.warning(first->at, "no route to server " + first->address.to_string() +
                                  (count > 1 ? " and " + std::to_string(count - 1) + " more" : "") + " of " + label +
                                  "; connections to " + (count > 1 ? "them" : "it") +
                                  " are dropped: give a route or `gateway` that leads there, or a port an address "
                                  "in that network");
  }
}

void check_reach(const Config& config, PrefixSet reachable, Report& report) {
  for (const Route& route : config.routes) {
    reachable.add(route.to);
  }
  for (const LoadBalancer& balancer : config.load_balancers) {
    warn_of_unreachable(balancer.default_group, "the default group of " + in_quotes(balancer.name), reachable, report);
  }
  for (const ServerGroup& group : config.server_groups) {
    warn_of_unreachable(group.servers, "group " + in_quotes(group.name), reachable, report);
  }
}

}  // namespace

void check_addresses(const Config& config, const Incomplete& incomplete, Report& report) {
  PrefixSet connected = connected_prefixes(config);
  check_hosts(config, connected, report);
  if (!incomplete.ports && !incomplete.routes) {
    check_reach(config, std::move(connected), report);
  }
}

}  // namespace steelyard::control::config
