#include "dataplane/worker/multicast_groups.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace steelyard::worker {

std::vector<rte_ether_addr> multicast_groups(std::span<const service::Address> addresses, const rte_ether_addr& mac) {
  std::vector<rte_ether_addr> groups;
  for (const service::Address& address : addresses) {
    if (!address.is_v4()) {
      groups.push_back(nic::solicited_node_mac(address.v6()));
    }
  }
  if (groups.empty()) {
    return groups;
  }
  constexpr std::array<std::uint8_t, 16> all_nodes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  groups.push_back(nic::multicast_mac(all_nodes));
  // A solicited-node group takes the last three bytes of an address, and an interface identifier made of a MAC ends
  // with the MAC's.
  std::array<std::uint8_t, 16> link_local{0xfe, 0x80};
  std::ranges::copy(std::span(mac.addr_bytes).last<3>(), link_local.begin() + 13);
  groups.push_back(nic::solicited_node_mac(link_local));
  const auto before = [](const rte_ether_addr& left, const rte_ether_addr& right) {
    return std::memcmp(left.addr_bytes, right.addr_bytes, RTE_ETHER_ADDR_LEN) < 0;
  };
  std::ranges::sort(groups, before);
  const auto same = [](const rte_ether_addr& left, const rte_ether_addr& right) {
    return rte_is_same_ether_addr(&left, &right) != 0;
  };
  groups.erase(std::unique(groups.begin(), groups.end(), same), groups.end());
  return groups;
}

}  // namespace steelyard::worker
