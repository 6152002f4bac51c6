#include "control/runtime/builder.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "control/runtime/hashed_servers.h"
#include "control/runtime/http_targets.h"
#include "control/runtime/probe_spec.h"
#include "dataplane/worker/scratch.h"

namespace steelyard::control {
namespace {

// Longer than a flow lingers after its end (60 s), so that no worker knows an id any more when it is used again.
constexpr std::chrono::seconds id_quarantine{90};

bool same_servers(const std::vector<service::Server>& left, const std::vector<service::Server>& right) {
  return std::ranges::equal(left, right, [](const service::Server& a, const service::Server& b) {
    return a.id == b.id && a.weight == b.weight && a.address == b.address && a.port == b.port &&
           a.max_connections == b.max_connections && a.backup == b.backup;
  });
}

bool same_endpoints(const std::vector<service::Server>& left, const std::vector<service::Server>& right) {
  return std::ranges::equal(left, right, [](const service::Server& a, const service::Server& b) {
    return a.address == b.address && a.port == b.port;
  });
}

bool same_settings(const service::Listener& a, const service::Listener& b) {
  return a.key == b.key && a.mode == b.mode && a.scheduler == b.scheduler && a.running == b.running &&
         a.on_unhealthy == b.on_unhealthy && a.on_removed == b.on_removed &&
         a.established_timeout == b.established_timeout && a.persistence_timeout == b.persistence_timeout &&
         a.slow_start == b.slow_start && a.strip_timestamps == b.strip_timestamps && a.when_full == b.when_full &&
         a.bandwidth == b.bandwidth && a.access == b.access && a.primary_secondary == b.primary_secondary &&
         a.connection_rate == b.connection_rate && a.per_source == b.per_source &&
         a.client_address == b.client_address && a.http == b.http;
}

std::vector<service::Route> routes_of(const config::Config& config) {
  std::vector<service::Route> routes;
  for (std::size_t port = 0; port < config.ports.size(); ++port) {
    for (const config::PortAddress& address : config.ports[port].addresses) {
      routes.push_back({address.prefix.network(), {}, true, {static_cast<std::uint16_t>(port)}});
    }
  }
  for (const config::Route& route : config.routes) {
    const auto port = config::egress_port(config, route);
    routes.push_back({route.to, route.via, false, {static_cast<std::uint16_t>(port.value_or(0))}});
  }
  std::ranges::stable_sort(routes, std::ranges::greater{},
                           [](const service::Route& route) { return route.destination.length; });
  return routes;
}

// The weight that workers see, with what the administrator has said.
std::uint8_t take_override(BackendPlan& backend, const Overrides& overrides) {
  const auto changed = overrides.find(backend.key);
  backend.overridden = changed != overrides.end();
  backend.admin = backend.overridden ? changed->second.state : AdminState::enabled;
  backend.weight =
      backend.overridden ? changed->second.weight.value_or(backend.configured_weight) : backend.configured_weight;
  return backend.admin == AdminState::enabled ? backend.weight : std::uint8_t{0};
}

// Counts go on as long as they are of the same things.
service::SourceLimits source_limits(const config::SourceLimits& wanted, const service::Listener* old,
                                    std::uint64_t generation) {
  const bool goes_on = old != nullptr && old->per_source.any() && old->per_source.ipv6_prefix == wanted.ipv6_prefix;
  return {wanted.max_connections, wanted.max_connection_rate, wanted.ipv6_prefix,
          goes_on ? old->per_source.generation : static_cast<std::uint32_t>(generation), wanted.max_request_rate};
}

std::string id_limit(const char* what, std::size_t limit) {
  return std::string("too many ") + what + ": at most " + std::to_string(limit) +
         " can be known at a time, those that were removed in the last minutes included";
}

}  // namespace

struct PlanBuilder::Work {
  const config::Config& config;
  const Overrides& overrides;
  const Plan* previous;
  std::unordered_map<std::string_view, const config::ServerGroup*> groups;
  std::shared_ptr<service::Snapshot> snapshot = std::make_shared<service::Snapshot>();
  std::set<ListenerKey> listener_keys;
  std::set<BackendKey> backend_keys;
  std::vector<ListenerPlan> plans;
  std::vector<healthcheck::Target> targets;
  // By group, or load balancer with a default group, and the listener's server port.
  std::map<std::pair<const void*, std::uint16_t>, std::shared_ptr<const service::HashTable>> hash_tables;
  std::vector<service::ListenerIndex::Entry> entries;
  std::vector<service::VipKey> nat_servers;
  std::vector<service::VipKey> terminated;

  [[nodiscard]] const config::ServerGroup* find_group(std::string_view name) const {
    const auto found = groups.find(name);
    return found == groups.end() ? nullptr : found->second;
  }
};

// A listener to be: one of the configuration, or a target of its rules.
struct PlanBuilder::Wanted {
  std::size_t balancer_place;
  std::size_t listener_place;
  const config::LoadBalancer& balancer;
  const config::Listener& listener;
  service::ListenerId id;
  ListenerKey key;
  std::string rule;
  const config::ServerGroup* group;  // null: the default group, or none at all
  config::Scheduler scheduler;
  const config::HealthCheck& health_check;
  std::shared_ptr<const service::HttpSettings> http;

  [[nodiscard]] bool is_target() const { return !key.target.empty(); }
  [[nodiscard]] std::string group_name() const {
    if (group != nullptr) {
      return group->name;
    }
    return listener.server_port != 0 ? balancer.name : std::string{};
  }
};

PlanBuilder::PlanBuilder(std::size_t workers, const http::CookieKey& cookie_key)
    : workers_(workers),
      cookie_key_(cookie_key),
      listener_ids_(service::max_listeners, id_quarantine),
      backend_ids_(service::max_backends - 1, id_quarantine) {}

tl::expected<Plan, std::string> PlanBuilder::build(std::shared_ptr<const config::Config> config,
                                                   const Overrides& overrides, const Plan* previous) {
  Work work{*config, overrides, previous, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  work.snapshot = std::make_shared<service::Snapshot>();
  access_controls_.begin();
  for (const config::ServerGroup& group : config->server_groups) {
    work.groups.emplace(group.name, &group);
  }
  service::Snapshot& snapshot = *work.snapshot;
  snapshot.generation = ++generation_;
  snapshot.routes = routes_of(*config);
  snapshot.reset_unknown_tcp = config->reset_unknown_tcp;
  snapshot.pass_unmatched = config->pass_unmatched;
  std::vector<service::Address> vips;
  for (std::size_t balancer = 0; balancer < config->load_balancers.size(); ++balancer) {
    vips.push_back(config->load_balancers[balancer].address);
    for (std::size_t place = 0; place < config->load_balancers[balancer].listeners.size(); ++place) {
      if (auto added = add_listener(work, balancer, place); !added) {
        return tl::unexpected(added.error());
      }
    }
  }
  std::ranges::sort(vips);
  vips.erase(std::unique(vips.begin(), vips.end()), vips.end());
  for (const ListenerPlan& plan : work.plans) {
    if (plan.key.target.empty()) {
      index(work, *snapshot.find(plan.id));
    }
  }
  index_retired(work);
  snapshot.index = std::make_shared<service::ListenerIndex>(work.entries);
  snapshot.nat_servers = std::make_shared<service::EndpointSet>(work.nat_servers);
  snapshot.terminated = std::make_shared<service::EndpointSet>(work.terminated);
  find_hashed_servers(snapshot);
  const bool same_vips = previous != nullptr && std::ranges::equal(previous->snapshot->vips->all(), vips);
  snapshot.vips = same_vips ? previous->snapshot->vips : std::make_shared<service::AddressSet>(vips);
  return Plan{std::move(config), std::move(work.snapshot), std::move(work.plans), std::move(work.targets)};
}

// Where packets find a listener and its servers.
void PlanBuilder::index(Work& work, const service::Listener& built) {
  work.entries.push_back({built.key, built.id});
  if (built.http != nullptr) {
    once_http_.insert_or_assign(built.key, OnceHttp{built.id, false});
  }
  if (const auto known = once_http_.find(built.key); known != once_http_.end()) {
    known->second.layer4_now = built.http == nullptr;
    work.terminated.push_back(built.key);
  }
  if (built.mode == service::Mode::nat) {
    once_nat_.insert(built.key);
  }
  // Connections that began in `nat` mode go on in it when the listener's mode has changed.
  if (once_nat_.contains(built.key)) {
    for (const service::Server& server : built.servers) {
      work.nat_servers.push_back({server.address, server.port, built.key.protocol});
    }
  }
}

// Connections to what was removed may still run: every worker must go on to know whose their packets are.
void PlanBuilder::index_retired(Work& work) {
  std::erase_if(once_nat_, [&work](const service::VipKey& key) { return !work.listener_keys.contains({key, {}}); });
  const auto now = std::chrono::steady_clock::now();
  listener_ids_.retain(work.listener_keys, now);
  backend_ids_.retain(work.backend_keys, now);
  std::vector<service::VipKey> former;
  listener_ids_.for_each_retired([&](const ListenerKey& key) {
    if (key.target.empty()) {
      (once_http_.contains(key.vip) ? work.terminated : former).push_back(key.vip);
    }
  });
  work.snapshot->former_listeners = std::make_shared<service::EndpointSet>(former);
  backend_ids_.for_each_retired([&](const BackendKey& key) {
    const service::VipKey& vip = key.listener.vip;
    const bool of_http = !key.listener.target.empty() || (once_http_.contains(vip) && !once_nat_.contains(vip));
    if (!of_http) {
      work.nat_servers.push_back({key.address, key.port, vip.protocol});
    }
  });
  std::set<service::VipKey> known(work.terminated.begin(), work.terminated.end());
  std::erase_if(once_http_, [&known](const auto& entry) { return !known.contains(entry.first); });
}

tl::expected<service::ListenerId, std::string> PlanBuilder::assign(Work& work, const ListenerKey& key) {
  const auto id = listener_ids_.assign(key);
  if (!id) {
    return tl::unexpected(id_limit("listeners and rules of http listeners", service::max_listeners));
  }
  work.listener_keys.insert(key);
  return service::ListenerId{static_cast<std::uint16_t>(*id)};
}

// The listener, and behind it the targets of its rules.
tl::expected<void, std::string> PlanBuilder::add_listener(Work& work, std::size_t balancer_place,
                                                          std::size_t listener_place) {
  const config::LoadBalancer& balancer = work.config.load_balancers[balancer_place];
  const config::Listener& listener = balancer.listeners[listener_place];
  const service::VipKey vip{balancer.address, listener.port, listener.protocol};
  const auto own = assign(work, {vip, {}});
  if (!own) {
    return tl::unexpected(own.error());
  }
  const HttpTargets http = listener.http ? http_targets(listener) : HttpTargets{};
  std::vector<service::ListenerId> ids;
  for (const HttpTarget& target : http.targets) {
    const auto id = assign(work, {vip, target.name});
    if (!id) {
      return tl::unexpected(id.error());
    }
    ids.push_back(*id);
  }
  std::shared_ptr<service::HttpSettings> settings;
  if (listener.http) {
    settings = std::make_shared<service::HttpSettings>(http_settings(balancer, *listener.http));
    std::vector<service::ForwardingRule> rules;
    for (std::size_t place = 0; place < http.of_rule.size(); ++place) {
      const config::HttpRule& rule = listener.http->rules[place];
      const std::size_t target = http.of_rule[place];
      rules.push_back({rule.domain, rule.url, target == HttpTargets::listener ? *own : ids[target]});
    }
    settings->rules = rules.empty() ? nullptr : std::make_shared<const service::ForwardingRules>(std::move(rules));
  }
  auto added = add(work, {balancer_place,
                          listener_place,
                          balancer,
                          listener,
                          *own,
                          {vip, {}},
                          {},
                          work.find_group(listener.server_group),
                          listener.scheduler,
                          listener.health_check,
                          settings});
  for (std::size_t place = 0; added && place < ids.size(); ++place) {
    const HttpTarget& target = http.targets[place];
    added = add(work, {balancer_place,
                       listener_place,
                       balancer,
                       listener,
                       ids[place],
                       {vip, target.name},
                       target.rules,
                       work.find_group(target.group),
                       target.scheduler,
                       target.health_check,
                       std::make_shared<service::HttpSettings>(http_settings(balancer, *listener.http, target))});
  }
  return added;
}

tl::expected<void, std::string> PlanBuilder::add(Work& work, const Wanted& wanted) {
  const config::Listener& listener = wanted.listener;
  auto built = std::make_shared<service::Listener>();
  built->id = wanted.id;
  built->key = wanted.key.vip;
  built->mode = listener.mode;
  built->scheduler = wanted.scheduler;
  built->running = listener.running && wanted.balancer.active;
  built->on_unhealthy = listener.on_unhealthy;
  built->on_removed = listener.on_removed;
  built->established_timeout = listener.established_timeout;
  built->persistence_timeout = listener.persistence_timeout;
  built->slow_start = listener.slow_start;
  built->strip_timestamps = listener.strip_timestamps;
  built->when_full = listener.when_full;
  built->client_address = listener.client_address;
  built->primary_secondary = wanted.group != nullptr && wanted.group->primary_secondary;
  const service::Listener* old = work.previous != nullptr ? work.previous->snapshot->find(built->id) : nullptr;
  // Who comes in, and what he may take, is decided once, by the listener.
  if (!wanted.is_target()) {
    built->bandwidth = std::uint64_t{listener.bandwidth} * 1'000'000 / 8;
    built->connection_rate = listener.max_connection_rate;
    if (listener.per_source) {
      built->per_source = source_limits(*listener.per_source, old, generation_);
    }
    built->access = access_controls_.get(work.config, listener.access_control);
  }
  built->http = old != nullptr && same_http(old->http.get(), wanted.http.get()) ? old->http : wanted.http;
  ListenerPlan plan{wanted.id,           wanted.key,  wanted.balancer_place,    wanted.listener_place,
                    wanted.group_name(), wanted.rule, built->primary_secondary, {}};
  if (auto added = add_servers(work, wanted, *built, plan); !added) {
    return added;
  }
  std::shared_ptr<const service::Listener> result = built;
  if (old != nullptr && same_settings(*old, *built) && same_servers(old->servers, built->servers)) {
    result = work.previous->snapshot->listeners[built->id.value];
  } else {
    complete(work, wanted, old, *built);
  }
  auto& slots = work.snapshot->listeners;
  slots.resize(std::max<std::size_t>(slots.size(), std::size_t{wanted.id.value} + 1));
  slots[wanted.id.value] = std::move(result);
  work.plans.push_back(std::move(plan));
  return {};
}

tl::expected<void, std::string> PlanBuilder::add_servers(Work& work, const Wanted& wanted, service::Listener& built,
                                                         ListenerPlan& plan) {
  const config::HealthCheck& check = wanted.health_check;
  for (const config::Server& server : config::servers_of(wanted.balancer, wanted.listener, wanted.group)) {
    const BackendKey backend_key{wanted.key, server.address, server.port};
    const auto backend = backend_ids_.assign(backend_key);
    if (!backend) {
      return tl::unexpected(id_limit("servers of listeners", service::max_backends - 1));
    }
    work.backend_keys.insert(backend_key);
    const ServerKey server_key{plan.group, server.address, wanted.group != nullptr ? server.port : std::uint16_t{0}};
    BackendPlan entry{{*backend},    server_key,          server.name, server.port,   server.weight,
                      server.weight, AdminState::enabled, false,       check.enabled, server.max_connections,
                      server.backup};
    const std::uint8_t weight = take_override(entry, work.overrides);
    built.servers.push_back({server.address, server.port, weight, entry.id, server.max_connections, server.backup});
    built.limited = built.limited || server.max_connections != 0;
    if (check.enabled) {
      healthcheck::Target target;
      target.id = {entry.id.value};
      target.probe = probe_of(work.config, check, server.address, server.port);
      target.thresholds.healthy = check.healthy_threshold;
      target.thresholds.unhealthy = check.unhealthy_threshold;
      work.targets.push_back(std::move(target));
    }
    plan.backends.push_back(std::move(entry));
  }
  return {};
}

// What a listener has that is new, or has changed, beside what the configuration says.
void PlanBuilder::complete(Work& work, const Wanted& wanted, const service::Listener* old, service::Listener& built) {
  const bool same_places = old != nullptr && same_endpoints(old->servers, built.servers);
  built.servers_generation = generation_;
  built.state = std::make_shared<service::ListenerState>(built.servers.size());
  if (service::by_hash(built.scheduler)) {
    const bool named = wanted.group != nullptr;
    const void* owner = named ? static_cast<const void*>(wanted.group) : &wanted.balancer;
    auto& table = work.hash_tables[{owner, named ? std::uint16_t{0} : wanted.listener.server_port}];
    if (table == nullptr) {
      table = same_places && old->hash_table != nullptr
                  ? old->hash_table
                  : std::make_shared<const service::HashTable>(worker::build_hash_table(built.servers));
    }
    built.hash_table = table;
  }
  if (built.http != nullptr) {
    built.tags =
        same_places && old->tags != nullptr ? old->tags : worker::build_server_tags(cookie_key_, built.servers);
  }
  const std::size_t words = worker::scratch_words(built.scheduler, built.servers.size());
  for (std::size_t worker = 0; worker < workers_; ++worker) {
    built.scratch.push_back(std::make_unique<std::uint32_t[]>(words));
  }
}

void PlanBuilder::override_group(Plan& plan, const Overrides& overrides, std::string_view group) {
  auto snapshot = std::make_shared<service::Snapshot>(*plan.snapshot);
  snapshot->generation = ++generation_;
  for (ListenerPlan& listener : plan.listeners) {
    if (listener.group != group) {
      continue;
    }
    auto changed = std::make_shared<service::Listener>(*snapshot->listeners[listener.id.value]);
    changed->servers_generation = generation_;
    for (std::size_t place = 0; place < listener.backends.size(); ++place) {
      changed->servers[place].weight = take_override(listener.backends[place], overrides);
    }
    snapshot->listeners[listener.id.value] = std::move(changed);
  }
  plan.snapshot = std::move(snapshot);
}

void PlanBuilder::release_ids(std::chrono::steady_clock::time_point now,
                              const std::function<bool(service::BackendId)>& idle,
                              const std::function<bool(service::ListenerId)>& left) {
  backend_ids_.release(now, [&idle](const BackendKey&, std::uint32_t id) { return idle(service::BackendId{id}); });
  // A removed listener's connections are counted under its backends, and those of its targets are its own, too.
  std::set<ListenerKey> in_use;
  backend_ids_.for_each_retired([&in_use](const BackendKey& key) {
    in_use.insert(key.listener);
    in_use.insert({key.listener.vip, {}});
  });
  listener_ids_.release(now, [&in_use, &left](const ListenerKey& key, std::uint32_t id) {
    return !in_use.contains(key) && left(service::ListenerId{static_cast<std::uint16_t>(id)});
  });
  std::erase_if(once_http_, [&left](const auto& entry) { return entry.second.layer4_now && left(entry.second.id); });
}

}  // namespace steelyard::control
