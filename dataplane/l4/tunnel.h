// Mode `tunnel`: a client's packet travels to its server as it is, behind an outer IP header of either family (RFC 2003
// and RFC 2473 for IPv4 inside, RFC 4213 and RFC 2473 for IPv6). What stands in that header is known per server; the
// packet path copies it and fills in four fields. Pure: no table, no clock.
//
//   one server's end, 64 bytes = one cache line:
//    0 header    the outer header as far as all packets share it; IPv4: 20 bytes, checksum of what is constant
//   40 sources   addresses of ours that flows take turns in, so that the server's NIC tells them apart (RSS)
//   56 mtu       of the largest packet that fits behind the header
//   58 header_size, 0: no tunnel's end  59 outer IPv6  60 version
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l4/flow_filter.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/hash.h"
#include "dataplane/packet/view.h"
#include "dataplane/service/address.h"

namespace steelyard::l4 {

// An outer header and an Ethernet header never take more room in front of a packet.
inline constexpr std::size_t most_grown = packet::Ipv6::header_size;

struct alignas(64) TunnelEnd {
  std::array<std::uint8_t, packet::Ipv6::header_size> header{};
  std::span<const service::Address> sources;
  std::uint16_t mtu = 0;
  std::uint8_t header_size = 0;
  bool outer_v6 = false;
  std::uint32_t version = 0;  // of what `sources` and `mtu` were made from; 0: never made

  [[nodiscard]] service::Address address() const {
    return outer_v6 ? service::Address::from_v6(std::span(header).subspan<packet::Ipv6::destination_offset, 16>())
                    : service::Address::from_v4(std::span(header).subspan<packet::Ipv4::destination_offset, 4>());
  }
};
static_assert(sizeof(TunnelEnd) == 64);

// Of the end at `address` for packets of `Inner`; its `version` is 0.
template <class Inner>
[[nodiscard]] inline TunnelEnd tunnel_end(const service::Address& address) {
  constexpr std::uint8_t hop_limit = 64;
  constexpr std::uint8_t protocol = Inner::is_v6 ? packet::protocol_ipv6 : packet::protocol_ipv4;
  TunnelEnd end;
  end.outer_v6 = !address.is_v4();
  std::uint8_t* header = end.header.data();
  if (end.outer_v6) {
    end.header_size = packet::Ipv6::header_size;
    header[6] = protocol;
    header[packet::Ipv6::ttl_offset] = hop_limit;
    packet::store(header + packet::Ipv6::destination_offset, from_service<packet::Ipv6>(address));
  } else {
    end.header_size = packet::Ipv4::header_size;
    header[0] = 0x45;
    header[6] = 0x40;  // don't fragment: we learn what fits, and split what may be split ourselves
    header[packet::Ipv4::ttl_offset] = hop_limit;
    header[9] = protocol;
    packet::store(header + packet::Ipv4::destination_offset, from_service<packet::Ipv4>(address));
    packet::store(header + 10, packet::ipv4_header_checksum(std::span(header, packet::Ipv4::header_size)));
  }
  return end;
}

// What a flow's packets have in common in their outer headers; no secret.
template <class Family>
[[nodiscard]] inline std::uint64_t variation_of(const typename Family::Address& client, std::uint16_t port) {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15U;
  if constexpr (Family::is_v6) {
    return packet::folded_multiply(client.raw[0] ^ (client.raw[1] << 1U) ^ port, odd);
  } else {
    return packet::folded_multiply(std::uint64_t{client.raw} << 16U | port, odd);
  }
}

// The first bits of both versions' headers: type of service, or traffic class; they are the outer header's, too, with
// what they say of congestion (RFC 2003 section 3.1, RFC 6040 section 4.1).
template <class Inner>
[[nodiscard]] inline std::uint8_t traffic_class(const std::uint8_t* l3) {
  if constexpr (Inner::is_v6) {
    return static_cast<std::uint8_t>(packet::load_be16(l3) >> 4U);
  } else {
    return l3[1];
  }
}

// Writes the outer header in front of the packet, and the Ethernet type in front of that; the frame grows by
// `end.header_size` bytes at its beginning, which must be there. `end` has been made (version) and has sources.
template <class Inner>
inline void write_outer(std::uint8_t* l3, std::size_t l3_length, const TunnelEnd& end, std::uint64_t variation) {
  const service::Address& source =
      end.sources[packet::reduce(variation, static_cast<std::uint32_t>(end.sources.size()))];
  const std::uint8_t traffic = traffic_class<Inner>(l3);
  if (end.outer_v6) {
    std::uint8_t* outer = l3 - packet::Ipv6::header_size;
    std::memcpy(outer, end.header.data(), packet::Ipv6::header_size);
    // The flow label tells flows apart for routers with equal paths (RFC 6438); 0 would say nothing.
    const std::uint32_t label = (static_cast<std::uint32_t>(variation) & 0xfffffU) | 1U;
    packet::store(outer, __builtin_bswap32(6U << 28U | std::uint32_t{traffic} << 20U | label));
    packet::store(outer + 4, __builtin_bswap16(static_cast<std::uint16_t>(l3_length)));
    std::memcpy(outer + packet::Ipv6::source_offset, source.v6().data(), 16);
    packet::store(outer - 2, __builtin_bswap16(packet::Ipv6::ether_type));
  } else {
    std::uint8_t* outer = l3 - packet::Ipv4::header_size;
    std::memcpy(outer, end.header.data(), packet::Ipv4::header_size);
    const auto length = __builtin_bswap16(static_cast<std::uint16_t>(l3_length + packet::Ipv4::header_size));
    const auto address = packet::load<std::uint32_t>(source.v4().data());
    const auto first = static_cast<std::uint16_t>(0x45U | std::uint32_t{traffic} << 8U);  // as it stands in the packet
    packet::ChecksumDelta header;
    header.replace(std::uint16_t{0x45}, first);
    header.replace(std::uint16_t{0}, length);
    header.replace(std::uint32_t{0}, address);
    packet::store(outer, first);
    packet::store(outer + 2, length);
    packet::store(outer + packet::Ipv4::source_offset, address);
    packet::store(outer + 10, header.apply(packet::load<std::uint16_t>(end.header.data() + 10)));
    packet::store(outer - 2, __builtin_bswap16(packet::Ipv4::ether_type));
  }
}

}  // namespace steelyard::l4
