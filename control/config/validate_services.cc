// Checks between load balancers, listeners, groups and servers. What can never work is an error; what works but
// surprises (a client port that meets itself on the way back, clients that the servers reach directly) is a warning.
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "control/config/checks.h"
#include "control/config/scalars.h"
#include "control/config/server_sets.h"

namespace steelyard::control::config {

namespace {

std::string list_of(const std::vector<PortRange>& ranges) {
  constexpr std::size_t most = 16;
  std::string text;
  for (std::size_t index = 0; index < std::min(ranges.size(), most); ++index) {
    text += (index == 0 ? "" : ", ") + std::to_string(ranges[index].first);
    if (ranges[index].last != ranges[index].first) {
      text += '-' + std::to_string(ranges[index].last);
    }
  }
  return ranges.size() > most ? text + ", ..." : text;
}

// ---- Load balancers and listeners
// ------------------------------------------------------------------------------------

void check_balancers(const Config& config, Report& report) {
  std::unordered_map<std::string_view, Position> names;
  std::unordered_map<Address, const LoadBalancer*> addresses;
  std::unordered_set<Address> next_hops;
  for (const Route& route : config.routes) {
    next_hops.insert(route.via);
  }
  for (const LoadBalancer& balancer : config.load_balancers) {
    if (!balancer.name.empty()) {
      const auto [first, is_new] = names.try_emplace(balancer.name, balancer.at);
      if (!is_new) {
        report.error(balancer.at, "a second load balancer is named " + in_quotes(balancer.name) + ", after " +
                                      in_line(first->second) + "; names must differ");
      }
    }
    if (balancer.address.is_unspecified()) {
      continue;
    }
    const auto [first, is_new] = addresses.try_emplace(balancer.address, &balancer);
    if (!is_new) {
      report.error(balancer.address_at, "address " + balancer.address.to_string() +
                                            " already belongs to load balancer " + in_quotes(first->second->name) +
                                            " in " + in_line(first->second->at) +
                                            "; allowed: one load balancer per address, with all its listeners");
    }
    if (next_hops.contains(balancer.address)) {
      report.error(balancer.address_at, "address " + balancer.address.to_string() +
                                            " is the next hop of a route; allowed: an address of our own");
    }
  }
}

// The first listener of each key; the others are reported.
ListenerKeys check_overlaps(const Config& config, Report& report) {
  ListenerKeys keys;
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      if (balancer.address.is_unspecified() || listener.port == 0) {
        continue;
      }
      const ListenerRef ref{&balancer, &listener};
      const auto [first, is_new] = keys.try_emplace(ref.key(), ref);
      if (!is_new) {
        report.error(listener.port_at, ref.text() + " already stands in " + in_line(first->second.listener->at) +
                                           "; allowed: one listener per address, port and protocol");
      }
    }
  }
  return keys;
}

void check_listener(const Config& config, const ListenerRef& ref, const std::unordered_set<Address>& locals,
                    std::array<bool, 2> local_families, const Incomplete& incomplete, Report& report) {
  const Listener& listener = *ref.listener;
  const Address& vip = ref.balancer->address;
  if (listener.port != 0 && !config.allowed_ports.empty() &&
      std::ranges::none_of(config.allowed_ports, [&](PortRange range) { return range.contains(listener.port); })) {
    report.error(listener.port_at, "port " + std::to_string(listener.port) +
                                       " is not in `allowed_ports`; allowed: " + list_of(config.allowed_ports));
  }
  if (listener.bandwidth != 0 && service::is_one_sided(listener.mode)) {
    report.error(listener.bandwidth_at, "`bandwidth` cannot be kept in mode " + std::string(to_string(listener.mode)) +
                                            ", in which servers answer clients directly; allowed: mode nat or fullnat, "
                                            "or no limit");
  }
  if (vip.is_unspecified()) {
    return;
  }
  if (listener.port != 0 && locals.contains(vip) && config.local_ports.contains(listener.port)) {
    report.error(listener.port_at,
                 ref.text() + " lies in `local_ports` of the local address " + vip.to_string() +
                     "; allowed: a local address without listeners, or `local_ports` apart from them");
  }
  if (listener.mode == Mode::fullnat && !listener.http && !local_families[vip.is_v4() ? 1 : 0] &&
      !incomplete.local_addresses) {
    report.error(listener.at, "mode fullnat needs an IPv" + std::string(vip.is_v4() ? "4" : "6") +
                                  " address in `local_addresses`, and there is none");
  }
}

void check_listeners(const Config& config, const Incomplete& incomplete, Report& report) {
  std::unordered_set<Address> locals;
  std::array<bool, 2> local_families{};
  for (const LocalAddress& local : config.local_addresses) {
    locals.insert(local.address);
    local_families[local.address.is_v4() ? 1 : 0] = true;
  }
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      check_listener(config, {&balancer, &listener}, locals, local_families, incomplete, report);
    }
  }
}

// ---- Groups
// ----------------------------------------------------------------------------------------------------------

// Who names which group.
class GroupNames {
 public:
  GroupNames(const Config& config, bool incomplete, Report& report) : report_(report), incomplete_(incomplete) {
    for (const ServerGroup& group : config.server_groups) {
      if (group.name.empty()) {
        continue;
      }
      const auto [first, is_new] = groups_.try_emplace(group.name, &group);
      if (!is_new) {
        report.error(group.at, "a second server group is named " + in_quotes(group.name) + ", after " +
                                   in_line(first->second->at) + "; names must differ");
      }
      known_.push_back(group.name);
    }
  }

  // Null: there is none.
  [[nodiscard]] const ServerGroup* find(std::string_view name) const {
    const auto found = groups_.find(name);
    return found == groups_.end() ? nullptr : found->second;
  }

  void use(std::string_view name, Position at) {
    used_.insert(name);
    if (name.empty() || groups_.contains(name) || incomplete_) {
      return;
    }
    const std::string_view near = nearest_word(name, known_);
    report_.error(at, "there is no server group " + in_quotes(name) + "; " +
                          (near.empty() ? "allowed: a name of `server_groups` or `primary_secondary_groups`"
                                        : "did you mean " + in_quotes(near) + "?"));
  }

  // After the last use.
  void warn_of_idle() const {
    for (const auto& [name, group] : groups_) {
      if (!used_.contains(name)) {
        report_.warning(group->at, "server group " + in_quotes(name) + " is used by no listener");
      }
    }
  }

 private:
  Report& report_;
  bool incomplete_;
  std::unordered_map<std::string_view, const ServerGroup*> groups_;
  std::vector<std::string_view> known_;
  std::unordered_set<std::string_view> used_;
};

void check_group_names(const Config& config, const Incomplete& incomplete, Report& report) {
  GroupNames groups(config, incomplete.server_groups, report);
  for (const LoadBalancer& balancer : config.load_balancers) {
    // `steelyard server` finds the servers of a default group by the load balancer's name.
    if (const ServerGroup* same = groups.find(balancer.name); same != nullptr && !balancer.default_group.empty()) {
      report.error(balancer.at, "the default group of load balancer " + in_quotes(balancer.name) +
                                    " goes by the same name as the server group in " + in_line(same->at) +
                                    "; names must differ");
    }
    for (const Listener& listener : balancer.listeners) {
      groups.use(listener.server_group, listener.server_group_at);
      if (const ServerGroup* group = groups.find(listener.server_group);
          group != nullptr && group->primary_secondary && listener.slow_start.count() > 0) {
        report.warning(listener.at,
                       "`slow_start` has no effect with a primary/secondary group: one server takes everything");
      }
      for (const HttpRule& rule : listener.http ? std::span(listener.http->rules) : std::span<const HttpRule>{}) {
        groups.use(rule.server_group, rule.server_group_at);
      }
    }
  }
  groups.warn_of_idle();
}

// Servers that stand twice in one group.
void check_members(std::span<const Server> servers, Report& report) {
  std::unordered_map<service::VipKey, Position, VipKeyHash> endpoints;
  std::unordered_map<std::string_view, Position> names;
  for (const Server& server : servers) {
    if (!server.name.empty()) {
      const auto [first, is_new] = names.try_emplace(server.name, server.at);
      if (!is_new) {
        report.error(server.at, "a second server of the group is named " + in_quotes(server.name) + ", after " +
                                    in_line(first->second) + "; names must differ");
      }
    }
    if (server.address.is_unspecified()) {
      continue;
    }
    const auto [first, is_new] =
        endpoints.try_emplace(service::VipKey{server.address, server.port, Protocol::tcp}, server.at);
    if (!is_new) {
      const std::string text =
          server.port == 0 ? server.address.to_string() : endpoint_text(server.address, server.port);
      report.error(server.at, "server " + text + " already stands in " + in_line(first->second) +
                                  "; a server may stand once in a group (use `weight` to give it more)");
    }
  }
}

// Servers that are us.
void check_own_addresses(std::span<const Server> servers, const std::unordered_map<Address, std::string_view>& own,
                         const std::unordered_set<Address>& vips, Report& report) {
  for (const Server& server : servers) {
    if (const auto found = own.find(server.address); found != own.end()) {
      report.error(server.at, "server " + server.address.to_string() + " is " + std::string(found->second) +
                                  " of this balancer; allowed: another machine's address");
    } else if (vips.contains(server.address)) {
      report.warning(server.at, "server " + server.address.to_string() +
                                    " is also the address of a load balancer: its traffic goes to listeners and the "
                                    "kernel here, not to another machine");
    }
  }
}

void check_groups(const Config& config, Report& report) {
  std::unordered_map<Address, std::string_view> own;
  for (const LocalAddress& local : config.local_addresses) {
    own.try_emplace(local.address, "a local address");
  }
  for (const Port& port : config.ports) {
    for (const PortAddress& each : port.addresses) {
      own.try_emplace(each.prefix.address, "a port's address");
    }
  }
  own.erase(Address{});
  std::unordered_set<Address> vips;
  for (const LoadBalancer& balancer : config.load_balancers) {
    vips.insert(balancer.address);
  }
  vips.erase(Address{});
  for (const ServerGroup& group : config.server_groups) {
    check_members(group.servers, report);
    check_own_addresses(group.servers, own, vips, report);
  }
  for (const LoadBalancer& balancer : config.load_balancers) {
    check_members(balancer.default_group, report);
    check_own_addresses(balancer.default_group, own, vips, report);
  }
}

}  // namespace

void check_services(const Config& config, const Incomplete& incomplete, Report& report) {
  check_balancers(config, report);
  const ListenerKeys keys = check_overlaps(config, report);
  check_listeners(config, incomplete, report);
  check_group_names(config, incomplete, report);
  check_groups(config, report);
  check_server_sets(config, keys, report);
  check_http(config, incomplete, report);
}

}  // namespace steelyard::control::config
