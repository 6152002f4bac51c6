// Checks of listeners whose servers answer clients directly, modes `dr` and `tunnel`: the packet keeps the listener's
// port, and there must be a way to the server that is not its address in the packet.
#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "control/config/checks.h"
#include "control/config/server_sets.h"

namespace steelyard::control::config {

namespace {

std::optional<ListenerRef> listener_of_mode(const ServerSet& set, Mode mode) {
  const auto found =
      std::ranges::find_if(set.listeners, [mode](const ListenerRef& ref) { return ref.listener->mode == mode; });
  return found == set.listeners.end() ? std::nullopt : std::optional(*found);
}

// A packet reaches the server as the client has sent it, with the listener's port.
void check_unchanged_ports(const ServerSet& set, Report& report) {
  for (const Server& server : set.servers) {
    const std::uint16_t port = set.endpoint(server).port;
    const auto differs = [port](const ListenerRef& ref) {
      return service::is_one_sided(ref.listener->mode) && ref.listener->port != 0 && port != 0 &&
             port != ref.listener->port;
    };
    const auto found = std::ranges::find_if(set.listeners, differs);
    if (found != set.listeners.end()) {
      report.error(set.port == 0 ? server.at : found->listener->server_group_at,
                   "server " + endpoint_text(server.address, port) + " of " + found->text() +
                       " has another port than the listener: mode " + std::string(to_string(found->listener->mode)) +
                       " changes no ports; allowed: port " + std::to_string(found->listener->port));
    }
  }
}

// In `dr` mode the server's link address is all that leads to it.
void check_direct_return(const Config& config, const ServerSet& set, Report& report) {
  const auto direct = listener_of_mode(set, Mode::dr);
  for (const Server& server : direct ? set.servers : std::span<const Server>{}) {
    if (!server.address.is_unspecified() && !connected_port(config, server.address)) {
      report.error(server.at, "server " + server.address.to_string() + " of " + direct->text() +
                                  " is on no network of a port: mode dr reaches servers by their link addresses; "
                                  "allowed: a server on a connected network, or another mode");
    }
  }
}

// In `tunnel` mode the outer header needs a source of ours, of the server's family.
void check_tunnels(const Config& config, const ServerSet& set, Report& report) {
  const auto tunnel = listener_of_mode(set, Mode::tunnel);
  for (const Server& server : tunnel ? set.servers : std::span<const Server>{}) {
    const bool v4 = server.address.is_v4();
    const auto place = egress_port(config, server.address);
    const auto is_source = [v4](const auto& one) { return one.is_v4() == v4; };
    if (server.address.is_unspecified() || !place ||
        std::ranges::any_of(config.local_addresses, is_source, &LocalAddress::address) ||
        std::ranges::any_of(config.ports[*place].addresses, is_source,
                            [](const PortAddress& own) -> const Address& { return own.prefix.address; })) {
      continue;
    }
    report.error(server.at, "server " + server.address.to_string() + " of " + tunnel->text() +
                                " cannot be reached by a tunnel: we have no IPv" + (v4 ? "4" : "6") +
                                " address to send from; allowed: with one on port " +
                                in_quotes(config.ports[*place].name) + ", or in `local_addresses`");
  }
}

}  // namespace

void check_one_sided(const Config& config, const ServerSet& set, Report& report) {
  check_unchanged_ports(set, report);
  check_direct_return(config, set, report);
  check_tunnels(config, set, report);
}

}  // namespace steelyard::control::config
