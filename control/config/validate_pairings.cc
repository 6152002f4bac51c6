// Checks of each listener together with the servers behind it: families, loops, shared endpoints, clients on the
// servers' own network, health checks without a way, and the limits of the snapshot.
#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "control/config/checks.h"
#include "control/config/server_sets.h"
#include "dataplane/service/ids.h"

namespace steelyard::control::config {

namespace {

// False when the configuration is beyond what ids can count: the other checks are left out then.
bool check_limits(const std::vector<ServerSet>& sets, Report& report) {
  std::size_t listeners = 0;
  std::size_t backends = 0;
  for (const ServerSet& set : sets) {
    listeners += set.listeners.size();
    backends += set.listeners.size() * set.servers.size();
  }
  if (listeners > service::max_listeners) {
    report.error({}, "the file has " + std::to_string(listeners) + " listeners; allowed: at most " +
                         std::to_string(service::max_listeners));
  }
  if (backends > service::max_backends) {
    report.error({}, "the servers of all listeners together are " + std::to_string(backends) + "; allowed: at most " +
                         std::to_string(service::max_backends));
  }
  const auto too_large =
      std::ranges::find_if(sets, [](const ServerSet& set) { return set.servers.size() > service::max_servers; });
  if (too_large != sets.end()) {
    report.error(too_large->at, too_large->label + " has " + std::to_string(too_large->servers.size()) +
                                    " servers; allowed: at most " + std::to_string(service::max_servers));
  }
  for (const ServerSet& set : sets) {
    const auto hashed =
        std::ranges::find_if(set.listeners, [](const ListenerRef& ref) { return service::by_hash(ref.scheduler()); });
    if (hashed != set.listeners.end() && set.servers.size() > service::HashTable::max_servers) {
      report.error(hashed->at(), set.label + " has " + std::to_string(set.servers.size()) +
                                     " servers; allowed with scheduler " + std::string(to_string(hashed->scheduler())) +
                                     ": at most " + std::to_string(service::HashTable::max_servers));
    }
  }
  return listeners <= service::max_listeners && backends <= service::max_backends && too_large == sets.end();
}

void check_families(const ServerSet& set, Report& report) {
  std::array<const Server*, 2> example{};
  for (const Server& server : set.servers) {
    const Server*& first = example[server.address.is_v4() ? 1 : 0];
    if (first == nullptr && !server.address.is_unspecified()) {
      first = &server;
    }
  }
  for (const ListenerRef& ref : set.listeners) {
    if (ref.listener->mode == Mode::tunnel || ref.listener->http) {
      continue;  // the outer header, or the connection of our own, is of the server's family
    }
    const bool v4 = ref.balancer->address.is_v4();
    const Server* stranger = example[v4 ? 0 : 1];
    if (stranger != nullptr && !ref.balancer->address.is_unspecified()) {
      report.error(ref.listener->server_group_at,
                   ref.text() + " is IPv" + (v4 ? "4" : "6") + ", but server " + stranger->address.to_string() + " (" +
                       in_line(stranger->at) + ") of " + set.label + " is IPv" + (v4 ? "6" : "4") +
                       "; allowed: servers of the listener's address family, or mode tunnel");
    }
  }
}

void check_loops(const ServerSet& set, const ListenerKeys& keys, Report& report) {
  for (const Server& server : set.servers) {
    const auto key = set.endpoint(server);
    if (const auto found = keys.find(key); found != keys.end()) {
      report.error(server.at, "server " + endpoint_text(key.address, key.port) + " is itself the " +
                                  found->second.text() + " in " + in_line(found->second.listener->at) +
                                  ": a loop; allowed: an endpoint that is no listener");
    }
  }
}

void warn_of_idle_set(const ServerSet& set, Report& report) {
  if (set.servers.empty()) {
    report.warning(set.at, set.label + " has no servers: " + set.listeners.front().text() + " refuses everybody");
  } else if (std::ranges::all_of(set.servers, [](const Server& server) { return server.weight == 0; })) {
    report.warning(set.at, "every server of " + set.label + " has weight 0: " + set.listeners.front().text() +
                               " refuses new connections");
  }
}

// In `nat` mode a server answers to (client address, client port), whichever listener the client came through. So one
// client port cannot have one server through two listeners at once: the later connection goes to another server. Where
// one of the listeners has no other, that connection could only fail, and the file is refused.
class SharedEndpoints {
 public:
  explicit SharedEndpoints(Report& report) : report_(report) {}

  void add(const ServerSet& set) {
    const ListenerRef* first = nullptr;
    for (const ListenerRef& ref : set.listeners) {
      if (ref.listener->mode != Mode::nat) {
        continue;
      }
      if (first != nullptr && ref.key() == first->key()) {
        continue;  // the same listener twice: said elsewhere
      }
      if (first != nullptr) {
        tell(ref, *first, set.label + " as a whole", set.has_choice() ? nullptr : set.servers.data());
      } else {
        first = &ref;
      }
    }
    if (first != nullptr) {
      compare_with_other_sets(set, *first);
    }
  }

 private:
  void compare_with_other_sets(const ServerSet& set, const ListenerRef& ref) {
    std::size_t shared = 0;
    std::string example;
    ListenerRef other;
    const Server* only = nullptr;
    for (const Server& server : set.servers) {
      if (server.address.is_unspecified()) {
        continue;
      }
      const auto [found, is_new] = owners_.try_emplace(set.endpoint(server), Owner{&set, ref});
      if (is_new || found->second.set == &set) {
        continue;
      }
      const bool no_choice = !set.has_choice() || !found->second.set->has_choice();
      if (shared++ == 0 || (no_choice && only == nullptr)) {
        example = "server " + endpoint_text(found->first.address, found->first.port);
        other = found->second.listener;
        only = no_choice ? &server : nullptr;
      }
    }
    if (shared > 1) {
      example += " and " + std::to_string(shared - 1) + " more";
    }
    if (shared > 0) {
      tell(ref, other, example, only);
    }
  }

  // `only`: the shared server that one of the two has no other than, at least at a time; null: both have a choice.
  // A listener that opens nothing at present may share: services move from one address to another that way.
  void tell(const ListenerRef& ref, const ListenerRef& other, const std::string& what, const Server* only) {
    const std::string shared = ref.text() + " shares " + what + " with " + other.text() + " in mode nat";
    const auto opens = [](const ListenerRef& one) { return one.listener->running && one.balancer->active; };
    if (only == nullptr || !opens(ref) || !opens(other)) {
      report_.warning(ref.listener->at, shared +
                                            ": a client port that uses both at once cannot have the same server for "
                                            "both, so the later connection goes to another one, if there is one");
    } else {
      report_.error(ref.listener->at,
                    shared + ", and " + only->address.to_string() +
                        " is the only server of one of them: when a client port uses both at once, the later "
                        "connection could only fail; allowed: a second server, a server port for each listener, or "
                        "mode fullnat for one of them");
    }
  }

  struct Owner {
    const ServerSet* set;
    ListenerRef listener;
  };
  std::unordered_map<service::VipKey, Owner, VipKeyHash> owners_;
  Report& report_;
};

// In `nat` mode the server chosen for a client on its own network answers directly and from the wrong address. Such
// clients are whoever else is on the network of the listener's address, and always the servers themselves: a server
// that calls its own VIP. The wider warning once for each load balancer, the other once for all that are left.
class SharedNetworks {
 public:
  SharedNetworks(const Config& config, Report& report) : connected_(connected_prefixes(config)), report_(report) {}

  void add(const ServerSet& set) {
    std::vector<std::pair<Prefix, const Server*>> networks;
    std::unordered_set<Address> seen;
    for (const Server& server : set.servers) {
      const auto network = connected_.find(server.address);
      if (network && seen.insert(network->address).second) {
        networks.emplace_back(*network, &server);
      }
    }
    for (const ListenerRef& ref : set.listeners) {
      if (ref.listener->mode == Mode::nat && !warned_.contains(ref.balancer)) {
        compare(ref, networks);
      }
    }
  }

  // After the last set.
  void warn_of_callers() const {
    const auto is_news = [this](const Caller& caller) { return !warned_.contains(caller.ref.balancer); };
    const auto first = std::ranges::find_if(callers_, is_news);
    if (first == callers_.end()) {
      return;
    }
    const auto others = std::count_if(first + 1, callers_.end(), is_news);
    report_.warning(first->ref.listener->at,
                    "server " + first->server->address.to_string() + " cannot call its own VIP " +
                        first->ref.balancer->address.to_string() + " in mode nat" +
                        (others == 0 ? std::string{}
                                     : ", as those of " + std::to_string(others) +
                                           (others == 1 ? " more load balancer" : " more load balancers")) +
                        ": the server chosen for it would be itself or answer it directly; use mode fullnat where "
                        "servers are clients, too");
  }

 private:
  void compare(const ListenerRef& ref, const std::vector<std::pair<Prefix, const Server*>>& networks) {
    const Address& vip = ref.balancer->address;
    const auto vip_network = connected_.find(vip);
    const auto clients = vip_network ? vip_network : connected_.only_one(vip.is_v4());
    for (const auto& [network, server] : networks) {
      if (clients == network) {
        warned_.insert(ref.balancer);
        report_.warning(ref.listener->at,
                        "server " + server->address.to_string() + " of " + ref.text() + " is on network " +
                            network.to_string() + (vip_network ? " of the listener's address" : ", the only one") +
                            ": in mode nat clients of that network, and a server that calls its own VIP, get no "
                            "usable answers, since servers answer them directly; use mode fullnat or keep clients "
                            "elsewhere");
        return;
      }
    }
    if (!networks.empty() && has_caller_.insert(ref.balancer).second) {
      callers_.push_back({ref, networks.front().second});
    }
  }

  // A server behind a listener, on a network that leads to us.
  struct Caller {
    ListenerRef ref;
    const Server* server;
  };

  PrefixSet connected_;
  std::unordered_set<const LoadBalancer*> warned_;
  std::vector<Caller> callers_;  // in the order of the sets, one for each load balancer of has_caller_
  std::unordered_set<const LoadBalancer*> has_caller_;
  Report& report_;
};

// Probes are the kernel's connections and leave by the exception interface of the server's port.
class ChecksWithoutWay {
 public:
  ChecksWithoutWay(const Config& config, Report& report)
      : config_(config), report_(report), needed_(std::ranges::any_of(config.ports, [](const Port& port) {
          return !port.exception.enabled || !port.exception.network_namespace.empty();
        })) {}

  void add(const ServerSet& set) {
    const auto checked =
        std::ranges::find_if(set.listeners, [](const ListenerRef& ref) { return ref.checks_health(); });
    if (checked == set.listeners.end() || !needed_) {
      return;
    }
    std::map<std::string, std::pair<const Server*, std::size_t>> found;  // by what is wrong: an example, how many
    for (const Server& server : set.servers) {
      if (server.address.is_unspecified()) {
        continue;
      }
      if (std::string wrong = trouble(server.address); !wrong.empty()) {
        auto& [example, count] = found.try_emplace(std::move(wrong), &server, 0).first->second;
        ++count;
      }
    }
    for (const auto& [wrong, servers] : found) {
      const auto& [example, count] = servers;
      report_.warning(checked->at(), "server " + example->address.to_string() +
                                         (count > 1 ? " and " + std::to_string(count - 1) + " more" : "") + " of " +
                                         checked->text() + ": " + wrong);
    }
  }

 private:
  // What stands in the way of a server's probes; empty: nothing that the file says.
  [[nodiscard]] std::string trouble(const Address& server) const {
    const auto place = egress_port(config_, server);
    if (!place) {
      return {};
    }
    const Port& port = config_.ports[*place];
    if (!port.exception.enabled) {
      return "port " + in_quotes(port.name) +
             " has no exception interface (`enabled: false`), so health checks go by the kernel's routes and cannot "
             "be made where it has none; enable the interface or switch the checks off";
    }
    if (!port.exception.network_namespace.empty()) {
      return "the exception interface of port " + in_quotes(port.name) + " is in network namespace " +
             in_quotes(port.exception.network_namespace) +
             ", so health checks cannot be made from another one; leave out `namespace` or switch the checks off";
    }
    return {};
  }

  const Config& config_;
  Report& report_;
  bool needed_;  // false in most files: no server has to be looked at
};

}  // namespace

void check_server_sets(const Config& config, const ListenerKeys& keys, Report& report) {
  const std::vector<ServerSet> sets = server_sets(config);
  if (!check_limits(sets, report)) {
    return;
  }
  SharedEndpoints endpoints(report);
  SharedNetworks networks(config, report);
  ChecksWithoutWay checks(config, report);
  for (const ServerSet& set : sets) {
    check_families(set, report);
    check_loops(set, keys, report);
    check_one_sided(config, set, report);
    warn_of_idle_set(set, report);
    endpoints.add(set);
    networks.add(set);
    checks.add(set);
  }
  networks.warn_of_callers();
}

}  // namespace steelyard::control::config
