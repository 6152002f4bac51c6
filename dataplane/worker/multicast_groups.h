// The IPv6 multicast groups that a port must hear: without them no neighbour solicitation for a VIP, a local address or
// the node itself gets through a NIC's filter. Pure; control thread.
#pragma once

#include <span>
#include <vector>

#include "dataplane/nic/port.h"
#include "dataplane/service/address.h"

namespace steelyard::worker {

// Ethernet addresses, sorted, each once: all nodes (RFC 4291 section 2.7.1), the solicited-node groups of the IPv6
// addresses among `addresses`, and that of the link-local address that the kernel's side makes of `mac` (RFC 4862
// section 5.3). Nothing when none of the addresses is IPv6.
[[nodiscard]] std::vector<rte_ether_addr> multicast_groups(std::span<const service::Address> addresses,
                                                           const rte_ether_addr& mac);

}  // namespace steelyard::worker
