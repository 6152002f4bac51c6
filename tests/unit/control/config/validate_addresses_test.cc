// Which addresses a configuration may name, and whether anything leads to them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using ::testing::ElementsAre;
using testing::errors;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::with_ports;

// Everywhere a single address can stand; each in its first line.
std::vector<std::string> texts_with(const std::string& address) {
  return {
      with_ports("gateway: '" + address + "'\n"),
      with_ports("routes: [{to: '2001:db8:f::/48', via: '" + address + "', port: wan}]\n"),
      with_ports("local_addresses: ['" + address + "']\n"),
      with_ports("load_balancers: [{name: a, address: '" + address + "'}]\n"),
      with_ports("load_balancers: [{name: a, address: 192.0.2.9, default_group: [{address: '" + address + "'}]}]\n"),
      with_ports("server_groups: [{name: g, servers: [{address: '" + address + "', port: 80}]}]\n"),
  };
}

class ImpossibleAddress : public ::testing::TestWithParam<const char*> {};

TEST_P(ImpossibleAddress, IsRefusedWhereverItStands) {
  const std::string address = GetParam();
  for (const std::string& text : texts_with(address)) {
    EXPECT_THAT(errors(text), ElementsAre(::testing::AllOf(::testing::StartsWith("1:"), HasSubstr("`" + address + "`"),
                                                           HasSubstr("allowed: "))))
        << text;
  }
  const std::string length = address.find(':') == std::string::npos ? "/24" : "/64";
  EXPECT_THAT(errors("ports: [{name: a, device: net_null0, addresses: ['" + address + length + "']}]\n"),
              ElementsAre(HasSubstr("1:50: error: an address of the port is")));
}

INSTANTIATE_TEST_SUITE_P(ValidateAddresses, ImpossibleAddress,
                         ::testing::Values("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.9", "224.0.0.1",
                                           "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "ff02::1",
                                           "ff0e::1", "::ffff:192.0.2.7", "::ffff:c000:207"));

TEST(ValidateAddresses, AddressesBesideTheImpossibleOnesAreAccepted) {
  for (const char* address : {"1.0.0.1", "126.255.255.1", "128.0.0.1", "223.255.255.1", "::2", "fe00::1", "fd00::1"}) {
    EXPECT_THAT(errors(with_ports("load_balancers: [{name: a, address: '" + std::string(address) + "'}]\n")), IsEmpty())
        << address;
  }
}

TEST(ValidateAddresses, NoHostHasTheFirstOrTheLastAddressOfAConnectedNetwork) {
  for (const auto& [address, fault] : {std::pair{"10.0.0.0", "network's address, not a host's, of 10.0.0.0/24"},
                                       std::pair{"10.0.0.255", "network's broadcast address, of 10.0.0.0/24"}}) {
    for (const std::string& text : texts_with(address)) {
      if (text.starts_with("routes:")) {
        continue;  // of the other family
      }
      EXPECT_THAT(errors(text),
                  ElementsAre(HasSubstr(std::string(address) + " is the " + fault + "; allowed: a host's address")))
          << text;
    }
  }
  EXPECT_THAT(errors(with_ports("routes: [{to: 198.51.100.0/24, via: 192.0.2.255}]\n")),
              ElementsAre("1:10: error: next hop 192.0.2.255 is the network's broadcast address, of 192.0.2.0/24; "
                          "allowed: a host's address"));
}

TEST(ValidateAddresses, APortsAddressIsNoBroadcastAddressOfALongerNetworkOfAnotherPort) {
  EXPECT_THAT(errors("ports:\n"
                     "  - {name: a, device: net_null0, addresses: [10.0.0.255/16]}\n"
                     "  - {name: b, device: net_null1, addresses: [10.0.0.1/24]}\n"),
              ElementsAre(HasSubstr("2:46: error: address 10.0.0.255 is the network's broadcast address")));
}

TEST(ValidateAddresses, NetworksOfTwoRoutedNetworksAndIpv6HaveNoSuchAddresses) {
  EXPECT_THAT(errors("ports: [{name: a, device: net_null0, addresses: [10.0.0.0/31, 2001:db8::2/64]}]\n"
                     "gateway: [10.0.0.1, '2001:db8::1']\n"
                     "server_groups: [{name: g, servers: [{address: 198.51.100.255, port: 80}, "
                     "{address: '2001:db8::', port: 80}]}]\n"),
              IsEmpty());
}

TEST(ValidateAddresses, ServersThatNothingLeadsToAreWarnedOfOncePerGroup) {
  const auto text = [](std::string_view first) {
    return with_ports(std::string(first) +
                      "load_balancers:\n"
                      "  - name: a\n"
                      "    address: 192.0.2.10\n"
                      "    default_group: [{address: 10.0.0.7}, {address: 198.51.100.8}]\n"
                      "    listeners:\n"
                      "      - {protocol: tcp, port: 80, server_group: g}\n"
                      "      - {protocol: tcp, port: 81, server_group: g}\n"
                      "      - {protocol: tcp, port: 82, server_port: 82}\n"
                      "server_groups:\n"
                      "  - name: g\n"
                      "    servers:\n"
                      "      - {address: 10.0.0.7, port: 80}\n"
                      "      - {address: 10.0.1.7, port: 80}\n"
                      "      - {address: 10.0.1.8, port: 80}\n"
                      "      - {address: 10.0.1.9, port: 80}\n");
  };
  const auto said = [&](std::string_view first) {
    std::vector<std::string> lines = findings(text(first));
    std::erase_if(lines, [](const std::string& line) { return line.find("no route") == std::string::npos; });
    return lines;
  };
  EXPECT_THAT(said("routes: []\n"),
              ElementsAre("5:42: warning: no route to server 198.51.100.8 of the default group of `a`; connections to "
                          "it are dropped: give a route or `gateway` that leads there, or a port an address in that "
                          "network",
                          HasSubstr("14:9: warning: no route to server 10.0.1.7 and 2 more of group `g`; connections "
                                    "to them are dropped: give a route")));
  EXPECT_THAT(said("gateway: 192.0.2.1\n"), IsEmpty());
  EXPECT_THAT(said("gateway: '2001:db8::1'\n"), ::testing::SizeIs(2));
  EXPECT_THAT(said("routes: [{to: 10.0.1.0/24, via: 10.0.0.1}, {to: 198.51.0.0/16, via: 10.0.0.1}]\n"), IsEmpty());
  EXPECT_THAT(said("gateway: 192.0.2.0.1\n"), IsEmpty()) << "an unreadable route might have led there";
}

}  // namespace
}  // namespace steelyard::control::config
