// What the benchmarks send: who lives where on the one link of the stand, and TCP segments of connections that follow
// from a flow's number, so that neither side of a connection has to be kept. Pure; knows no DPDK.
//
//   flow f: client (f mod clients), port 1024 + f / clients; both initial numbers are made from f
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/neighbor/messages.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/family.h"
#include "dataplane/packet/sequence.h"
#include "dataplane/packet/view.h"
#include "dataplane/service/address.h"

namespace steelyard::bench {

// The link's hosts: 10.0.0.0/8 and fd00::/64, each by a number below 2^24.
namespace host {
inline constexpr std::uint32_t balancer = 2;
inline constexpr std::uint32_t vip = 10;
inline constexpr std::uint32_t server = 0x000100;  // + its number
inline constexpr std::uint32_t local = 0x001000;   // + its number, full NAT's addresses
inline constexpr std::uint32_t client = 0x400000;  // + its number
}  // namespace host

inline constexpr std::uint16_t vip_port = 80;
inline constexpr std::uint16_t server_port = 8080;
inline constexpr std::uint16_t first_client_port = 1024;
// Connections a client address (or a local address) is given at most; both have some ports more.
inline constexpr std::size_t flows_an_address = 60'000;
// The shortest frame on Ethernet without its checksum.
inline constexpr std::size_t shortest_frame = 60;

template <class Family>
[[nodiscard]] typename Family::Address address_of(std::uint32_t number) {
  if constexpr (Family::is_v6) {
    return {{__builtin_bswap64(0xfd00'0000'0000'0000U), __builtin_bswap64(number)}};
  } else {
    return {__builtin_bswap32(0x0a00'0000U + number)};
  }
}

// The number of an address that address_of() made.
[[nodiscard]] inline std::uint32_t number_of(const packet::Ipv4Address& address) {
  return __builtin_bswap32(address.raw) - 0x0a00'0000U;
}
[[nodiscard]] inline std::uint32_t number_of(const packet::Ipv6Address& address) {
  return static_cast<std::uint32_t>(__builtin_bswap64(address.raw[1]));
}

template <class Family>
[[nodiscard]] service::Address service_address(std::uint32_t number) {
  const auto address = address_of<Family>(number);
  if constexpr (Family::is_v6) {
    return service::Address::from_v6(address.bytes());
  } else {
    return service::Address::from_v4(address.bytes());
  }
}

[[nodiscard]] inline neighbor::IpKey neighbor_key(const service::Address& address) {
  return packet::load<neighbor::IpKey>(address.v6().data());
}

// Locally administered, one a host.
[[nodiscard]] inline neighbor::MacAddress mac_of(std::uint32_t number) {
  return {0x02,
          0x00,
          0x5e,
          static_cast<std::uint8_t>(number >> 16U),
          static_cast<std::uint8_t>(number >> 8U),
          static_cast<std::uint8_t>(number)};
}

[[nodiscard]] inline packet::Sequence client_isn(std::uint64_t flow) {
  return {static_cast<std::uint32_t>(flow * 2'654'435'761U)};
}
[[nodiscard]] inline packet::Sequence server_isn(std::uint64_t flow) {
  return {static_cast<std::uint32_t>(flow * 0x9e3779b1U + 0x51ed270bU)};
}

template <class Family>
struct TcpFrame {
  packet::Tuple<Family> tuple;
  packet::Sequence sequence;
  packet::Sequence acknowledgment;
  std::uint8_t flags = packet::tcp_flag::ack;
};

// What Linux offers in a SYN: MSS 1460, SACK permitted, timestamps, window scale 7.
inline constexpr std::array<std::uint8_t, 20> syn_options{2, 4, 5, 180, 4, 2, 8, 10, 0, 1,
                                                          2, 3, 0, 0,   0, 0, 1, 3,  3, 7};

// Writes the frame without payload, all checksums right, padded to Ethernet's minimum. Returns its length, at most 94.
template <class Family>
std::size_t write_frame(std::uint8_t* frame, const neighbor::MacAddress& to, const TcpFrame<Family>& segment) {
  using packet::store;
  const bool syn = (segment.flags & packet::tcp_flag::syn) != 0;
  const std::size_t tcp_length = 20 + (syn ? syn_options.size() : 0);
  const std::size_t length = packet::ethernet_header_size + Family::header_size + tcp_length;
  std::uint8_t* l3 = frame + packet::ethernet_header_size;
  std::uint8_t* l4 = l3 + Family::header_size;
  std::memcpy(frame, to.data(), 6);
  std::memset(frame + 6, 0x02, 6);
  store(frame + 12, __builtin_bswap16(Family::ether_type));
  std::memset(l3, 0, Family::header_size);
  if constexpr (Family::is_v6) {
    l3[0] = 0x60;
    store(l3 + 4, __builtin_bswap16(static_cast<std::uint16_t>(tcp_length)));
    l3[6] = packet::protocol_tcp;
  } else {
    l3[0] = 0x45;
    store(l3 + 2, __builtin_bswap16(static_cast<std::uint16_t>(Family::header_size + tcp_length)));
    l3[6] = 0x40;
    l3[9] = packet::protocol_tcp;
  }
  l3[Family::ttl_offset] = 64;
  store(l3 + Family::source_offset, segment.tuple.source);
  store(l3 + Family::destination_offset, segment.tuple.destination);
  if constexpr (!Family::is_v6) {
    store(l3 + 10, packet::ipv4_header_checksum({l3, Family::header_size}));
  }
  store(l4, segment.tuple.source_port);
  store(l4 + 2, segment.tuple.destination_port);
  store(l4 + 4, __builtin_bswap32(segment.sequence.value));
  store(l4 + 8, __builtin_bswap32(segment.acknowledgment.value));
  l4[12] = static_cast<std::uint8_t>(tcp_length / 4 << 4U);
  l4[13] = segment.flags;
  store(l4 + 14, __builtin_bswap16(0xfaf0));
  std::memset(l4 + 16, 0, 4);
  if (syn) {
    std::memcpy(l4 + 20, syn_options.data(), syn_options.size());
  }
  store(l4 + 16, packet::l4_checksum<Family>(segment.tuple.source, segment.tuple.destination, packet::protocol_tcp,
                                             {l4, tcp_length}));
  return std::max(length, shortest_frame);
}

}  // namespace steelyard::bench
