// Who talks to whom, for both address families: an IPv4 address is kept as the IPv4-mapped IPv6 one (RFC 4291 section
// 2.5.5.2), which never comes from the wire as such (the parser drops it). So tables, hashes and tests are written
// once.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "dataplane/packet/family.h"
#include "dataplane/packet/hash.h"

namespace steelyard::tcp {

using packet::Ipv6Address;

[[nodiscard]] inline Ipv6Address mapped(packet::Ipv4Address address) {
  std::array<std::uint32_t, 4> words{0, 0, __builtin_bswap32(0xffffU), address.raw};
  return {std::bit_cast<std::array<std::uint64_t, 2>>(words)};
}
[[nodiscard]] inline bool is_ipv4(const Ipv6Address& address) {
  const auto words = std::bit_cast<std::array<std::uint32_t, 4>>(address.raw);
  return address.raw[0] == 0 && words[2] == __builtin_bswap32(0xffffU);
}
// Of an address that is_ipv4().
[[nodiscard]] inline packet::Ipv4Address ipv4_of(const Ipv6Address& address) {
  return {std::bit_cast<std::array<std::uint32_t, 4>>(address.raw)[3]};
}

struct Endpoints {
  Ipv6Address remote;
  Ipv6Address local;
  std::uint16_t remote_port = 0;  // host order
  std::uint16_t local_port = 0;   // host order

  [[nodiscard]] bool ipv4() const { return is_ipv4(remote); }
  // RFC 9293 section 3.7.1: what a peer takes that has not said so.
  [[nodiscard]] std::uint16_t default_segment_size() const { return ipv4() ? 536 : 1'220; }
  // IP and TCP headers without options.
  [[nodiscard]] std::uint16_t headers() const { return ipv4() ? 40 : 60; }
  // No narrower path is believed, whoever reports it: RFC 8200 section 5; for IPv4 what every host takes in.
  [[nodiscard]] std::uint16_t minimum_mtu() const {
    return static_cast<std::uint16_t>(ipv4() ? packet::Ipv4::minimum_mtu : packet::Ipv6::minimum_mtu);
  }

  friend bool operator==(const Endpoints& left, const Endpoints& right) {
    const std::uint64_t addresses =
        packet::difference(left.remote, right.remote) | packet::difference(left.local, right.local);
    const auto ports = (left.remote_port ^ right.remote_port) | (left.local_port ^ right.local_port);
    return (addresses | static_cast<std::uint64_t>(ports)) == 0;
  }
};
static_assert(sizeof(Endpoints) == 40);

// That of the tuple of the packets that the remote end sends.
[[nodiscard]] inline std::uint64_t hash(const packet::HashKey& key, const Endpoints& endpoints) {
  const std::uint16_t remote_port = __builtin_bswap16(endpoints.remote_port);
  const std::uint16_t local_port = __builtin_bswap16(endpoints.local_port);
  if (endpoints.ipv4()) {
    return packet::hash(key, packet::Tuple<packet::Ipv4>{ipv4_of(endpoints.remote), ipv4_of(endpoints.local),
                                                         remote_port, local_port, packet::protocol_tcp});
  }
  return packet::hash(key, packet::Tuple<packet::Ipv6>{endpoints.remote, endpoints.local, remote_port, local_port,
                                                       packet::protocol_tcp});
}

}  // namespace steelyard::tcp
