// Memberships in the solicited-node groups of addresses that Steelyard answers for (RFC 4291 section 2.7.1), held by a
// port's kernel-side interface: the kernel tells the link of them and answers the routers' queries (MLDv2, RFC 3810).
// Switches that look at MLD bring neighbour solicitations for a VIP only to those who have said that they listen
// (RFC 4541 section 3).
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "dataplane/nic/exception.h"
#include "dataplane/nic/file_descriptor.h"

namespace steelyard::nic {

// An IPv6 address or group, as on the wire.
using Ipv6Bytes = std::array<std::uint8_t, 16>;

[[nodiscard]] Ipv6Bytes solicited_node_group(const Ipv6Bytes& address);

// Control thread. The memberships end with the object.
class GroupMembership {
 public:
  // Of the interface that ExceptionInterface::create() has made of these settings.
  explicit GroupMembership(const ExceptionSettings& settings)
      : name_(settings.name),
        network_namespace_(settings.network_namespace),
        namespace_folder_(settings.namespace_folder) {}

  // Is in the groups of exactly these addresses from now on; returns how many of the groups the kernel has refused
  // (an interface without IPv6 refuses all).
  std::size_t listen_for(std::span<const Ipv6Bytes> addresses);

 private:
  // A socket holds so many that the kernel's default limit on its options (net.core.optmem_max) is far away.
  static constexpr std::size_t groups_a_socket = 128;

  struct Socket {
    FileDescriptor descriptor;
    std::set<Ipv6Bytes> groups;
  };
  [[nodiscard]] Socket* socket_with_room();
  bool join(const Ipv6Bytes& group);
  void leave_others(const std::set<Ipv6Bytes>& wanted);

  std::string name_;
  std::string network_namespace_;
  std::string namespace_folder_;
  unsigned interface_ = 0;  // its index; 0: not yet known
  std::vector<Socket> sockets_;
};

}  // namespace steelyard::nic
