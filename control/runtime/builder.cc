#include "control/runtime/builder.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "dataplane/worker/scratch.h"

namespace steelyard::control {
namespace {

// Longer than a flow lingers after its end (60 s), so that no worker knows an id any more when it is used again.
constexpr std::chrono::seconds id_quarantine{90};

boost::asio::ip::address to_asio(const service::Address& address) {
  if (address.is_v4()) {
    boost::asio::ip::address_v4::bytes_type bytes;
    std::ranges::copy(address.v4(), bytes.begin());
    return boost::asio::ip::address_v4(bytes);
  }
  boost::asio::ip::address_v6::bytes_type bytes;
  std::ranges::copy(address.v6(), bytes.begin());
  return boost::asio::ip::address_v6(bytes);
}

bool same_servers(const std::vector<service::Server>& left, const std::vector<service::Server>& right) {
  return std::ranges::equal(left, right, [](const service::Server& a, const service::Server& b) {
    return a.id == b.id && a.weight == b.weight && a.address == b.address && a.port == b.port &&
           a.max_connections == b.max_connections;
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
         a.connection_rate == b.connection_rate && a.per_source == b.per_source && a.client_address == b.client_address;
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

// The interface that probes of a server leave by; empty: as the kernel's routes say.
std::string probe_interface(const config::Config& config, const service::Address& server) {
  const auto port = config::egress_port(config, server);
  const bool usable = port && config.ports[*port].exception.enabled;
  return usable ? config.ports[*port].exception.name : std::string{};
}

healthcheck::ProbeSpec probe_of(const config::Config& config, const config::HealthCheck& check,
                                const service::Address& address, std::uint16_t port) {
  healthcheck::ProbeSpec spec;
  spec.address = to_asio(address);
  spec.port = check.port.value_or(port);
  spec.interval = check.interval;
  spec.timeout = check.timeout;
  spec.interface = probe_interface(config, address);
  switch (check.type) {
    case config::CheckType::tcp:
      spec.type = healthcheck::ProbeType::tcp;
      break;
    case config::CheckType::http:
      spec.type = healthcheck::ProbeType::http;
      spec.method =
          check.method == config::CheckMethod::get ? healthcheck::HttpMethod::get : healthcheck::HttpMethod::head;
      spec.path = check.path;
      spec.host = check.host;
      spec.accepted = {};
      for (unsigned hundreds = 1; hundreds <= 5; ++hundreds) {
        if (check.status[hundreds]) {
          spec.accepted.allow(hundreds);
        }
      }
      break;
    case config::CheckType::udp:
      spec.type = healthcheck::ProbeType::udp;
      spec.request = check.request;
      spec.expect = check.expect;
      break;
  }
  return spec;
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

// Whose connections may be adopted by a server's packet.
void find_hashed_servers(service::Snapshot& snapshot) {
  using Entry = service::ListenerIndex::Entry;
  std::vector<Entry> servers;
  bool any = false;
  for (const auto& listener : snapshot.listeners) {
    if (listener == nullptr || listener->mode != service::Mode::nat ||
        listener->key.protocol != service::Protocol::tcp) {
      continue;
    }
    any = any || service::by_hash(listener->scheduler);
    for (const service::Server& server : listener->servers) {
      servers.push_back({{server.address, server.port, listener->key.protocol}, listener->id});
    }
  }
  if (!any) {
    return;
  }
  std::ranges::sort(servers, {}, &Entry::key);
  std::vector<service::VipKey> hashed;
  std::vector<Entry> unambiguous;
  for (auto first = servers.begin(); first != servers.end();) {
    const auto next =
        std::find_if(first, servers.end(), [first](const Entry& entry) { return entry.key != first->key; });
    const bool by_hash = std::any_of(first, next, [&snapshot](const Entry& entry) {
      return service::by_hash(snapshot.find(entry.listener)->scheduler);
    });
    if (by_hash) {
      hashed.push_back(first->key);
      if (next - first == 1) {
        unambiguous.push_back(*first);
      }
    }
    first = next;
  }
  snapshot.hashed_servers = std::make_shared<service::EndpointSet>(hashed);
  snapshot.hashed_listeners = std::make_shared<service::ListenerIndex>(unambiguous);
}

// Counts go on as long as they are of the same things.
service::SourceLimits source_limits(const config::SourceLimits& wanted, const service::Listener* old,
                                    std::uint64_t generation) {
  const bool goes_on = old != nullptr && old->per_source.any() && old->per_source.ipv6_prefix == wanted.ipv6_prefix;
  return {wanted.max_connections, wanted.max_connection_rate, wanted.ipv6_prefix,
          goes_on ? old->per_source.generation : static_cast<std::uint32_t>(generation)};
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
  std::set<service::VipKey> listener_keys;
  std::set<BackendKey> backend_keys;
  std::vector<ListenerPlan> plans;
  std::vector<healthcheck::Target> targets;
  // By group, or load balancer with a default group, and the listener's server port.
  std::map<std::pair<const void*, std::uint16_t>, std::shared_ptr<const service::HashTable>> hash_tables;
};

PlanBuilder::PlanBuilder(std::size_t workers)
    : workers_(workers),
      listener_ids_(service::max_listeners, id_quarantine),
      backend_ids_(service::max_backends - 1, id_quarantine) {}

tl::expected<Plan, std::string> PlanBuilder::build(std::shared_ptr<const config::Config> config,
                                                   const Overrides& overrides, const Plan* previous) {
  Work work{*config, overrides, previous, {}, {}, {}, {}, {}, {}, {}};
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
  std::vector<service::ListenerIndex::Entry> entries;
  std::vector<service::VipKey> endpoints;
  for (const auto& listener : snapshot.listeners) {
    if (listener == nullptr) {
      continue;
    }
    entries.push_back({listener->key, listener->id});
    if (listener->mode == service::Mode::nat) {
      once_nat_.insert(listener->key);
    }
    // Connections that began in `nat` mode go on in it when the listener's mode has changed.
    for (const service::Server& server :
         once_nat_.contains(listener->key) ? listener->servers : std::vector<service::Server>{}) {
      endpoints.push_back({server.address, server.port, listener->key.protocol});
    }
  }
  std::erase_if(once_nat_, [&work](const service::VipKey& key) { return !work.listener_keys.contains(key); });
  const auto now = std::chrono::steady_clock::now();
  listener_ids_.retain(work.listener_keys, now);
  backend_ids_.retain(work.backend_keys, now);
  // Connections to what was removed may still run: every worker must go on to know whose their packets are.
  std::vector<service::VipKey> former;
  listener_ids_.for_each_retired([&former](const service::VipKey& key) { former.push_back(key); });
  backend_ids_.for_each_retired([&endpoints](const BackendKey& key) {
    endpoints.push_back({key.address, key.port, key.listener.protocol});
  });
  snapshot.former_listeners = std::make_shared<service::EndpointSet>(former);
  snapshot.index = std::make_shared<service::ListenerIndex>(entries);
  snapshot.nat_servers = std::make_shared<service::EndpointSet>(endpoints);
  find_hashed_servers(snapshot);
  const bool same_vips = previous != nullptr && std::ranges::equal(previous->snapshot->vips->all(), vips);
  snapshot.vips = same_vips ? previous->snapshot->vips : std::make_shared<service::AddressSet>(vips);
  return Plan{std::move(config), std::move(work.snapshot), std::move(work.plans), std::move(work.targets)};
}

tl::expected<void, std::string> PlanBuilder::add_listener(Work& work, std::size_t balancer_place,
                                                          std::size_t listener_place) {
  const config::LoadBalancer& balancer = work.config.load_balancers[balancer_place];
  const config::Listener& listener = balancer.listeners[listener_place];
  const service::VipKey key{balancer.address, listener.port, listener.protocol};
  const auto id = listener_ids_.assign(key);
  if (!id) {
    return tl::unexpected(id_limit("listeners", service::max_listeners));
  }
  work.listener_keys.insert(key);
  const auto named = work.groups.find(listener.server_group);
  const config::ServerGroup* group = named == work.groups.end() ? nullptr : named->second;

  auto built = std::make_shared<service::Listener>();
  built->id = {static_cast<std::uint16_t>(*id)};
  built->key = key;
  built->mode = listener.mode;
  built->scheduler = listener.scheduler;
  built->running = listener.running && balancer.active;
  built->on_unhealthy = listener.on_unhealthy;
  built->on_removed = listener.on_removed;
  built->established_timeout = listener.established_timeout;
  built->persistence_timeout = listener.persistence_timeout;
  built->slow_start = listener.slow_start;
  built->strip_timestamps = listener.strip_timestamps;
  built->when_full = listener.when_full;
  built->bandwidth = std::uint64_t{listener.bandwidth} * 1'000'000 / 8;
  built->client_address = listener.client_address;
  built->connection_rate = listener.max_connection_rate;
  const service::Listener* old = work.previous != nullptr ? work.previous->snapshot->find(built->id) : nullptr;
  if (listener.per_source) {
    built->per_source = source_limits(*listener.per_source, old, generation_);
  }
  built->access = access_controls_.get(work.config, listener.access_control);
  built->primary_secondary = group != nullptr && group->primary_secondary;
  ListenerPlan plan{built->id,
                    balancer_place,
                    listener_place,
                    group != nullptr ? group->name : balancer.name,
                    built->primary_secondary,
                    {}};
  for (const config::Server& server : config::servers_of(balancer, listener, group)) {
    const BackendKey backend_key{key, server.address, server.port};
    const auto backend = backend_ids_.assign(backend_key);
    if (!backend) {
      return tl::unexpected(id_limit("servers of listeners", service::max_backends - 1));
    }
    work.backend_keys.insert(backend_key);
    const ServerKey server_key{plan.group, server.address, group != nullptr ? server.port : std::uint16_t{0}};
    BackendPlan entry{{*backend},
                      server_key,
                      server.name,
                      server.port,
                      server.weight,
                      server.weight,
                      AdminState::enabled,
                      false,
                      listener.health_check.enabled,
                      server.max_connections};
    const std::uint8_t weight = take_override(entry, work.overrides);
    built->servers.push_back({server.address, server.port, weight, entry.id, server.max_connections});
    built->limited = built->limited || server.max_connections != 0;
    plan.backends.push_back(std::move(entry));
  }
  std::shared_ptr<const service::Listener> result = built;
  if (old != nullptr && same_settings(*old, *built) && same_servers(old->servers, built->servers)) {
    result = work.previous->snapshot->listeners[built->id.value];
  } else {
    built->servers_generation = generation_;
    built->state = std::make_shared<service::ListenerState>(built->servers.size());
    if (service::by_hash(built->scheduler)) {
      const void* owner = group != nullptr ? static_cast<const void*>(group) : &balancer;
      auto& table = work.hash_tables[{owner, listener.server_port}];
      if (table == nullptr) {
        table = old != nullptr && old->hash_table != nullptr && same_endpoints(old->servers, built->servers)
                    ? old->hash_table
                    : std::make_shared<const service::HashTable>(worker::build_hash_table(built->servers));
      }
      built->hash_table = table;
    }
    const std::size_t words = worker::scratch_words(built->scheduler, built->servers.size());
    for (std::size_t worker = 0; worker < workers_; ++worker) {
      built->scratch.push_back(std::make_unique<std::uint32_t[]>(words));
    }
  }
  auto& slots = work.snapshot->listeners;
  slots.resize(std::max<std::size_t>(slots.size(), *id + 1));
  slots[*id] = std::move(result);
  add_targets(work, listener, plan);
  work.plans.push_back(std::move(plan));
  return {};
}

void PlanBuilder::add_targets(Work& work, const config::Listener& listener, const ListenerPlan& plan) {
  if (!listener.health_check.enabled) {
    return;
  }
  const config::HealthCheck& check = listener.health_check;
  for (const BackendPlan& backend : plan.backends) {
    healthcheck::Target target;
    target.id = {backend.id.value};
    target.probe = probe_of(work.config, check, backend.key.address, backend.port);
    target.thresholds.healthy = check.healthy_threshold;
    target.thresholds.unhealthy = check.unhealthy_threshold;
    work.targets.push_back(std::move(target));
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
                              const std::function<bool(service::BackendId)>& idle) {
  backend_ids_.release(now, [&idle](const BackendKey&, std::uint32_t id) { return idle(service::BackendId{id}); });
  // A removed listener's connections are counted under its backends.
  std::set<service::VipKey> in_use;
  backend_ids_.for_each_retired([&in_use](const BackendKey& key) { in_use.insert(key.listener); });
  listener_ids_.release(now, [&in_use](const service::VipKey& key, std::uint32_t) { return !in_use.contains(key); });
}

}  // namespace steelyard::control
