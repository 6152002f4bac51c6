#include "dataplane/nic/netlink.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>

#include <utility>

#include <fmt/format.h>

namespace steelyard::nic {
namespace {

// libnl's objects as owned values.
template <auto release>
struct Release {
  template <class Object>
  void operator()(Object* object) const {
    release(object);
  }
};
using Link = std::unique_ptr<rtnl_link, Release<rtnl_link_put>>;
using LinkAddress = std::unique_ptr<nl_addr, Release<nl_addr_put>>;
using InterfaceAddress = std::unique_ptr<rtnl_addr, Release<rtnl_addr_put>>;
using Route = std::unique_ptr<rtnl_route, Release<rtnl_route_put>>;
using NextHop = std::unique_ptr<rtnl_nexthop, Release<rtnl_route_nh_free>>;

int family_of(const std::string& text) {
  return text.find(':') == std::string::npos ? AF_INET : AF_INET6;
}

// The family is given, for libnl would also read MAC addresses and names.
LinkAddress parse(const std::string& text) {
  nl_addr* address = nullptr;
  return LinkAddress(nl_addr_parse(text.c_str(), family_of(text), &address) == 0 ? address : nullptr);
}

Result<void> checked(int result, std::string what) {
  if (result < 0) {
    return failure(fmt::format("{}: {}", what, nl_geterror(result)));
  }
  return {};
}

}  // namespace

void InterfaceSetup::Close::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

InterfaceSetup::InterfaceSetup(std::unique_ptr<nl_sock, Close> socket, std::string interface, int index)
    : socket_(std::move(socket)), interface_(std::move(interface)), index_(index) {}
InterfaceSetup::InterfaceSetup(InterfaceSetup&&) noexcept = default;
InterfaceSetup::~InterfaceSetup() = default;

Result<InterfaceSetup> InterfaceSetup::open(const std::string& interface) {
  std::unique_ptr<nl_sock, Close> socket(nl_socket_alloc());
  if (socket == nullptr) {
    return failure("no memory for a netlink socket");
  }
  if (const int result = nl_connect(socket.get(), NETLINK_ROUTE); result < 0) {
    return failure(fmt::format("netlink: {}", nl_geterror(result)));
  }
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) {
    return failure(fmt::format("interface {} is not there", interface));
  }
  return InterfaceSetup(std::move(socket), interface, static_cast<int>(index));
}

Result<void> InterfaceSetup::set_link(const rte_ether_addr& mac, std::uint16_t mtu) {
  const Link link(rtnl_link_alloc());
  const LinkAddress address(nl_addr_build(AF_LLC, mac.addr_bytes, sizeof(mac.addr_bytes)));
  const Link change(rtnl_link_alloc());
  if (!link || !address || !change) {
    return failure("no memory for a netlink message");
  }
  rtnl_link_set_ifindex(link.get(), index_);
  rtnl_link_set_addr(change.get(), address.get());
  rtnl_link_set_mtu(change.get(), mtu);
  return checked(rtnl_link_change(socket_.get(), link.get(), change.get(), 0),
                 fmt::format("interface {}: MTU {} or its MAC address is refused", interface_, mtu));
}

Result<void> InterfaceSetup::add_address(const std::string& text) {
  const LinkAddress local = parse(text);
  const InterfaceAddress address(rtnl_addr_alloc());
  if (!local || !address) {
    return failure(fmt::format("interface {}: `{}` is no address with a prefix length", interface_, text));
  }
  rtnl_addr_set_ifindex(address.get(), index_);
  // No duplicate address detection: the address belongs to the port, whose neighbour room looks for duplicates.
  rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
  int result = rtnl_addr_set_local(address.get(), local.get());
  const LinkAddress broadcast = family_of(text) == AF_INET && nl_addr_get_prefixlen(local.get()) < 31
                                    ? LinkAddress(nl_addr_clone(local.get()))
                                    : nullptr;
  if (result == 0 && broadcast) {
    auto* bytes = static_cast<std::uint8_t*>(nl_addr_get_binary_addr(broadcast.get()));
    for (unsigned bit = nl_addr_get_prefixlen(local.get()); bit < 32; ++bit) {
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (0x80u >> (bit % 8)));
    }
    nl_addr_set_prefixlen(broadcast.get(), 32);
    result = rtnl_addr_set_broadcast(address.get(), broadcast.get());
  }
  if (result == 0) {
    result = rtnl_addr_add(socket_.get(), address.get(), NLM_F_CREATE | NLM_F_REPLACE);
  }
  return checked(result, fmt::format("interface {}: address {} is refused", interface_, text));
}

Result<void> InterfaceSetup::bring_up() {
  const Link link(rtnl_link_alloc());
  const Link change(rtnl_link_alloc());
  if (!link || !change) {
    return failure("no memory for a netlink message");
  }
  rtnl_link_set_ifindex(link.get(), index_);
  rtnl_link_set_flags(change.get(), IFF_UP);
  return checked(rtnl_link_change(socket_.get(), link.get(), change.get(), 0),
                 fmt::format("interface {} does not come up", interface_));
}

Result<void> InterfaceSetup::add_route(const KernelRoute& wanted) {
  const std::string what =
      fmt::format("interface {}: route to {} via {} is refused", interface_, wanted.to, wanted.via);
  const LinkAddress destination = parse(wanted.to);
  const LinkAddress gateway = parse(wanted.via);
  const Route route(rtnl_route_alloc());
  NextHop hop(rtnl_route_nh_alloc());
  if (!destination || !gateway || !route || !hop) {
    return failure(what + ": not addresses");
  }
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(family_of(wanted.to)));
  rtnl_route_set_scope(route.get(), RT_SCOPE_UNIVERSE);
  rtnl_route_set_table(route.get(), RT_TABLE_MAIN);
  rtnl_route_set_protocol(route.get(), RTPROT_STATIC);
  rtnl_route_set_priority(route.get(), exception_route_metric);
  const int result = rtnl_route_set_dst(route.get(), destination.get());
  if (result < 0) {
    return checked(result, what);
  }
  rtnl_route_nh_set_ifindex(hop.get(), index_);
  rtnl_route_nh_set_gateway(hop.get(), gateway.get());
  // The configuration may name a port for a next hop that lies in no connected prefix.
  rtnl_route_nh_set_flags(hop.get(), RTNH_F_ONLINK);
  rtnl_route_add_nexthop(route.get(), hop.release());
  return checked(rtnl_route_add(socket_.get(), route.get(), NLM_F_CREATE | NLM_F_EXCL), what);
}

}  // namespace steelyard::nic
