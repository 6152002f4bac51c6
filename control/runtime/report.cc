#include "control/runtime/report.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <map>
#include <set>

#include "control/metrics/prometheus_text.h"
#include "control/runtime/health_report.h"
#include "control/runtime/http_report.h"
#include "control/runtime/rules_report.h"
#include "control/runtime/runtime.h"
#include "control/runtime/traffic_report.h"
#include "control/version.h"

namespace steelyard::control::report {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point then) {
  return std::chrono::duration<double>(steady_clock::now() - then).count();
}

json::object server_status(const Runtime& runtime, const BackendPlan& backend, const Moment& now) {
  const Traffic traffic = runtime.traffic(backend.id);
  json::object object{{"name", backend.name},
                      {"address", backend.key.address.to_string()},
                      {"port", backend.port},
                      {"weight", backend.weight},
                      {"configured_weight", backend.configured_weight},
                      {"admin", admin_name(backend.admin)},
                      {"override", backend.overridden},
                      {"backup", backend.backup},
                      {"health", "unchecked"},
                      {"connections", traffic.active},
                      {"max_connections", backend.max_connections},
                      {"total_connections", traffic.connections},
                      {"turned_away", traffic.turned_away}};
  if (const auto health = backend.checked ? runtime.health(backend.id) : std::nullopt) {
    add_health(object, *health, now);
  }
  return object;
}

// One worker's packet accounting, by name: what `exact` is computed from.
struct Accounting {
  explicit Accounting(const worker::PacketCounters& counters)
      : inputs{{"received", counters.received.get()},
               {"from_kernel", counters.from_kernel.get()},
               {"handed_in", counters.handed_in.get()},
               {"relayed_in", counters.relayed_in.get()},
               {"generated", counters.generated.get()}},
        outputs{{"transmitted", counters.transmitted.get()},
                {"to_kernel", counters.to_kernel.get()},
                {"handed_out", counters.handed_out.get()},
                {"relayed_out", counters.relayed_out.get()},
                {"consumed", counters.consumed.get()}},
        waiting(counters.waiting.get()) {
    for (std::size_t reason = 0; reason < packet::drop_reasons; ++reason) {
      if (const std::uint64_t count = counters.drops[reason].get(); count != 0) {
        drops.emplace_back(packet::name(static_cast<packet::DropReason>(reason)), count);
      }
    }
  }
  using Named = std::vector<std::pair<std::string_view, std::uint64_t>>;
  [[nodiscard]] static std::uint64_t sum(const Named& named) {
    std::uint64_t total = 0;
    for (const auto& [name, count] : named) {
      total += count;
    }
    return total;
  }
  [[nodiscard]] bool exact() const { return sum(inputs) == sum(outputs) + sum(drops) + waiting; }

  Named inputs;
  Named outputs;
  Named drops;
  std::uint64_t waiting;
};

json::object to_json(const Accounting::Named& named) {
  json::object object;
  for (const auto& [name, count] : named) {
    object[name] = count;
  }
  return object;
}

Accounting::Named flow_counters(const l4::BalancerCounters& counters) {
  return {{"created", counters.flows_created.get()},
          {"adopted", counters.adopted.get()},
          {"expired", counters.flows_expired.get()},
          {"reset", counters.flows_reset.get()},
          {"half_open_expired", counters.half_open_expired.get()},
          {"half_open_replaced", counters.half_open_replaced.get()},
          {"lingering_recycled", counters.lingering_recycled.get()},
          {"resets_sent", counters.resets_sent.get()},
          {"unreachables_sent", counters.unreachables_sent.get()},
          {"errors_translated", counters.errors_translated.get()},
          {"tunnel_errors", counters.tunnel_errors.get()},
          {"persistence_hits", counters.persistence_hits.get()},
          {"persistence_asked_home", counters.persistence_asked_home.get()},
          {"redispatched", counters.redispatched.get()},
          {"client_options_sent", counters.client_options_sent.get()},
          {"client_options_no_room", counters.client_options_no_room.get()},
          {"proxy_headers_sent", counters.proxy_headers_sent.get()},
          {"proxy_headers_repeated", counters.proxy_headers_repeated.get()},
          {"proxy_headers_unanswered", counters.proxy_headers_unanswered.get()},
          {"ipv4", counters.flows_ipv4.get()},
          {"ipv6", counters.flows_ipv6.get()},
          {"half_open", counters.half_open.get()}};
}

json::object turns_to_json(const worker::TurnCounters& turns) {
  json::array histogram;
  for (std::size_t bucket = 0; bucket < worker::TurnCounters::buckets; ++bucket) {
    if (const std::uint64_t count = turns.nanoseconds[bucket].get(); count != 0) {
      histogram.push_back(json::object{{"below_ns", std::uint64_t{2} << bucket}, {"turns", count}});
    }
  }
  return {{"longest_ns", turns.longest_ns.get()},
          {"busy_ns", turns.busy_ns.get()},
          {"idle_turns", turns.idle_turns.get()},
          {"pauses", turns.pauses.get()},
          {"histogram", std::move(histogram)}};
}

json::object stages_to_json(const worker::StageMeter& stages) {
  json::object cycles;
  for (std::size_t stage = 0; stage < worker::stages; ++stage) {
    cycles[worker::stage_names[stage]] = stages.cycles(static_cast<worker::Stage>(stage));
  }
  return cycles;
}

json::object port_to_json(const worker::Dataplane& dataplane, std::size_t place) {
  const nic::Port& device = dataplane.device(place);
  json::object object{{"name", dataplane.port_name(place)}, {"link_up", device.link().up}};
  if (const std::uint16_t vlan = dataplane.vlan(place); vlan != 0) {
    object["vlan"] = vlan;  // its packets are counted where the device is
  } else {
    const nic::PortStatistics counted = device.statistics();
    object["rx_packets"] = counted.rx_packets;
    object["rx_bytes"] = counted.rx_bytes;
    object["tx_packets"] = counted.tx_packets;
    object["tx_bytes"] = counted.tx_bytes;
    object["rx_missed"] = counted.rx_missed;
    object["rx_errors"] = counted.rx_errors;
    object["rx_no_buffer"] = counted.rx_no_buffer;
    object["tx_errors"] = counted.tx_errors;
  }
  if (const auto exception = dataplane.exception_counters(place)) {
    object["exception"] = json::object{{"to_kernel", exception->to_kernel},
                                       {"to_kernel_rate", exception->to_kernel_rate},
                                       {"to_kernel_write_error", exception->to_kernel_write_error},
                                       {"from_kernel", exception->from_kernel},
                                       {"from_kernel_ring_full", exception->from_kernel_ring_full},
                                       {"from_kernel_no_buffer", exception->from_kernel_no_buffer},
                                       {"from_kernel_oversized", exception->from_kernel_oversized},
                                       {"from_kernel_read_error", exception->from_kernel_read_error}};
  }
  return object;
}

const config::LoadBalancer& balancer_of(const Runtime& runtime, const ListenerPlan& listener) {
  return runtime.plan().config->load_balancers[listener.balancer];
}
const config::Listener& settings_of(const Runtime& runtime, const ListenerPlan& listener) {
  return balancer_of(runtime, listener).listeners[listener.listener];
}

json::object checks_to_json(const healthcheck::CheckerCounters& counters) {
  return {{"probes", counters.probes},   {"targets", counters.targets},           {"in_flight", counters.in_flight},
          {"waiting", counters.waiting}, {"started", counters.started},           {"succeeded", counters.succeeded},
          {"failed", counters.failed},   {"local_errors", counters.local_errors}, {"delayed", counters.delayed},
          {"changes", counters.changes}};
}

// What the groups are, and who uses them; a server that is down behind any listener counts as down.
json::array groups_of(const Runtime& runtime) {
  struct Group {
    std::set<std::pair<service::Address, std::uint16_t>> servers;
    std::set<std::pair<service::Address, std::uint16_t>> down;
    std::uint64_t connections = 0;
    json::array used_by;
  };
  std::map<std::string, Group, std::less<>> groups;
  for (const config::ServerGroup& configured : runtime.plan().config->server_groups) {
    Group& group = groups[configured.name];
    for (const config::Server& server : configured.servers) {
      group.servers.emplace(server.address, server.port);
    }
  }
  for (const ListenerPlan& listener : runtime.plan().listeners) {
    if (listener.group.empty()) {
      continue;
    }
    Group& group = groups[listener.group];
    group.used_by.emplace_back(text_of(balancer_of(runtime, listener), settings_of(runtime, listener), listener));
    for (const BackendPlan& backend : listener.backends) {
      const std::pair endpoint{backend.key.address, backend.key.port};  // port 0 in a default group
      group.servers.insert(endpoint);
      if (backend.checked && !runtime.checker().is_up({backend.id.value})) {
        group.down.insert(endpoint);
      }
      group.connections += runtime.dataplane().active(backend.id);
    }
  }
  json::array shown;
  for (auto& [name, group] : groups) {
    shown.push_back(json::object{{"name", name},
                                 {"servers", group.servers.size()},
                                 {"servers_down", group.down.size()},
                                 {"connections", group.connections},
                                 {"used_by", std::move(group.used_by)}});
  }
  return shown;
}

// All of it but its servers.
json::object listener_status(const Runtime& runtime, const ListenerPlan& listener) {
  const config::Listener& settings = settings_of(runtime, listener);
  const service::Listener& built = *runtime.plan().snapshot->find(listener.id);
  json::object object = name_of(settings, listener);
  object["status"] = settings.running ? "running" : "stopped";
  object["scheduler"] = config::to_string(built.scheduler);
  object["group"] = listener.group;
  object["bytes_out"] = runtime.traffic(listener).bytes_out;
  if (built.http != nullptr) {
    add_http(object, settings, listener, *built.http);
  } else {
    object["mode"] = config::to_string(settings.mode);
    object["client_address"] = config::to_string(settings.client_address);
    object["persistence_timeout"] = settings.persistence_timeout.count();
    object["when_full"] = config::to_string(settings.when_full);
  }
  if (listener.rule.empty()) {
    if (built.http != nullptr) {
      object["clients"] = runtime.dataplane().terminated(listener.id);
    }
    object["bandwidth"] = settings.bandwidth;
    object["rules"] = rules_of(settings);
    object["refused"] = refused(runtime.refusals(listener.id));
  }
  return object;
}

// Octets set aside at start, for all workers.
json::object memory_of(const worker::DataplaneReport& report) {
  return {{"hugepages", report.hugepages},
          {"flow_tables", report.flow_table_bytes},
          {"packet_buffers", report.packet_buffer_bytes},
          {"connection_tables", report.connection_bytes}};
}

}  // namespace

std::string_view admin_name(AdminState state) {
  switch (state) {
    case AdminState::enabled:
      break;
    case AdminState::disabled:
      return "disabled";
    case AdminState::draining:
      return "draining";
  }
  return "enabled";
}

json::value status(const Runtime& runtime) {
  const Plan& plan = runtime.plan();
  const Moment now = Moment::now();
  json::array balancers;
  for (const config::LoadBalancer& balancer : plan.config->load_balancers) {
    balancers.push_back(json::object{{"name", balancer.name},
                                     {"address", balancer.address.to_string()},
                                     {"status", balancer.active ? "active" : "inactive"},
                                     {"listeners", json::array{}}});
  }
  for (const ListenerPlan& listener : plan.listeners) {
    json::array servers;
    std::uint64_t connections = 0;
    for (const BackendPlan& backend : listener.backends) {
      connections += runtime.dataplane().active(backend.id);
      servers.push_back(server_status(runtime, backend, now));
      if (listener.primary_secondary) {
        servers.back().as_object()["role"] = servers.size() == 1 ? "primary" : "secondary";
      }
    }
    json::object object = listener_status(runtime, listener);
    object["connections"] = connections;
    object["servers"] = std::move(servers);
    balancers[listener.balancer].as_object()["listeners"].as_array().push_back(std::move(object));
  }
  return json::object{{"version", version},
                      {"uptime_s", seconds_since(runtime.started().steady)},
                      {"config_file", runtime.options().config_file},
                      {"generation", plan.snapshot->generation},
                      {"workers", runtime.dataplane().workers()},
                      {"overrides", runtime.overrides()},
                      {"memory", memory_of(runtime.dataplane().report())},
                      {"load_balancers", std::move(balancers)},
                      {"groups", groups_of(runtime)}};
}

json::object buffers_to_json(const worker::Dataplane& dataplane, std::size_t worker) {
  json::object object;
  for (const worker::Dataplane::BufferUse& pool : dataplane.buffers(worker)) {
    object[pool.name] = json::object{{"size", pool.size}, {"used", pool.used}};
  }
  return object;
}

json::value stats(const Runtime& runtime) {
  const worker::Dataplane& dataplane = runtime.dataplane();
  json::array workers;
  for (std::size_t place = 0; place < dataplane.workers(); ++place) {
    const worker::Worker& worker = dataplane.worker(place);
    const Accounting accounting(worker.packets());
    workers.push_back(json::object{{"worker", place},
                                   {"accounting", json::object{{"inputs", to_json(accounting.inputs)},
                                                               {"outputs", to_json(accounting.outputs)},
                                                               {"drops", to_json(accounting.drops)},
                                                               {"queued", accounting.waiting},
                                                               {"exact", accounting.exact()}}},
                                   {"forwarded", worker.packets().forwarded.get()},
                                   {"fragments_forwarded", worker.packets().fragments_forwarded.get()},
                                   {"datagrams_tracked", worker.packets().datagrams_tracked.get()},
                                   {"echo_replies", worker.packets().echo_replies.get()},
                                   {"too_big_sent", worker.packets().too_big_sent.get()},
                                   {"split", worker.packets().split.get()},
                                   {"address_conflicts", worker.packets().address_conflicts.get()},
                                   {"flows", to_json(flow_counters(worker.balancer_counters()))},
                                   {"turns", turns_to_json(worker.turns())},
                                   {"buffers", buffers_to_json(dataplane, place)},
                                   {"cycles", stages_to_json(worker.stages())}});
    if (const http::ProxyCounters* counters = dataplane.http_counters(place)) {
      workers.back().as_object()["http"] = to_json(*counters);
    }
  }
  json::array listeners;
  for (const ListenerPlan& listener : runtime.plan().listeners) {
    const config::Listener& settings = settings_of(runtime, listener);
    json::array servers;
    for (const BackendPlan& backend : listener.backends) {
      const Traffic traffic = runtime.traffic(backend.id);
      json::object server{{"address", backend.key.address.to_string()}, {"port", backend.port}};
      put_into(server, traffic);
      if (settings.http) {
        server["requests"] = to_json(runtime.requests(backend.id));
      }
      servers.push_back(std::move(server));
    }
    json::object object = name_of(settings, listener);
    object["load_balancer"] = balancer_of(runtime, listener).name;
    // With those of servers that were removed, and of its rules' targets: it is their sum no more then.
    put_into(object, runtime.traffic(listener));
    if (listener.rule.empty()) {
      put_into(object, runtime.excess(listener.id), settings.bandwidth);
      object["refused"] = refused(runtime.refusals(listener.id));
      if (settings.http) {
        object["requests"] = to_json(runtime.requests(listener.id));
      }
    }
    object["servers"] = std::move(servers);
    listeners.push_back(std::move(object));
  }
  json::array ports;
  for (std::size_t place = 0; place < dataplane.ports(); ++place) {
    ports.push_back(port_to_json(dataplane, place));
  }
  return json::object{{"started", wall_time(runtime.started().steady, runtime.started())},
                      {"uptime_s", seconds_since(runtime.started().steady)},
                      {"workers", std::move(workers)},
                      {"listeners", std::move(listeners)},
                      {"ports", std::move(ports)},
                      {"health_checks", checks_to_json(runtime.checker().counters())},
                      {"adoption_ms", static_cast<double>(dataplane.adoption_ns()) / 1e6},
                      {"retired_snapshots", dataplane.retired()}};
}

std::string metrics(const Runtime& runtime) {
  const worker::Dataplane& dataplane = runtime.dataplane();
  PrometheusText text;
  for (std::size_t place = 0; place < dataplane.workers(); ++place) {
    const std::string worker = std::to_string(place);
    const Accounting accounting(dataplane.worker(place).packets());
    const auto add = [&](std::string_view name, std::string_view help, std::string_view label,
                         const Accounting::Named& named) {
      for (const auto& [value, count] : named) {
        text.counter(name, help).add({{"worker", worker}, {label, value}}, static_cast<double>(count));
      }
    };
    for (const worker::Dataplane::BufferUse& pool : dataplane.buffers(place)) {
      const PrometheusText::Labels labels{{"worker", worker}, {"pool", pool.name}};
      text.gauge("steelyard_packet_buffers", "Packet buffers, by what they are for.").add(labels, pool.size);
      text.gauge("steelyard_packet_buffers_used", "Those that hold something.").add(labels, pool.used);
    }
    add("steelyard_packets_in_total", "Packets that came to a worker, by source.", "source", accounting.inputs);
    add("steelyard_packets_out_total", "Packets that left a worker, by way.", "way", accounting.outputs);
    add("steelyard_packets_dropped_total", "Packets dropped, by reason.", "reason", accounting.drops);
    text.counter("steelyard_fragments_forwarded_total", "Fragments sent on.")
        .add({{"worker", worker}}, static_cast<double>(dataplane.worker(place).packets().fragments_forwarded.get()));
    text.gauge("steelyard_fragmented_datagrams", "Datagrams of which fragments are under way.")
        .add({{"worker", worker}}, dataplane.worker(place).packets().datagrams_tracked.get());
    const l4::BalancerCounters& balancer = dataplane.worker(place).balancer_counters();
    text.counter("steelyard_flows_created_total", "Layer-4 flows created.")
        .add({{"worker", worker}}, static_cast<double>(balancer.flows_created.get()));
    text.counter("steelyard_flows_adopted_total", "Layer-4 flows created in the middle of a connection (sch, tch).")
        .add({{"worker", worker}}, static_cast<double>(balancer.adopted.get()));
    text.gauge("steelyard_flows", "Layer-4 flows in the tables.")
        .add({{"worker", worker}, {"family", "ipv4"}}, balancer.flows_ipv4.get())
        .add({{"worker", worker}, {"family", "ipv6"}}, balancer.flows_ipv6.get());
    text.gauge("steelyard_flows_half_open", "Flows whose handshake is not complete.")
        .add({{"worker", worker}}, balancer.half_open.get());
    if (const http::ProxyCounters* counters = dataplane.http_counters(place)) {
      add_http(text, worker, *counters);
    }
    text.gauge("steelyard_worker_longest_turn_seconds", "Longest loop turn since start.")
        .add({{"worker", worker}}, static_cast<double>(dataplane.worker(place).turns().longest_ns.get()) / 1e9);
    text.counter("steelyard_worker_busy_seconds_total", "Time that turns with work took.")
        .add({{"worker", worker}}, static_cast<double>(dataplane.worker(place).turns().busy_ns.get()) / 1e9);
    for (std::size_t stage = 0; stage < worker::stages; ++stage) {
      text.counter("steelyard_worker_cycles_total", "CPU cycles of turns with work, by stage.")
          .add({{"worker", worker}, {"stage", worker::stage_names[stage]}},
               static_cast<double>(dataplane.worker(place).stages().cycles(static_cast<worker::Stage>(stage))));
    }
  }
  for (const ListenerPlan& listener : runtime.plan().listeners) {
    const config::Listener& settings = settings_of(runtime, listener);
    const std::string port = std::to_string(settings.port);
    PrometheusText::Labels name{{"load_balancer", balancer_of(runtime, listener).name},
                                {"protocol", config::protocol_name(settings)},
                                {"port", port}};
    if (!listener.rule.empty()) {
      name.emplace_back("rule", listener.rule);
    }
    // What its rules' targets have carried is in the listener's own: sums over listeners must not have it twice.
    if (listener.rule.empty()) {
      add_listener(text, name, runtime.traffic(listener), runtime.excess(listener.id), settings.bandwidth);
      add_refused(text, name, runtime.refusals(listener.id));
      if (settings.http) {
        add_requests(text, name, runtime.requests(listener.id));
      }
    }
    for (const BackendPlan& backend : listener.backends) {
      const Traffic traffic = runtime.traffic(backend.id);
      const std::string server = backend.key.address.to_string() + ' ' + std::to_string(backend.port);
      PrometheusText::Labels labels = name;
      labels.emplace_back("server", server);
      add_server(text, labels, traffic, backend.max_connections);
      if (settings.http) {
        add_requests(text, labels, runtime.requests(backend.id));
      }
      if (const auto health = backend.checked ? runtime.health(backend.id) : std::nullopt) {
        add_health(text, labels, *health);
      }
    }
  }
  add_checks(text, runtime.checker().counters());
  return text.str();
}

}  // namespace steelyard::control::report
