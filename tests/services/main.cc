// steelyard_tcp_services: the userspace TCP on a real device, for tests from outside. It answers ARP, ND and echo
// requests for its addresses, serves echo, discard and source, and does socket calls for whoever connects to the
// control channel (tests/README.md). One worker.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "dataplane/worker/dataplane.h"
#include "tests/services/control_channel.h"
#include "tests/services/services.h"

namespace {

using namespace steelyard;

struct Arguments {
  std::string device;
  std::string control;
  std::vector<std::string> addresses;
  std::vector<std::string> gateways;
  std::uint16_t mtu = 1'500;
  std::uint16_t cpu = 0;
  std::uint32_t packet_buffers = 16'384;
  std::uint32_t most_held = 0;
  std::size_t queue_nodes = 65'536;
  std::size_t connections = 16'384;
  std::size_t half_open = 4'096;
  bool busy = false;
  test::ServicePorts ports;
};

service::Prefix prefix_of(const std::string& text) {
  const auto prefix = service::Prefix::parse(text);
  if (!prefix) {
    throw CLI::ValidationError("--address", text + " is no address with a prefix length");
  }
  return *prefix;
}

// The addresses are VIPs without listeners: what comes for them is nobody's, and so the services'.
std::shared_ptr<const service::Snapshot> snapshot_of(const Arguments& arguments) {
  auto snapshot = std::make_shared<service::Snapshot>();
  std::vector<service::Address> vips;
  for (const std::string& text : arguments.addresses) {
    const service::Prefix prefix = prefix_of(text);
    vips.push_back(prefix.address);
    snapshot->routes.push_back({prefix, {}, true, service::PortIndex{0}});
  }
  for (const std::string& text : arguments.gateways) {
    const auto gateway = service::Address::parse(text);
    if (!gateway) {
      throw CLI::ValidationError("--gateway", text + " is no address");
    }
    const service::Prefix all = *service::Prefix::parse(gateway->is_v4() ? "0.0.0.0/0" : "::/0");
    snapshot->routes.push_back({all, *gateway, false, service::PortIndex{0}});
  }
  snapshot->vips = std::make_shared<service::AddressSet>(vips);
  snapshot->index = std::make_shared<service::ListenerIndex>();
  snapshot->nat_servers = std::make_shared<service::EndpointSet>();
  return snapshot;
}

worker::DataplaneSettings settings_of(const Arguments& arguments, worker::TcpApplication& application) {
  worker::DataplaneSettings settings;
  settings.worker_cpus = {arguments.cpu};
  settings.adaptive = !arguments.busy;
  settings.flows_v4 = settings.flows_v6 = 1'024;
  settings.packet_buffers = arguments.packet_buffers;
  worker::PortPlan port;
  port.name = "wire";
  port.device = arguments.device;
  port.mtu = arguments.mtu;
  worker::TcpPlan plan;
  for (const std::string& text : arguments.addresses) {
    port.addresses.push_back(prefix_of(text));
    plan.addresses.push_back(port.addresses.back().address);
  }
  settings.ports.push_back(std::move(port));
  plan.applications = {&application};
  plan.most_held = arguments.most_held;
  plan.queue_nodes = arguments.queue_nodes;
  plan.limits = {
      .connections = arguments.connections, .half_open = arguments.half_open, .time_wait = arguments.connections};
  settings.tcp = std::move(plan);
  return settings;
}

int serve(const Arguments& arguments) {
  tcp::Settings defaults;
  defaults.mtu = arguments.mtu;
  test::Services services(defaults, arguments.ports);
  auto dataplane = worker::Dataplane::start(settings_of(arguments, services), snapshot_of(arguments));
  if (!dataplane) {
    std::fprintf(stderr, "steelyard_tcp_services: %s\n", dataplane.error().message.c_str());
    return 1;
  }
  boost::asio::io_context context;
  const test::ControlChannel channel(context, arguments.control, services.calls(), services.answers());
  boost::asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&context](const boost::system::error_code&, int) { context.stop(); });
  std::puts("ready");
  std::fflush(stdout);
  context.run();
  dataplane->reset();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"The userspace TCP on a device: echo, discard, source, and sockets by a control channel"};
  app.add_option("--device", arguments.device, "DPDK device, net_af_packet0,iface=NAME for one")->required();
  app.add_option("--address", arguments.addresses, "own address with prefix length, several times")->required();
  app.add_option("--gateway", arguments.gateways, "next hop of what is not on the link, one of each family");
  app.add_option("--control", arguments.control, "path of the Unix socket")->required();
  app.add_option("--mtu", arguments.mtu, "bytes of IP")->check(CLI::Range(1'280, 9'000));
  app.add_option("--cpu", arguments.cpu, "of the worker");
  app.add_option("--packet-buffers", arguments.packet_buffers);
  app.add_option("--most-held", arguments.most_held, "received buffers that connections may hold; 0: 60%");
  app.add_option("--queue-nodes", arguments.queue_nodes, "slices in all queues");
  app.add_option("--connections", arguments.connections);
  app.add_option("--half-open", arguments.half_open);
  app.add_option("--echo-port", arguments.ports.echo, "0: not served");
  app.add_option("--discard-port", arguments.ports.discard, "0: not served");
  app.add_option("--source-port", arguments.ports.source, "0: not served");
  app.add_flag("--busy", arguments.busy, "never sleep");
  CLI11_PARSE(app, argc, argv);
  try {
    return serve(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "steelyard_tcp_services: %s\n", error.what());
    return 1;
  }
}
