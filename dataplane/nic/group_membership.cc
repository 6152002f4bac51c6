#include "dataplane/nic/group_membership.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>

#include "dataplane/nic/network_namespace.h"

namespace steelyard::nic {
namespace {

ipv6_mreq request_for(const Ipv6Bytes& group, unsigned interface) {
  ipv6_mreq request{};
  std::ranges::copy(group, request.ipv6mr_multiaddr.s6_addr);
  request.ipv6mr_interface = interface;
  return request;
}

}  // namespace

Ipv6Bytes solicited_node_group(const Ipv6Bytes& address) {
  Ipv6Bytes group{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};
  std::ranges::copy(std::span(address).last<3>(), group.begin() + 13);
  return group;
}

std::size_t GroupMembership::listen_for(std::span<const Ipv6Bytes> addresses) {
  std::set<Ipv6Bytes> wanted;
  std::ranges::transform(addresses, std::inserter(wanted, wanted.end()), solicited_node_group);
  leave_others(wanted);
  for (const Socket& socket : sockets_) {
    for (const Ipv6Bytes& group : socket.groups) {
      wanted.erase(group);
    }
  }
  return static_cast<std::size_t>(
      std::ranges::count_if(wanted, [this](const Ipv6Bytes& group) { return !join(group); }));
}

void GroupMembership::leave_others(const std::set<Ipv6Bytes>& wanted) {
  for (Socket& socket : sockets_) {
    std::erase_if(socket.groups, [&](const Ipv6Bytes& group) {
      if (wanted.contains(group)) {
        return false;
      }
      const ipv6_mreq request = request_for(group, interface_);
      ::setsockopt(socket.descriptor.get(), IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &request, sizeof request);
      return true;
    });
  }
}

bool GroupMembership::join(const Ipv6Bytes& group) {
  Socket* socket = socket_with_room();
  if (socket == nullptr) {
    return false;
  }
  const ipv6_mreq request = request_for(group, interface_);
  if (::setsockopt(socket->descriptor.get(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request) != 0) {
    return false;
  }
  socket->groups.insert(group);
  return true;
}

GroupMembership::Socket* GroupMembership::socket_with_room() {
  const auto found =
      std::ranges::find_if(sockets_, [](const Socket& socket) { return socket.groups.size() < groups_a_socket; });
  if (found != sockets_.end()) {
    return &*found;
  }
  FileDescriptor opened;
  const Result<void> done = in_network_namespace(namespace_folder_, network_namespace_, [&]() -> Result<void> {
    interface_ = ::if_nametoindex(name_.c_str());
    opened = FileDescriptor(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return {};
  });
  if (!done || !opened.valid() || interface_ == 0) {
    return nullptr;
  }
  sockets_.push_back({std::move(opened), {}});
  return &sockets_.back();
}

}  // namespace steelyard::nic
