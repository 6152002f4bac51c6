// The groups that a port must hear, against the addresses of RFC 4291's own examples.
#include "dataplane/worker/multicast_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace steelyard::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> groups_of(std::initializer_list<const char*> addresses) {
  std::vector<service::Address> parsed;
  for (const char* address : addresses) {
    parsed.push_back(service::Address::parse(address).value());
  }
  std::vector<std::string> words;
  for (const rte_ether_addr& group : multicast_groups(parsed, {{0x02, 0x00, 0x5e, 0x10, 0x20, 0x30}})) {
    words.push_back(nic::to_string(group));
  }
  return words;
}

TEST(MulticastGroups, AreNotNeededForIpv4) {
  EXPECT_THAT(groups_of({"192.0.2.1", "198.51.100.7"}), IsEmpty());
}

TEST(MulticastGroups, HoldAllNodesAndTheSolicitedNodesOfEveryAddressAndOfTheLinkLocalOne) {
  EXPECT_THAT(groups_of({"192.0.2.1", "4037::1:800:200e:8c6c"}),
              ElementsAre("33:33:00:00:00:01", "33:33:ff:0e:8c:6c", "33:33:ff:10:20:30"));
}

TEST(MulticastGroups, HoldAGroupOfTwoAddressesOnce) {
  EXPECT_THAT(groups_of({"2001:db8:1::80", "2001:db8:2::80", "2001:db8::10:2030"}),
              ElementsAre("33:33:00:00:00:01", "33:33:ff:00:00:80", "33:33:ff:10:20:30"));
}

}  // namespace
}  // namespace steelyard::worker
