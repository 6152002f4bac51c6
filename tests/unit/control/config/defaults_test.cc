// What a file that says little or everything turns into.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::findings;
using ::testing::IsEmpty;
using testing::with_listener;
using testing::with_ports;

Config config_of(std::string_view text) {
  const ParseResult result = load_text(text, "f");
  for (const Diagnostic& diagnostic : result.diagnostics) {
    EXPECT_NE(diagnostic.severity, Severity::error) << to_string(diagnostic);
  }
  return result.config.value_or(Config{});
}

Listener listener_of(std::string_view keys) {
  const Config config = config_of(with_listener(keys));
  return config.load_balancers.empty() ? Listener{} : config.load_balancers.front().listeners.front();
}

TEST(ConfigDefaults, AFileWithOnePortHasEveryOtherDefault) {
  const Config config = config_of("ports: [{name: wan, device: net_null0}]");
  EXPECT_EQ(config.workers.count, 1);
  EXPECT_THAT(config.workers.cpus, IsEmpty());
  EXPECT_EQ(config.workers.idle, Idle::adaptive);
  EXPECT_EQ(config.workers.coalesce_us, 1000U);
  EXPECT_EQ(config.memory.hugepages, Hugepages::automatic);
  EXPECT_EQ(config.memory.flows_ipv4, 262144U);
  EXPECT_EQ(config.memory.flows_ipv6, 65536U);
  EXPECT_EQ(config.memory.packet_buffers, 16384U);
  EXPECT_EQ(config.memory.connections, 65536U);
  EXPECT_EQ(config.local_ports, (PortRange{1024, 65535}));
  EXPECT_FALSE(config.pass_unmatched);
  EXPECT_TRUE(config.reset_unknown_tcp);
  EXPECT_THAT(config.allowed_ports, IsEmpty());
  EXPECT_FALSE(config.metrics);
  EXPECT_EQ(config.log_level, LogLevel::info);
  EXPECT_EQ(config.shutdown_drain, 0s);
  EXPECT_THAT(config.routes, IsEmpty());
  EXPECT_THAT(config.load_balancers, IsEmpty());
}

TEST(ConfigDefaults, APortHasAManagedKernelInterfaceNamedAfterIt) {
  const Port port = config_of("ports: [{name: wan, device: net_null0}]").ports.at(0);
  EXPECT_EQ(port.name, "wan");
  EXPECT_EQ(port.device, "net_null0");
  EXPECT_THAT(port.addresses, IsEmpty());
  EXPECT_EQ(port.mtu, 1500);
  EXPECT_TRUE(port.exception.enabled);
  EXPECT_EQ(port.exception.name, "sy-wan");
  EXPECT_EQ(port.exception.network_namespace, "");
  EXPECT_TRUE(port.exception.manage);
}

TEST(ConfigDefaults, ATcpListenerHasTheProductsDefaults) {
  const Listener listener = listener_of("protocol: tcp, port: 80, server_group: g");
  EXPECT_TRUE(listener.running);
  EXPECT_EQ(listener.mode, Mode::nat);
  EXPECT_EQ(listener.scheduler, Scheduler::wrr);
  EXPECT_EQ(listener.persistence_timeout, 0s);
  EXPECT_EQ(listener.established_timeout, 900s);
  EXPECT_EQ(listener.slow_start, 0s);
  EXPECT_EQ(listener.on_unhealthy, OrphanPolicy::run);
  EXPECT_EQ(listener.on_removed, OrphanPolicy::run);
  EXPECT_FALSE(listener.connection_drain);
  EXPECT_TRUE(listener.strip_timestamps);
  EXPECT_EQ(listener.when_full, WhenFull::reset);
  EXPECT_EQ(listener.bandwidth, 0U);
  EXPECT_EQ(listener.client_address, ClientAddress::none);
  const HealthCheck& check = listener.health_check;
  EXPECT_TRUE(check.enabled);
  EXPECT_EQ(check.type, CheckType::tcp);
  EXPECT_EQ(check.interval, 2s);
  EXPECT_EQ(check.timeout, 5s);
  EXPECT_EQ(check.healthy_threshold, 3);
  EXPECT_EQ(check.unhealthy_threshold, 3);
  EXPECT_FALSE(check.port);
  EXPECT_EQ(check.method, CheckMethod::head);
  EXPECT_EQ(check.path, "/");
  EXPECT_EQ(check.host, "");
  EXPECT_EQ(check.status, StatusClasses(0b001100));
}

TEST(ConfigDefaults, AUdpListenerIsCheckedEveryFiveSecondsWithATimeoutOfTen) {
  for (const char* keys : {"protocol: udp, port: 80, server_group: g",
                           "protocol: udp, port: 80, server_group: g, health_check: {enabled: true}"}) {
    const HealthCheck check = listener_of(keys).health_check;
    EXPECT_EQ(check.type, CheckType::udp);
    EXPECT_EQ(check.interval, 5s);
    EXPECT_EQ(check.timeout, 10s);
  }
}

TEST(ConfigDefaults, ATimeoutBelowTheIntervalBecomesTheInterval) {
  const auto timeout = [](const char* check) {
    return listener_of("protocol: tcp, port: 80, server_group: g, health_check: " + std::string(check))
        .health_check.timeout;
  };
  EXPECT_EQ(timeout("{interval: 50, timeout: 3}"), 50s);
  EXPECT_EQ(timeout("{interval: 6}"), 6s);
  EXPECT_EQ(timeout("{interval: 3, timeout: 3}"), 3s);
  EXPECT_EQ(timeout("{timeout: 300}"), 300s);
}

TEST(ConfigDefaults, AServerHasWeightOneHundred) {
  const Config config = config_of(with_listener("protocol: tcp, port: 80, server_group: g"));
  EXPECT_EQ(config.server_groups.at(0).servers.at(0).weight, 100);
  EXPECT_EQ(config.load_balancers.at(0).default_group.at(0).weight, 100);
  EXPECT_EQ(config.server_groups.at(0).servers.at(0).max_connections, 0U);
  EXPECT_TRUE(config.load_balancers.at(0).active);
}

TEST(ConfigDefaults, AServerWithoutALimitHasItsGroups) {
  const Config config = config_of(
      "ports: [{name: a, device: net_tap0}]\n"
      "server_groups: [{name: g, servers: [{address: 10.0.0.1, port: 1}, {address: 10.0.0.2, port: 1, "
      "max_connections: 7}, {address: 10.0.0.3, port: 1, max_connections: 0}], max_connections: 5}]\n");
  const std::vector<Server>& servers = config.server_groups.at(0).servers;
  EXPECT_EQ(servers.at(0).max_connections, 5U);
  EXPECT_EQ(servers.at(1).max_connections, 7U);
  EXPECT_EQ(servers.at(2).max_connections, 0U) << "no limit";
}

TEST(ConfigValues, EverySchedulerHasTheNameThatItIsShownBy) {
  for (const auto scheduler : {Scheduler::wrr, Scheduler::wlc, Scheduler::rr, Scheduler::sch, Scheduler::tch}) {
    const std::string name(to_string(scheduler));
    EXPECT_EQ(listener_of("protocol: udp, port: 80, server_group: g, scheduler: " + name).scheduler, scheduler);
  }
}

TEST(ConfigValues, EveryKeyOfAListenerIsRead) {
  const Listener listener = listener_of(
      "protocol: tcp, port: 443, status: stopped, mode: fullnat, scheduler: wlc, server_port: 8080, "
      "persistence_timeout: 60, established_timeout: 30, slow_start: 20, on_unhealthy: reset, on_removed: reset, "
      "connection_drain: 45, strip_timestamps: false, health_check: {enabled: off, type: http, interval: 4, "
      "timeout: 7, healthy_threshold: 2, unhealthy_threshold: 10, port: 81, method: get, path: '/a?b#c&d%20.html', "
      "host: example.org, status: [2xx, 4xx]}");
  Listener wanted;
  wanted.port = 443;
  wanted.running = false;
  wanted.mode = Mode::fullnat;
  wanted.scheduler = Scheduler::wlc;
  wanted.server_port = 8080;
  wanted.persistence_timeout = 60s;
  wanted.established_timeout = 30s;
  wanted.slow_start = 20s;
  wanted.on_unhealthy = wanted.on_removed = OrphanPolicy::reset;
  wanted.connection_drain = 45s;
  wanted.strip_timestamps = false;
  HealthCheck& check = wanted.health_check;
  check.enabled = false;
  check.type = CheckType::http;
  check.interval = 4s;
  check.timeout = 7s;
  check.healthy_threshold = 2;
  check.unhealthy_threshold = 10;
  check.port = 81;
  check.method = CheckMethod::get;
  check.path = "/a?b#c&d%20.html";
  check.host = "example.org";
  check.status = StatusClasses(0b010100);
  EXPECT_EQ(listener, wanted);
}

TEST(ConfigValues, EveryKeyOfTheProcessIsRead) {
  const Config config =
      config_of(with_ports("workers: {count: 2, cpus: [3, 1], idle: busy, coalesce_us: 0}\n"
                           "memory: {hugepages: required, flows_ipv4: 1024, flows_ipv6: 2048,\n"
                           "         packet_buffers: 4096}\n"
                           "local_ports: 2000-2999\n"
                           "pass_unmatched: yes\n"
                           "reset_unknown_tcp: off\n"
                           "allowed_ports: [80, 2800-3300]\n"
                           "metrics: {listen: '[::1]:9464'}\n"
                           "log: {level: debug}\n"
                           "shutdown: {drain: 3600}\n"));
  EXPECT_THAT(config.workers.cpus, ElementsAre(3, 1));
  EXPECT_EQ(config.workers.idle, Idle::busy);
  EXPECT_EQ(config.workers.coalesce_us, 0U);
  EXPECT_EQ(config.memory.hugepages, Hugepages::required);
  EXPECT_EQ(config.memory.flows_ipv4, 1024U);
  EXPECT_EQ(config.memory.flows_ipv6, 2048U);
  EXPECT_EQ(config.memory.packet_buffers, 4096U);
  EXPECT_EQ(config.local_ports, (PortRange{2000, 2999}));
  EXPECT_TRUE(config.pass_unmatched);
  EXPECT_FALSE(config.reset_unknown_tcp);
  EXPECT_THAT(config.allowed_ports, ElementsAre(PortRange{80, 80}, PortRange{2800, 3300}));
  EXPECT_EQ(config.metrics, (Metrics{*Address::parse("::1"), 9464}));
  EXPECT_EQ(config.log_level, LogLevel::debug);
  EXPECT_EQ(config.shutdown_drain, 3600s);
}

TEST(ConfigValues, AGatewayIsADefaultRouteOfItsFamily) {
  const Config config = config_of(with_ports("gateway: [192.0.2.1, '2001:db8::1']\n"));
  ASSERT_EQ(config.routes.size(), 2U);
  EXPECT_EQ(config.routes[0].to, *Prefix::parse("0.0.0.0/0"));
  EXPECT_EQ(config.routes[0].via, *Address::parse("192.0.2.1"));
  EXPECT_EQ(config.routes[1].to, *Prefix::parse("::/0"));
  EXPECT_EQ(egress_port(config, config.routes[1]), 0U);
}

TEST(ConfigValues, AGatewayThatRepeatsARouteIsNotAConflict) {
  EXPECT_EQ(config_of(with_ports("gateway: 192.0.2.1\nroutes: [{to: 0.0.0.0/0, via: 192.0.2.1}]\n")).routes.size(), 1U);
}

TEST(ConfigValues, ALocalAddressOutsideOfEveryNetworkIsOwnedByItsPort) {
  const Config config = config_of(with_ports("local_addresses: [10.0.0.50, {address: 203.0.113.9, port: wan}]\n"));
  ASSERT_EQ(config.local_addresses.size(), 2U);
  EXPECT_EQ(egress_port(config, config.local_addresses[0]), 1U);
  EXPECT_EQ(egress_port(config, config.local_addresses[1]), 0U);
}

TEST(ConfigValues, TheLongestConnectedPrefixOwnsAnAddress) {
  const Config config = config_of(
      "ports:\n"
      "  - {name: a, device: net_null0, addresses: [10.0.0.1/8]}\n"
      "  - {name: b, device: net_null1, addresses: [10.1.0.1/16]}\n");
  EXPECT_EQ(connected_port(config, *Address::parse("10.1.2.3")), 1U);
  EXPECT_EQ(connected_port(config, *Address::parse("10.2.2.3")), 0U);
  EXPECT_EQ(connected_port(config, *Address::parse("11.2.2.3")), std::nullopt);
  EXPECT_EQ(connected_port(config, *Address::parse("2001:db8::1")), std::nullopt);
}

TEST(ConfigValues, TheServersOfTheDefaultGroupGetTheListenersServerPort) {
  const Config config = config_of(with_listener("protocol: tcp, port: 80, server_port: 8080"));
  const LoadBalancer& balancer = config.load_balancers.at(0);
  const auto servers = servers_of(config, balancer, balancer.listeners.at(0));
  ASSERT_EQ(servers.size(), 1U);
  EXPECT_EQ(servers[0].port, 8080);
  EXPECT_EQ(servers[0].address, *Address::parse("10.0.0.9"));
}

TEST(ConfigValues, ObjectsRememberWhereTheyStand) {
  const Config config = config_of(with_listener("protocol: tcp, port: 80, server_group: g"));
  EXPECT_EQ(config.load_balancers.at(0).at.line, 2U);
  EXPECT_EQ(config.load_balancers.at(0).at.column, 5U);
  const Listener& listener = config.load_balancers.at(0).listeners.at(0);
  EXPECT_EQ(listener.at.line, 6U);
  EXPECT_EQ(listener.at.column, 9U);
  EXPECT_EQ(listener.port_at.column, 31U);
}

TEST(ConfigValues, AReformattedFileEqualsTheOldOne) {
  EXPECT_EQ(config_of(with_listener("protocol: tcp, port: 80, server_group: g")),
            config_of("# a comment\n\n" + with_listener("server_group: g, port: 80, protocol: tcp")));
  EXPECT_NE(config_of(with_listener("protocol: tcp, port: 80, server_group: g")),
            config_of(with_listener("protocol: tcp, port: 81, server_group: g")));
}

}  // namespace
}  // namespace steelyard::control::config
