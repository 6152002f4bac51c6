#include "control/config/server_sets.h"

#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "control/config/checks.h"

namespace steelyard::control::config {

std::string ListenerRef::text() const {
  return (rule != nullptr ? "rule " + in_quotes(rule->name) + " of " : std::string{}) + "listener " +
         std::string(protocol_name(*listener)) + ' ' + endpoint_text(balancer->address, listener->port);
}

namespace {

class SetBuilder {
 public:
  explicit SetBuilder(const Config& config) {
    for (const ServerGroup& group : config.server_groups) {
      groups_.try_emplace(group.name, &group);
    }
  }

  void add(const ListenerRef& ref) {
    const Listener& listener = *ref.listener;
    const std::string_view name = ref.rule != nullptr ? ref.rule->server_group : listener.server_group;
    if (name.empty()) {
      if (ref.rule == nullptr && listener.server_port != 0) {
        set_of(ref, nullptr).listeners.push_back(ref);
      }
    } else if (const auto group = groups_.find(name); group != groups_.end()) {
      set_of(ref, group->second).listeners.push_back(ref);
    }
  }

  // Rules that say nothing of their own are together what one of them is alone.
  void add_rules(const LoadBalancer& balancer, const Listener& listener) {
    std::unordered_set<std::string_view> plain{listener.server_group};
    for (const HttpRule& rule : listener.http->rules) {
      const bool has_own = rule.scheduler || rule.sticky_session || rule.health_check;
      if (has_own || plain.insert(rule.server_group).second) {
        add({&balancer, &listener, &rule});
      }
    }
  }

  [[nodiscard]] std::vector<ServerSet> take() { return std::move(sets_); }

 private:
  // `group` null: the default one.
  ServerSet& set_of(const ListenerRef& ref, const ServerGroup* group) {
    const LoadBalancer& balancer = *ref.balancer;
    const Protocol protocol = ref.listener->protocol;
    const void* owner = group == nullptr ? static_cast<const void*>(&balancer) : group;
    const std::uint16_t port = group == nullptr ? ref.listener->server_port : std::uint16_t{0};
    const auto [place, is_new] = index_.try_emplace({owner, port, protocol}, sets_.size());
    if (is_new && group == nullptr) {
      sets_.push_back({balancer.default_group,
                       port,
                       protocol,
                       "the default group of " + in_quotes(balancer.name),
                       balancer.at,
                       false,
                       {}});
    } else if (is_new) {
      sets_.push_back(
          {group->servers, port, protocol, "group " + in_quotes(group->name), group->at, group->primary_secondary, {}});
    }
    return sets_[place->second];
  }

  std::unordered_map<std::string_view, const ServerGroup*> groups_;
  std::vector<ServerSet> sets_;
  std::map<std::tuple<const void*, std::uint16_t, Protocol>, std::size_t> index_;
};

}  // namespace

std::vector<ServerSet> server_sets(const Config& config) {
  SetBuilder sets(config);
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      sets.add({&balancer, &listener});
      if (listener.http) {
        sets.add_rules(balancer, listener);
      }
    }
  }
  return sets.take();
}

}  // namespace steelyard::control::config
