// What ports, routes and the full NAT pool say about each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using ::testing::ElementsAre;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::with_listener;
using testing::with_ports;

TEST(ValidateNetwork, TheFixtureHasNoFindings) {
  EXPECT_THAT(findings(testing::ports), IsEmpty());
}

TEST(ValidateNetwork, TwoPortsDifferInNameDeviceAndInterface) {
  EXPECT_THAT(findings("ports:\n"
                       "  - {name: a, device: net_null0}\n"
                       "  - {name: a, device: net_null1, exception: {name: x}}\n"
                       "  - {name: b, device: net_null0}\n"
                       "  - {name: c, device: net_null2, exception: {name: x}}\n"
                       "  - {name: d, device: net_null3, exception: {name: x, namespace: other}}\n"
                       "  - {name: e, device: net_null4, exception: {name: x, enabled: false}}\n"),
              ElementsAre(HasSubstr("3:5: error: a second port is named `a`, after line 2; names must differ"),
                          HasSubstr("4:5: error: device `net_null0` is already used by the port of line 2"),
                          HasSubstr("5:5: error: kernel-side interface `x` is already used by the port of line 3")));
}

TEST(ValidateNetwork, AVlanNeedsAPortWithADeviceAndANumberOfItsOwn) {
  EXPECT_THAT(findings("ports:\n"
                       "  - {name: a, device: net_null0}\n"
                       "  - {name: b, vlan: {port: a, id: 1}}\n"
                       "  - {name: c, vlan: {port: a, id: 4094}}\n"),
              IsEmpty());
  EXPECT_THAT(
      findings("ports:\n"
               "  - {name: a, device: net_null0}\n"
               "  - {name: b, vlan: {port: a, id: 7}}\n"
               "  - {name: c, vlan: {port: a, id: 7}}\n"
               "  - {name: d, vlan: {port: b, id: 8}}\n"
               "  - {name: e, vlan: {port: x, id: 8}}\n"
               "  - {name: f, vlan: {port: a, id: 9}, mtu: 9000}\n"),
      ElementsAre(
          HasSubstr("4:21: error: VLAN 7 of port `a` already stands in line 3; each may stand once"),
          HasSubstr("5:21: error: `vlan` names port `b`, which is a VLAN itself; allowed: a port with a `device`"),
          HasSubstr("6:21: error: `vlan` names port `x`, which does not exist; allowed: a port with a `device`"),
          HasSubstr("7:5: error: `mtu` is 9000, but port `a`, which carries this VLAN, has 1500; allowed: "
                    "1280..1500")));
}

TEST(ValidateNetwork, AVlanHasNoDeviceAndALegalNumber) {
  EXPECT_THAT(findings("ports:\n"
                       "  - {name: a, device: net_null0}\n"
                       "  - {name: b, device: net_null1, vlan: {port: a, id: 1}}\n"
                       "  - {name: c, vlan: {port: a, id: 0}}\n"
                       "  - {name: d, vlan: {port: a, id: 4095}}\n"
                       "  - {name: e, vlan: {id: 5}}\n"
                       "  - {name: f}\n"),
              ElementsAre(HasSubstr("3:23: error: a port has `device` and `vlan`; allowed: one of them"),
                          HasSubstr("4:35: error: `id` is `0`; allowed: 1..4094"),
                          HasSubstr("5:35: error: `id` is `4095`; allowed: 1..4094"),
                          HasSubstr("6:21: error: `port` is missing"), HasSubstr("7:5: error: `device` is missing")));
}

TEST(ValidateNetwork, AVlanHasTheMtuOfItsPortUnlessItSaysElse) {
  const ParseResult parsed = parse(
      "ports:\n"
      "  - {name: b, vlan: {port: a, id: 1}}\n"
      "  - {name: c, vlan: {port: a, id: 2}, mtu: 1400}\n"
      "  - {name: a, device: net_null0, mtu: 9000}\n",
      "test.yaml");
  ASSERT_TRUE(parsed.config.has_value());
  EXPECT_EQ(parsed.config->ports[0].mtu, 9000);
  EXPECT_EQ(parsed.config->ports[1].mtu, 1400);
}

TEST(ValidateNetwork, AnAddressBelongsToOnePort) {
  EXPECT_THAT(
      findings("ports:\n"
               "  - {name: a, device: net_null0, addresses: [10.0.0.1/24]}\n"
               "  - {name: b, device: net_null1, addresses: [10.0.0.1/16]}\n"),
      ElementsAre("3:46: error: address 10.0.0.1 already stands in line 2; an address belongs to one port, once"));
}

TEST(ValidateNetwork, TwoPortsOnOneNetworkAreWarnedOf) {
  EXPECT_THAT(findings("ports:\n"
                       "  - {name: a, device: net_null0, addresses: [10.0.0.1/24]}\n"
                       "  - {name: b, device: net_null1, addresses: [10.0.0.2/24]}\n"),
              ElementsAre(HasSubstr("3:46: warning: network 10.0.0.0/24 is connected to port `a`, too")));
}

TEST(ValidateNetwork, MoreThanThirtyTwoPortsAreRefused) {
  std::string text = "ports:\n";
  for (int index = 0; index < 33; ++index) {
    text += "  - {name: p" + std::to_string(index) + ", device: net_null" + std::to_string(index) + "}\n";
  }
  EXPECT_THAT(findings(text), ElementsAre("2:3: error: `ports` lists 33 ports; allowed: 1..32"));
}

TEST(ValidateNetwork, ANextHopIsAnotherMachineOnAConnectedNetwork) {
  EXPECT_THAT(
      findings(with_ports("routes:\n"
                          "  - {to: 198.51.100.0/24, via: 203.0.113.1}\n"
                          "  - {to: 198.51.101.0/24, via: 203.0.113.1, port: wan}\n"
                          "  - {to: 198.51.102.0/24, via: 203.0.113.1, port: dmz}\n"
                          "  - {to: 198.51.103.0/24, via: 192.0.2.2}\n"
                          "  - {to: 198.51.104.0/24, via: 10.0.0.254}\n"
                          "gateway: 203.0.113.1\n")),
      ElementsAre(HasSubstr("2:5: error: next hop 203.0.113.1 is on no network of a port"),
                  HasSubstr("4:5: error: a route names port `dmz`, which does not exist; allowed: `wan`, `lan`"),
                  HasSubstr("5:5: error: next hop 192.0.2.2 is an address of our own ports"),
                  HasSubstr("7:10: error: next hop 203.0.113.1 is on no network of a port")));
}

TEST(ValidateNetwork, ADestinationHasOneRoute) {
  EXPECT_THAT(findings(with_ports("routes:\n"
                                  "  - {to: 198.51.100.0/24, via: 192.0.2.1}\n"
                                  "  - {to: 198.51.100.0/24, via: 192.0.2.3}\n"
                                  "  - {to: 0.0.0.0/0, via: 192.0.2.1}\n"
                                  "gateway: 192.0.2.3\n")),
              ElementsAre(HasSubstr("3:5: error: a second route to 198.51.100.0/24, after line 2"),
                          HasSubstr("5:10: error: a second route to 0.0.0.0/0, after line 4")));
}

TEST(ValidateNetwork, ALocalAddressIsOursOnceAndOwnedByAPort) {
  EXPECT_THAT(findings(with_ports("gateway: 10.0.0.1\n"
                                  "local_addresses:\n"
                                  "  - 203.0.113.9\n"
                                  "  - {address: 203.0.113.10, port: lan}\n"
                                  "  - {address: 203.0.113.11, port: dmz}\n"
                                  "  - 10.0.0.10\n"
                                  "  - 10.0.0.10\n"
                                  "  - 10.0.0.1\n"
                                  "  - 2001:db8:1::10\n")),
              ElementsAre(HasSubstr("3:5: error: local address 203.0.113.9 is on no network of a port"),
                          HasSubstr("5:5: error: a local address names port `dmz`, which does not exist"),
                          HasSubstr("7:5: error: local address 10.0.0.10 already stands in line 6"),
                          HasSubstr("8:5: error: local address 10.0.0.1 is the next hop of a route")));
}

TEST(ValidateNetwork, APortsOwnAddressInThePoolIsWarnedOfUnlessThePortsAreApartFromTheKernels) {
  EXPECT_THAT(findings(with_ports("local_addresses: [10.0.0.2]\n")),
              ElementsAre(HasSubstr("1:19: warning: local address 10.0.0.2 is a port's own address")));
  EXPECT_THAT(findings(with_ports("local_addresses: [10.0.0.2]\nlocal_ports: 1024-32767\n")), IsEmpty());
}

TEST(ValidateNetwork, EveryWorkerHasALocalPort) {
  EXPECT_THAT(findings(with_ports("memory: {connections: 0}\nworkers: {count: 4}\nlocal_ports: 2000-2002\n")),
              ElementsAre(HasSubstr(
                  "3:14: error: `local_ports` has 3 ports for 4 workers; allowed: at least one port for each worker")));
  EXPECT_THAT(findings(with_ports("memory: {connections: 0}\nworkers: {count: 3}\nlocal_ports: 2000-2002\n")),
              IsEmpty());
}

TEST(ValidateNetwork, AListenerMustNotLieInTheLocalPortsOfItsAddress) {
  const auto text = [](std::string_view local_ports) {
    return with_ports("local_addresses: [192.0.2.10]\nlocal_ports: " + std::string(local_ports) +
                      "\nload_balancers: [{name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 8080, "
                      "server_group: g}]}]\nserver_groups: [{name: g, servers: [{address: 10.0.0.7, port: 80}]}]\n");
  };
  EXPECT_THAT(
      findings(text("1024-65535")),
      ElementsAre(HasSubstr("3:83: error: listener tcp 192.0.2.10:8080 lies in `local_ports` of the local address")));
  EXPECT_THAT(findings(text("8081-65535")), IsEmpty());
}

TEST(ValidateNetwork, AnErrorInAPortDoesNotMakeItsNetworkAFurtherError) {
  EXPECT_THAT(findings("ports: [{name: wan, device: net_null0, addresses: [192.0.2.2/99]}]\ngateway: 192.0.2.1\n"),
              ElementsAre(HasSubstr("1:52: error: an address of the port is `192.0.2.2/99`")));
}

}  // namespace
}  // namespace steelyard::control::config
