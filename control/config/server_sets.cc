#include "control/config/server_sets.h"

#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "control/config/checks.h"

namespace steelyard::control::config {

std::string ListenerRef::text() const {
  return "listener " + std::string(to_string(listener->protocol)) + ' ' +
         endpoint_text(balancer->address, listener->port);
}

std::vector<ServerSet> server_sets(const Config& config) {
  std::unordered_map<std::string_view, const ServerGroup*> groups;
  for (const ServerGroup& group : config.server_groups) {
    groups.try_emplace(group.name, &group);
  }
  std::vector<ServerSet> sets;
  std::map<std::tuple<const void*, std::uint16_t, Protocol>, std::size_t> index;
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      const bool uses_default = listener.server_group.empty();
      const auto group = groups.find(listener.server_group);
      if (uses_default ? listener.server_port == 0 : group == groups.end()) {
        continue;
      }
      const void* owner = uses_default ? static_cast<const void*>(&balancer) : group->second;
      const std::uint16_t port = uses_default ? listener.server_port : std::uint16_t{0};
      const auto [place, is_new] = index.try_emplace({owner, port, listener.protocol}, sets.size());
      if (is_new) {
        sets.push_back({uses_default ? std::span<const Server>(balancer.default_group) : group->second->servers,
                        port,
                        listener.protocol,
                        uses_default ? "the default group of " + in_quotes(balancer.name)
                                     : "group " + in_quotes(group->second->name),
                        uses_default ? balancer.at : group->second->at,
                        !uses_default && group->second->primary_secondary,
                        {}});
      }
      sets[place->second].listeners.push_back({&balancer, &listener});
    }
  }
  return sets;
}

}  // namespace steelyard::control::config
