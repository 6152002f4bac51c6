#include "control/config/restart.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace steelyard::control::config {

namespace {

class Names {
 public:
  template <class Value>
  void compare(std::string_view name, const Value& running, const Value& wanted) {
    if (!(running == wanted)) {
      names_.emplace_back(name);
    }
  }
  void add(std::string name) { names_.push_back(std::move(name)); }
  [[nodiscard]] std::vector<std::string> take() { return std::move(names_); }

 private:
  std::vector<std::string> names_;
};

void compare_port(Names& names, const Port& running, const Port& wanted) {
  const std::string prefix = "ports[" + running.name + "].";
  names.compare(prefix + "device", running.device, wanted.device);
  names.compare(prefix + "vlan", running.vlan, wanted.vlan);
  names.compare(prefix + "addresses", running.addresses, wanted.addresses);
  names.compare(prefix + "mtu", running.mtu, wanted.mtu);
  names.compare(prefix + "exception.enabled", running.exception.enabled, wanted.exception.enabled);
  names.compare(prefix + "exception.name", running.exception.name, wanted.exception.name);
  names.compare(prefix + "exception.namespace", running.exception.network_namespace,
                wanted.exception.network_namespace);
  names.compare(prefix + "exception.manage", running.exception.manage, wanted.exception.manage);
}

void compare_ports(Names& names, const Config& running, const Config& wanted) {
  for (const Port& port : running.ports) {
    if (const auto index = find_port(wanted, port.name)) {
      compare_port(names, port, wanted.ports[*index]);
    } else {
      names.add("ports[" + port.name + "] (removed)");
    }
  }
  for (const Port& port : wanted.ports) {
    if (!find_port(running, port.name)) {
      names.add("ports[" + port.name + "] (added)");
    }
  }
  // Snapshots name a port by its place in the list.
  const auto name_of = [](const Port& port) -> const std::string& { return port.name; };
  const bool same_set = std::ranges::is_permutation(running.ports, wanted.ports, {}, name_of, name_of);
  if (same_set && !std::ranges::equal(running.ports, wanted.ports, {}, name_of, name_of)) {
    names.add("ports (order)");
  }
}

}  // namespace

std::vector<std::string> settings_that_need_restart(const Config& running, const Config& wanted) {
  Names names;
  names.compare("workers.count", running.workers.count, wanted.workers.count);
  names.compare("workers.cpus", running.workers.cpus, wanted.workers.cpus);
  names.compare("workers.idle", running.workers.idle, wanted.workers.idle);
  names.compare("workers.coalesce_us", running.workers.coalesce_us, wanted.workers.coalesce_us);
  names.compare("memory.hugepages", running.memory.hugepages, wanted.memory.hugepages);
  names.compare("memory.flows_ipv4", running.memory.flows_ipv4, wanted.memory.flows_ipv4);
  names.compare("memory.flows_ipv6", running.memory.flows_ipv6, wanted.memory.flows_ipv6);
  names.compare("memory.packet_buffers", running.memory.packet_buffers, wanted.memory.packet_buffers);
  names.compare("memory.connections", running.memory.connections, wanted.memory.connections);
  compare_ports(names, running, wanted);
  names.compare("local_addresses", running.local_addresses, wanted.local_addresses);
  names.compare("local_ports", running.local_ports, wanted.local_ports);
  // The kernel's side of the ports got its routes at start; health checks go by them.
  const bool kernel_routes = std::ranges::any_of(
      running.ports, [](const Port& port) { return port.exception.enabled && port.exception.manage; });
  if (kernel_routes) {
    names.compare("routes", running.routes, wanted.routes);
  }
  names.compare("metrics.listen", running.metrics, wanted.metrics);
  names.compare("cookie_key_file", running.cookie_key_file, wanted.cookie_key_file);
  return names.take();
}

}  // namespace steelyard::control::config
