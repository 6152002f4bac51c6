// What load balancers, listeners, groups and servers say about each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using testing::all_findings;
using ::testing::ElementsAre;
using testing::errors;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::warnings;
using testing::with_listener;
using testing::with_ports;

constexpr std::string_view group = "server_groups: [{name: g, servers: [{address: 10.0.0.7, port: 80}]}]\n";

std::string balancers(std::string_view lines) {
  return with_ports("load_balancers:\n" + std::string(lines) + std::string(group));
}

TEST(ValidateServices, AnOrdinaryListenerHasNoFindings) {
  EXPECT_THAT(findings(with_listener("protocol: tcp, port: 80, server_group: g")), IsEmpty());
  EXPECT_THAT(warnings(with_listener("protocol: tcp, port: 80, server_port: 8080")),
              ElementsAre(HasSubstr("server group `g` is used by no listener")));
}

TEST(ValidateServices, LoadBalancersDifferInNameAndAddress) {
  EXPECT_THAT(errors(balancers("  - {name: a, address: 192.0.2.10}\n"
                               "  - {name: a, address: 192.0.2.11}\n"
                               "  - {name: b, address: 192.0.2.10}\n")),
              ElementsAre(HasSubstr("3:5: error: a second load balancer is named `a`, after line 2"),
                          HasSubstr("4:24: error: address 192.0.2.10 already belongs to load balancer `a` in line 2")));
}

TEST(ValidateServices, TheGatewayIsNoServiceAddress) {
  EXPECT_THAT(errors(with_ports("gateway: 192.0.2.1\nload_balancers: [{name: a, address: 192.0.2.1}]\n")),
              ElementsAre(HasSubstr("2:37: error: address 192.0.2.1 is the next hop of a route")));
}

TEST(ValidateServices, ListenersOfOneAddressDifferInPortOrProtocol) {
  EXPECT_THAT(errors(balancers("  - name: a\n"
                               "    address: 192.0.2.10\n"
                               "    listeners:\n"
                               "      - {protocol: tcp, port: 80, server_group: g}\n"
                               "      - {protocol: udp, port: 80, server_group: g}\n"
                               "      - {protocol: tcp, port: 81, server_port: 81}\n"
                               "      - {protocol: tcp, port: 80, server_group: g}\n"
                               "    default_group: [{address: 10.0.0.9}]\n")),
              ElementsAre("8:31: error: listener tcp 192.0.2.10:80 already stands in line 5; allowed: one listener per "
                          "address, port and protocol"));
}

TEST(ValidateServices, AllowedPortsRefuseOtherListeners) {
  const auto text = [](std::string_view port) {
    return "allowed_ports: [80, 443, 2800-3300]\n" +
           with_listener("protocol: tcp, server_group: g, port: " + std::string(port));
  };
  for (const char* port : {"80", "443", "2800", "3300"}) {
    EXPECT_THAT(errors(text(port)), IsEmpty()) << port;
  }
  for (const char* port : {"81", "2799", "3301"}) {
    EXPECT_THAT(errors(text(port)), ElementsAre(HasSubstr("is not in `allowed_ports`; allowed: 80, 443, 2800-3300")))
        << port;
  }
}

TEST(ValidateServices, AListenersGroupMustExist) {
  EXPECT_THAT(errors(with_listener("protocol: tcp, port: 80, server_group: h1")),
              ElementsAre("6:49: error: there is no server group `h1`; allowed: a name of `server_groups` or "
                          "`primary_secondary_groups`"));
}

TEST(ValidateServices, AnUnreadableGroupNameDoesNotMakeItsUsersWrong) {
  EXPECT_THAT(errors(with_ports("load_balancers: [{name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, "
                                "server_group: g}]}]\nserver_groups: [{nam: g, servers: []}]\n")),
              ElementsAre(HasSubstr("2:17: error: `name` is missing"), HasSubstr("2:18: error: unknown key `nam`")));
}

TEST(ValidateServices, ADefaultGroupMustExistWhereServerPortIsUsed) {
  EXPECT_THAT(
      errors(
          balancers("  - {name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_port: 81}]}\n")),
      ElementsAre(HasSubstr("2:87: error: `server_port` uses the default group, but the load balancer has no")));
}

TEST(ValidateServices, GroupsAndServersStandOnce) {
  EXPECT_THAT(errors(with_ports("server_groups:\n"
                                "  - name: g\n"
                                "    servers:\n"
                                "      - {name: a, address: 10.0.0.7, port: 80}\n"
                                "      - {name: b, address: 10.0.0.7, port: 81}\n"
                                "      - {name: a, address: 10.0.0.8, port: 80}\n"
                                "      - {address: 10.0.0.7, port: 80}\n"
                                "  - {name: g, servers: []}\n"
                                "load_balancers: [{name: a, address: 192.0.2.10, default_group: [{address: 10.0.0.7}, "
                                "{address: 10.0.0.7}]}]\n")),
              ElementsAre(HasSubstr("6:9: error: a second server of the group is named `a`, after line 4"),
                          HasSubstr("7:9: error: server 10.0.0.7:80 already stands in line 4"),
                          HasSubstr("8:5: error: a second server group is named `g`, after line 2"),
                          HasSubstr("9:86: error: server 10.0.0.7 already stands in line 9")));
}

TEST(ValidateServices, ServersAreOfTheListenersFamily) {
  EXPECT_THAT(
      errors(with_ports(
          "load_balancers:\n"
          "  - {name: a, address: '2001:db8::10', listeners: [{protocol: tcp, port: 80, server_group: g}]}\n" +
          std::string(group))),
      ElementsAre(HasSubstr(
          "2:92: error: listener tcp [2001:db8::10]:80 is IPv6, but server 10.0.0.7 (line 3) of group `g` is IPv4")));
}

TEST(ValidateServices, FullNatNeedsALocalAddressOfItsFamily) {
  EXPECT_THAT(errors(with_listener("protocol: tcp, port: 80, server_group: g, mode: fullnat")), IsEmpty());
  EXPECT_THAT(errors(with_ports("local_addresses: [10.0.0.100]\n"
                                "load_balancers:\n"
                                "  - {name: a, address: '2001:db8::10', listeners: [{protocol: tcp, port: 80, "
                                "server_group: g, mode: fullnat}]}\n"
                                "server_groups: [{name: g, servers: [{address: '2001:db8:1::7', port: 80}]}]\n")),
              ElementsAre(HasSubstr("3:52: error: mode fullnat needs an IPv6 address in `local_addresses`")));
}

TEST(ValidateServices, DirectReturnKeepsThePort) {
  const auto listener = [](std::string_view keys) {
    return with_listener("protocol: tcp, mode: dr, server_group: g, " + std::string(keys));
  };
  EXPECT_THAT(all_findings(listener("port: 80")), IsEmpty());
  EXPECT_THAT(errors(listener("port: 81")),
              ElementsAre(HasSubstr("7:37: error: server 10.0.0.7:80 of listener tcp 192.0.2.10:81 has another port "
                                    "than the listener: mode dr changes no ports; allowed: port 81")));
  EXPECT_THAT(errors(with_listener("protocol: tcp, mode: dr, port: 81, server_port: 80")),
              ElementsAre(HasSubstr("6:58: error: server 10.0.0.9:80 of listener tcp 192.0.2.10:81 has another port")));
  EXPECT_THAT(errors(with_listener("protocol: tcp, mode: dr, port: 81, server_port: 81")), IsEmpty());
}

TEST(ValidateServices, ATunnelKeepsThePort) {
  EXPECT_THAT(errors(with_listener("protocol: tcp, mode: tunnel, server_group: g, port: 80")), IsEmpty());
  EXPECT_THAT(errors(with_listener("protocol: tcp, mode: tunnel, server_group: g, port: 81")),
              ElementsAre(HasSubstr("has another port than the listener: mode tunnel changes no ports; allowed: port "
                                    "81")));
}

TEST(ValidateServices, ATunnelLeadsToServersOfEitherFamilyWhereWeHaveASource) {
  const auto text = [](std::string_view mode, std::string_view address, std::string_view more) {
    return with_ports(
        "gateway: 192.0.2.1\n" + std::string(more) +
        "load_balancers:\n"
        "  - {name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_group: g, mode: " +
        std::string(mode) + "}]}\nserver_groups: [{name: g, servers: [{address: '" + std::string(address) +
        "', port: 80}]}]\n");
  };
  const std::string_view route = "routes: [{to: '2001:db8:9::/48', via: '2001:db8:1::9'}]\n";
  EXPECT_THAT(errors(text("tunnel", "203.0.113.7", "")), IsEmpty());
  EXPECT_THAT(errors(text("tunnel", "2001:db8:1::7", "")), IsEmpty());
  EXPECT_THAT(errors(text("tunnel", "2001:db8:9::7", route)), IsEmpty());
  EXPECT_THAT(errors(text("nat", "2001:db8:1::7", "")), ElementsAre(HasSubstr("or mode tunnel")));
}

TEST(ValidateServices, ATunnelNeedsASourceOfTheServersFamily) {
  const auto text = [](std::string_view more) {
    return "ports: [{name: lan, device: net_null0, addresses: [10.0.0.254/24]}]\n"
           "routes: [{to: '2001:db8::/32', via: 'fe80::1', port: lan}]\n" +
           std::string(more) +
           "load_balancers: [{name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_group: g, "
           "mode: tunnel}]}]\n"
           "server_groups: [{name: g, servers: [{address: '2001:db8::7', port: 80}]}]\n";
  };
  EXPECT_THAT(errors(text("")), ElementsAre(HasSubstr("server 2001:db8::7 of listener tcp 192.0.2.10:80 cannot be "
                                                      "reached by a tunnel: we have no IPv6 address to send from")));
  EXPECT_THAT(errors(text("local_addresses: [{address: '2001:db8:5::1', port: lan}]\n")), IsEmpty());
}

TEST(ValidateServices, DirectReturnHasNoBandwidthLimitSinceAnswersDoNotPassHere) {
  EXPECT_THAT(errors(with_listener("protocol: tcp, mode: dr, port: 81, server_port: 81, bandwidth: 100")),
              ElementsAre(HasSubstr("error: `bandwidth` cannot be kept in mode dr, in which servers answer clients "
                                    "directly; allowed: mode nat or fullnat, or no limit")));
  EXPECT_THAT(errors(with_listener("protocol: tcp, mode: dr, port: 81, server_port: 81, bandwidth: unlimited")),
              IsEmpty());
}

TEST(ValidateServices, DirectReturnNeedsServersOnALink) {
  const auto text = [](std::string_view address) {
    return with_ports(
        "gateway: 192.0.2.1\n"
        "load_balancers:\n"
        "  - {name: a, address: 192.0.2.10, listeners: [{protocol: tcp, mode: dr, port: 80, server_group: g}]}\n"
        "server_groups: [{name: g, servers: [{address: " +
        std::string(address) + ", port: 80}]}]\n");
  };
  EXPECT_THAT(errors(text("192.0.2.7")), IsEmpty());
  EXPECT_THAT(errors(text("203.0.113.7")),
              ElementsAre(HasSubstr("4:37: error: server 203.0.113.7 of listener tcp 192.0.2.10:80 is on no network of "
                                    "a port: mode dr reaches servers by their link addresses; allowed: a server on a "
                                    "connected network, or another mode")));
}

TEST(ValidateServices, AServerThatIsAListenerIsALoop) {
  const auto text = [](std::string_view mode) {
    return with_ports(
        "local_addresses: [10.0.0.100]\n"
        "load_balancers:\n"
        "  - {name: a, address: 10.0.1.10, listeners: [{protocol: tcp, port: 80, server_group: g, mode: " +
        std::string(mode) +
        "}]}\n"
        "server_groups: [{name: g, servers: [{address: 10.0.1.10, port: 80}]}]\n");
  };
  for (const char* mode : {"nat", "fullnat"}) {
    EXPECT_THAT(errors(text(mode)),
                ElementsAre(HasSubstr(
                    "4:37: error: server 10.0.1.10:80 is itself the listener tcp 10.0.1.10:80 in line 3: a loop")));
  }
}

// Two ports, the servers' with this exception interface, and servers on its network, behind it and elsewhere.
std::string checked_behind(std::string_view exception, std::string_view check) {
  return "load_balancers: [{name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_group: g, "
         "health_check: " +
         std::string(check) +
         "}]}]\n"
         "server_groups: [{name: g, servers: [{address: 10.0.0.1, port: 80}, {address: 10.5.0.1, port: 80}, "
         "{address: 203.0.113.1, port: 80}]}]\n"
         "routes: [{to: 10.5.0.0/16, via: 10.0.0.9}]\n"
         "gateway: 192.0.2.1\n"
         "ports:\n"
         "  - {name: wan, device: net_null0, addresses: [192.0.2.2/24]}\n"
         "  - {name: lan, device: net_null1, addresses: [10.0.0.2/24], exception: " +
         std::string(exception) + "}\n";
}

TEST(ValidateServices, ChecksOfServersBehindAPortWithoutAnInterfaceForThemAreWarnedOf) {
  EXPECT_THAT(
      findings(checked_behind("{enabled: false}", "{}")),
      ElementsAre(HasSubstr("1:61: warning: server 10.0.0.1 and 1 more of listener tcp 192.0.2.10:80: port `lan` "
                            "has no exception interface (`enabled: false`), so health checks go by the "
                            "kernel's routes and cannot be made where it has none")));
  EXPECT_THAT(findings(checked_behind("{namespace: blue}", "{}")),
              ElementsAre(HasSubstr("the exception interface of port `lan` is in network namespace `blue`, so health "
                                    "checks cannot be made from another one")));
  EXPECT_THAT(findings(checked_behind("{enabled: false}", "{enabled: false}")), IsEmpty());
  EXPECT_THAT(findings(checked_behind("{}", "{}")), IsEmpty());
}

TEST(ValidateServices, AServerOnTheAddressOfALoadBalancerIsWarnedOf) {
  EXPECT_THAT(findings(with_ports(
                  "load_balancers:\n"
                  "  - {name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_group: g}]}\n"
                  "  - {name: b, address: 10.9.9.9}\n"
                  "server_groups: [{name: g, servers: [{address: 10.9.9.9, port: 80}]}]\n"
                  "gateway: 192.0.2.1\n")),
              ElementsAre(HasSubstr("4:37: warning: server 10.9.9.9 is also the address of a load balancer")));
}

TEST(ValidateServices, AServerMustNotBeOneOfOurOwnAddresses) {
  EXPECT_THAT(
      errors(with_ports(
          "local_addresses: [10.0.0.100]\n"
          "server_groups: [{name: g, servers: [{address: 10.0.0.2, port: 80}, {address: 10.0.0.100, port: 80}]}]\n")),
      ElementsAre(HasSubstr("2:37: error: server 10.0.0.2 is a port's address of this balancer"),
                  HasSubstr("2:68: error: server 10.0.0.100 is a local address of this balancer")));
}

// Two servers in group `g` and in the default group, of which 10.0.0.7 is in both.
std::string with_second_listener(std::string_view second) {
  return with_ports(
      "load_balancers:\n"
      "  - name: a\n"
      "    address: 192.0.2.10\n"
      "    default_group: [{address: 10.0.0.7}, {address: 10.0.0.9}]\n"
      "    listeners:\n"
      "      - {protocol: tcp, port: 80, server_group: g}\n"
      "      - {" +
      std::string(second) +
      "}\n"
      "server_groups: [{name: g, servers: [{address: 10.0.0.7, port: 80}, {address: 10.0.0.8, port: 80}]}]\n");
}

TEST(ValidateServices, ASharedEndpointInNatModeIsWarnedOf) {
  const auto text = with_second_listener;
  EXPECT_THAT(warnings(text("protocol: tcp, port: 81, server_group: g")),
              ElementsAre(HasSubstr("7:9: warning: listener tcp 192.0.2.10:81 shares group `g` as a whole with "
                                    "listener tcp 192.0.2.10:80 in mode nat")));
  EXPECT_THAT(
      warnings(text("protocol: tcp, port: 81, server_port: 80")),
      ElementsAre(HasSubstr(
          "7:9: warning: listener tcp 192.0.2.10:81 shares server 10.0.0.7:80 with listener tcp 192.0.2.10:80")));
  EXPECT_THAT(warnings(text("protocol: tcp, port: 81, server_port: 82")), IsEmpty());
  EXPECT_THAT(warnings(text("protocol: udp, port: 80, server_group: g")), IsEmpty());
  EXPECT_THAT(
      warnings("local_addresses: [10.0.0.100]\n" + text("protocol: tcp, port: 81, server_group: g, mode: fullnat")),
      IsEmpty());
}

TEST(ValidateServices, ASharedEndpointWithoutAnotherChoiceIsRefused) {
  const auto text = [](std::string_view mode, std::string_view one, std::string_view two) {
    return with_ports(
        "local_addresses: [10.0.0.100]\n"
        "load_balancers:\n"
        "  - {name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_group: one}]}\n"
        "  - {name: b, address: 192.0.2.11, listeners: [{protocol: tcp, port: 80, server_group: two, mode: " +
        std::string(mode) + "}]}\nserver_groups:\n  - {name: one, servers: [" + std::string(one) +
        "]}\n  - {name: two, servers: [" + std::string(two) + "]}\n");
  };
  constexpr std::string_view single = "{address: 10.0.0.7, port: 80}";
  constexpr std::string_view several = "{address: 10.0.0.8, port: 80}, {address: 10.0.0.7, port: 80}";
  for (const auto& [one, two] : {std::pair{single, single}, std::pair{single, several}, std::pair{several, single}}) {
    EXPECT_THAT(errors(text("nat", one, two)),
                ElementsAre("4:48: error: listener tcp 192.0.2.11:80 shares server 10.0.0.7:80 with listener tcp "
                            "192.0.2.10:80 in mode nat, and 10.0.0.7 is the only server of one of them: when a client "
                            "port uses both at once, the later connection could only fail; allowed: a second server, a "
                            "server port for each listener, or mode fullnat for one of them"));
    EXPECT_THAT(findings(text("fullnat", one, two)), IsEmpty());
  }
  EXPECT_THAT(findings(text("nat", single, "{address: 10.0.0.7, port: 81}")), IsEmpty());
  // A service that moves to another address: one of the two opens nothing.
  EXPECT_THAT(errors(text("nat, status: stopped", single, single)), IsEmpty());
  EXPECT_THAT(findings(text("nat", several, several)),
              ElementsAre(HasSubstr("warning: listener tcp 192.0.2.11:80 shares server 10.0.0.8:80 and 1 more")));
}

TEST(ValidateServices, TwoNatListenersOfOneGroupNeedMoreThanOneServer) {
  EXPECT_THAT(errors(balancers("  - name: a\n"
                               "    address: 192.0.2.10\n"
                               "    listeners:\n"
                               "      - {protocol: tcp, port: 80, server_group: g}\n"
                               "      - {protocol: tcp, port: 81, server_group: g}\n")),
              ElementsAre(HasSubstr("6:9: error: listener tcp 192.0.2.10:81 shares group `g` as a whole with listener "
                                    "tcp 192.0.2.10:80 in mode nat, and 10.0.0.7 is the only server")));
}

std::string with_second_balancer() {
  return with_ports(
      "gateway: 192.0.2.1\n"
      "load_balancers:\n"
      "  - {name: a, address: 192.0.2.50, listeners: [{protocol: tcp, port: 80, server_group: g}]}\n"
      "  - {name: b, address: 192.0.2.51, listeners: [{protocol: udp, port: 80, server_group: g}]}\n"
      "server_groups: [{name: g, servers: [{address: 10.0.0.7, port: 80}]}]\n");
}

TEST(ValidateServices, AServerThatCallsItsOwnVipIsWarnedOfInNatMode) {
  const auto text = [](std::string_view server, std::string_view keys) {
    return with_ports(
        "local_addresses: [10.0.0.100]\n"
        "gateway: 192.0.2.1\n"
        "load_balancers: [{name: a, address: 192.0.2.50, listeners: [{protocol: tcp, port: 80, server_group: g" +
        std::string(keys) + "}, {protocol: udp, port: 80, server_group: g" + std::string(keys) +
        "}]}]\nserver_groups: [{name: g, servers: [{address: " + std::string(server) + ", port: 80}]}]\n");
  };
  EXPECT_THAT(all_findings(text("10.0.0.7", "")),
              ElementsAre("3:61: warning: server 10.0.0.7 cannot call its own VIP 192.0.2.50 in mode nat: the server "
                          "chosen for it would be itself or answer it directly; use mode fullnat where servers are "
                          "clients, too"));
  EXPECT_THAT(all_findings(text("10.0.0.7", ", mode: fullnat")), IsEmpty());
  const std::string two = with_second_balancer();
  EXPECT_THAT(all_findings(two), ElementsAre(HasSubstr("in mode nat, as those of 1 more load balancer")));
  EXPECT_THAT(all_findings(text("198.51.100.7", "")), IsEmpty());
  EXPECT_THAT(all_findings(text("192.0.2.7", "")), ElementsAre(HasSubstr("and a server that calls its own VIP, get no "
                                                                         "usable answers")));
}

TEST(ValidateServices, ADefaultGroupDoesNotShareItsNameWithAServerGroup) {
  const auto text = [](std::string_view keys) {
    return with_ports("load_balancers: [{name: g, address: 192.0.2.10, " + std::string(keys) +
                      "listeners: [{protocol: tcp, port: 80, server_group: g}]}]\n" + std::string(group));
  };
  EXPECT_THAT(findings(text("default_group: [{address: 10.0.0.9}], ")),
              ElementsAre("1:18: error: the default group of load balancer `g` goes by the same name as the server "
                          "group in line 2; names must differ"));
  EXPECT_THAT(findings(text("")), IsEmpty());
}

TEST(ValidateServices, ClientsOnTheServersNetworkAreWarnedOfInNatMode) {
  const auto text = [](std::string_view vip, std::string_view mode) {
    return with_ports(
        "local_addresses: [10.0.0.100]\n"
        "load_balancers: [{name: a, address: " +
        std::string(vip) + ", listeners: [{protocol: tcp, port: 80, server_group: g, mode: " + std::string(mode) +
        "}]}]\n" + std::string(group));
  };
  EXPECT_THAT(findings(text("10.0.0.50", "nat")),
              ElementsAre(HasSubstr("warning: server 10.0.0.7 of listener tcp 10.0.0.50:80 is on network 10.0.0.0/24 "
                                    "of the listener's address")));
  EXPECT_THAT(findings(text("10.0.0.50", "fullnat")), IsEmpty());
  EXPECT_THAT(findings(text("192.0.2.50", "nat")), IsEmpty());
  EXPECT_THAT(findings(text("203.0.113.50", "nat")), IsEmpty());
}

TEST(ValidateServices, TheOnlyNetworkIsSharedWithClientsOfARoutedAddress) {
  EXPECT_THAT(
      findings("ports: [{name: wan, device: net_null0, addresses: [10.0.0.2/24]}]\n"
               "load_balancers: [{name: a, address: 203.0.113.9, listeners: [{protocol: tcp, port: 80, server_group: "
               "g}]}]\n" +
               std::string(group)),
      ElementsAre(HasSubstr(
          "2:62: warning: server 10.0.0.7 of listener tcp 203.0.113.9:80 is on network 10.0.0.0/24, the only one")));
}

TEST(ValidateServices, ListenersWithoutUsableServersAreWarnedOf) {
  const auto text = [](std::string_view servers) {
    return with_ports(
        "load_balancers: [{name: a, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80, server_group: g}]}]\n"
        "server_groups: [{name: g, servers: [" +
        std::string(servers) + "]}]\n");
  };
  EXPECT_THAT(findings(text("")),
              ElementsAre("2:17: warning: group `g` has no servers: listener tcp 192.0.2.10:80 refuses everybody"));
  EXPECT_THAT(
      findings(text("{address: 10.0.0.7, port: 80, weight: 0}")),
      ElementsAre(
          "2:17: warning: every server of group `g` has weight 0: listener tcp 192.0.2.10:80 refuses new connections"));
}

TEST(ValidateServices, AnUnusedGroupIsWarnedOf) {
  EXPECT_THAT(findings(with_ports(group)), ElementsAre("1:17: warning: server group `g` is used by no listener"));
}

// What is said about a group of so many servers before listeners on so many ports.
std::vector<std::string> said_about(std::size_t servers, std::uint32_t listeners,
                                    Scheduler scheduler = Scheduler::wrr) {
  Config config;
  config.ports.resize(1);
  config.server_groups.resize(1);
  config.server_groups[0].name = "g";
  config.server_groups[0].servers.resize(servers);
  config.load_balancers.resize(1);
  config.load_balancers[0].address = *Address::parse("192.0.2.10");
  for (std::uint32_t port = 1; port <= listeners; ++port) {
    Listener listener;
    listener.port = static_cast<std::uint16_t>(port);
    listener.server_group = "g";
    listener.scheduler = scheduler;
    config.load_balancers[0].listeners.push_back(listener);
  }
  Report report("f");
  validate(config, {}, report);
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : report.take()) {
    lines.push_back(to_string(diagnostic));
  }
  return lines;
}

TEST(ValidateServices, WhatIdsCannotCountIsRefused) {
  EXPECT_THAT(
      said_about(300, 65535),
      ::testing::Contains("f: error: the servers of all listeners together are 19660500; allowed: at most 16777216"));
}

TEST(ValidateServices, AGroupHoldsNoMoreServersThanTheSchedulerCanCount) {
  EXPECT_THAT(said_about(100'001, 1),
              ::testing::Contains(HasSubstr("error: group `g` has 100001 servers; allowed: at most 100000")));
}

TEST(ValidateServices, AGroupHoldsNoMoreServersThanAHashTableCanName) {
  EXPECT_THAT(
      said_about(65'536, 1, Scheduler::tch),
      ::testing::Contains(HasSubstr("error: group `g` has 65536 servers; allowed with scheduler tch: at most 65535")));
  for (const std::string& line : said_about(65'535, 1, Scheduler::tch)) {
    EXPECT_THAT(line, ::testing::Not(HasSubstr("allowed with scheduler")));
  }
}

}  // namespace
}  // namespace steelyard::control::config
