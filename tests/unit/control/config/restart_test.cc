#include "control/config/restart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steelyard::control::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Config running() {
  Config config;
  config.ports.resize(2);
  config.ports[0].name = "wan";
  config.ports[1].name = "lan";
  return config;
}

TEST(Restart, IsNotNeededForServicesAndLogs) {
  Config wanted = running();
  wanted.log_level = LogLevel::debug;
  wanted.pass_unmatched = true;
  wanted.reset_unknown_tcp = false;
  wanted.allowed_ports = {{80, 80}};
  wanted.shutdown_drain = std::chrono::seconds{5};
  wanted.load_balancers.push_back({});
  wanted.server_groups.push_back({});
  wanted.workers.at = {7, 7};
  wanted.ports[0].at = {9, 9};
  EXPECT_THAT(settings_that_need_restart(running(), wanted), IsEmpty());
}

TEST(Restart, IsNeededForRoutesWhereTheKernelHasThemToo) {
  Config before = running();
  Config wanted = before;
  wanted.routes.push_back({});
  EXPECT_THAT(settings_that_need_restart(before, wanted), ElementsAre("routes"));
  for (Port& port : before.ports) {
    port.exception.manage = false;
  }
  wanted.ports = before.ports;
  EXPECT_THAT(settings_that_need_restart(before, wanted), IsEmpty());
}

TEST(Restart, IsNeededForEveryChangedSettingByName) {
  Config wanted = running();
  wanted.workers = {4, {0, 1, 2, 3}, Idle::busy, 0, {}};
  wanted.memory = {Hugepages::off, 1024, 1024, 2048, 0};
  wanted.ports[0].device = "net_null0";
  wanted.ports[0].addresses.push_back({*Prefix::parse("10.0.0.1/24"), {}});
  wanted.ports[1].mtu = 1400;
  wanted.ports[1].exception = {false, "x", "y", false, {}};
  wanted.local_addresses.push_back({});
  wanted.local_ports = {2000, 3000};
  wanted.metrics = Metrics{};
  wanted.cookie_key_file = "/k";
  EXPECT_THAT(settings_that_need_restart(running(), wanted),
              ElementsAre("workers.count", "workers.cpus", "workers.idle", "workers.coalesce_us", "memory.hugepages",
                          "memory.flows_ipv4", "memory.flows_ipv6", "memory.packet_buffers", "memory.connections",
                          "ports[wan].device", "ports[wan].addresses", "ports[lan].mtu", "ports[lan].exception.enabled",
                          "ports[lan].exception.name", "ports[lan].exception.namespace", "ports[lan].exception.manage",
                          "local_addresses", "local_ports", "metrics.listen", "cookie_key_file"));
}

TEST(Restart, IsNeededForAddedRemovedAndReorderedPorts) {
  Config wanted = running();
  wanted.ports[0].name = "dmz";
  EXPECT_THAT(settings_that_need_restart(running(), wanted), ElementsAre("ports[wan] (removed)", "ports[dmz] (added)"));
  wanted = running();
  std::swap(wanted.ports[0], wanted.ports[1]);
  EXPECT_THAT(settings_that_need_restart(running(), wanted), ElementsAre("ports (order)"));
}

}  // namespace
}  // namespace steelyard::control::config
