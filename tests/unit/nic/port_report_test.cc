// Words and addresses that need no device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "dataplane/nic/port.h"

namespace steelyard::nic {
namespace {

using ::testing::HasSubstr;

TEST(PciAddress, IsToldFromAVirtualDevice) {
  EXPECT_TRUE(is_pci_address("0000:03:00.0"));
  EXPECT_TRUE(is_pci_address("af:1f.7"));
  for (const char* other :
       {"", "net_null0", "0000:03:00", "0000:03:00.0,x=1", "000g:03:00.0", "0000-03:00.0", "3:0.0", "0000:03:00:0"}) {
    EXPECT_FALSE(is_pci_address(other)) << other;
  }
}

TEST(MulticastMac, HasTheLast32BitsOfTheGroup) {
  const std::array<std::uint8_t, 16> all_nodes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_EQ(to_string(multicast_mac(all_nodes)), "33:33:00:00:00:01");
}

TEST(SolicitedNodeMac, HasTheLast24BitsOfTheAddress) {
  const std::array<std::uint8_t, 16> address{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd};
  EXPECT_EQ(to_string(solicited_node_mac(address)), "33:33:ff:bb:cc:dd");
}

TEST(PortReport, SaysWhatIsDoneInSoftware) {
  PortReport report;
  report.name = "wan";
  report.driver = "net_virtio";
  report.tx_checksum = {.ipv4 = false, .tcp = true, .udp = true};
  report.rss_functions = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
  const std::string line = to_string(report);
  EXPECT_THAT(line, HasSubstr("port=wan"));
  EXPECT_THAT(line, HasSubstr("rx_checksum=software"));
  EXPECT_THAT(line, HasSubstr("tx_checksum=tcp+udp"));
  EXPECT_THAT(line, HasSubstr("rss=tcp "));
  EXPECT_THAT(line, HasSubstr("numa=any"));
}

}  // namespace
}  // namespace steelyard::nic
