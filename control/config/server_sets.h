// Which listeners and rules use which servers, turned round: one entry for each (group, server port, protocol) in use,
// so that the checks of servers run once per set and not once per listener. Only validate_*.cc use this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/config/diagnostic.h"
#include "control/config/model.h"

namespace steelyard::control::config {

// A listener, or one of its rules: whoever sends something to servers. All point into the configuration, which must
// outlive them.
struct ListenerRef {
  const LoadBalancer* balancer = nullptr;
  const Listener* listener = nullptr;
  const HttpRule* rule = nullptr;  // null: the listener itself

  [[nodiscard]] service::VipKey key() const { return {balancer->address, listener->port, listener->protocol}; }
  // "listener tcp 192.0.2.10:80", "rule `api` of listener http 192.0.2.10:80".
  [[nodiscard]] std::string text() const;
  [[nodiscard]] Position at() const { return rule != nullptr ? rule->at : listener->at; }
  // Of the key that names the servers.
  [[nodiscard]] Position servers_at() const {
    return rule != nullptr ? rule->server_group_at : listener->server_group_at;
  }
  [[nodiscard]] Scheduler scheduler() const {
    return rule != nullptr ? rule->scheduler.value_or(listener->scheduler) : listener->scheduler;
  }
  [[nodiscard]] bool checks_health() const {
    return rule != nullptr && rule->health_check ? rule->health_check->enabled : listener->health_check.enabled;
  }
};

struct VipKeyHash {
  std::size_t operator()(const service::VipKey& key) const noexcept {
    const std::size_t rest = (std::size_t{key.port} << 8) | static_cast<std::size_t>(key.protocol);
    return std::hash<Address>{}(key.address) ^ (rest * 0x9e3779b97f4a7c15ULL);
  }
};

// The listeners of a configuration by their key.
using ListenerKeys = std::unordered_map<service::VipKey, ListenerRef, VipKeyHash>;

// validate_pairings.cc: listeners together with their servers.
void check_server_sets(const Config& config, const ListenerKeys& keys, Report& report);

struct ServerSet {
  std::span<const Server> servers;
  std::uint16_t port = 0;  // 0: each server has its own
  Protocol protocol = Protocol::tcp;
  std::string label;  // "group `web`"
  Position at;
  bool primary_secondary = false;
  std::vector<ListenerRef> listeners;  // a listener's rules that say nothing of their own stand here once

  // May a connection that cannot have one of the servers have another one?
  [[nodiscard]] bool has_choice() const { return servers.size() != 1 && !primary_secondary; }
  [[nodiscard]] service::VipKey endpoint(const Server& server) const {
    return {server.address, port == 0 ? server.port : port, protocol};
  }
};

// The sets of every listener and rule whose servers are known; those with unknown groups are left out.
[[nodiscard]] std::vector<ServerSet> server_sets(const Config& config);

// validate_one_sided.cc: those behind listeners of modes `dr` and `tunnel`.
void check_one_sided(const Config& config, const ServerSet& set, Report& report);

}  // namespace steelyard::control::config
