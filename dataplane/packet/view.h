// A parsed packet: where its headers are and what they say. Parsing checks everything that forwarding relies on
// (RFC 1812 section 5.2.2, RFC 9293 section 3.1), so that no later code looks at a length again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/family.h"

namespace steelyard::packet {

inline constexpr std::size_t ethernet_header_size = 14;
inline constexpr std::uint16_t ether_type_arp = 0x0806;
inline constexpr std::uint16_t ether_type_vlan = 0x8100;          // IEEE 802.1Q
inline constexpr std::uint16_t ether_type_service_vlan = 0x88a8;  // 802.1ad, the outer one of two tags
inline constexpr std::size_t vlan_tag_size = 4;
inline constexpr std::uint8_t protocol_icmp = 1;
inline constexpr std::uint8_t protocol_ipv4 = 4;       // an IPv4 packet inside
inline constexpr std::uint8_t protocol_ipv6 = 41;      // an IPv6 packet inside
inline constexpr std::uint8_t protocol_fragment = 44;  // the IPv6 extension header
inline constexpr std::uint8_t protocol_icmpv6 = 58;
inline constexpr std::uint8_t protocol_destination_options = 60;

// Without options.
inline constexpr std::size_t tcp_header_size = 20;
inline constexpr std::size_t udp_header_size = 8;
inline constexpr std::size_t icmp_header_size = 8;
inline constexpr std::size_t fragment_header_size = 8;  // of IPv6
// RFC 8200 has no limit; what a host needs is two or three. A longer chain is a way to burn our time.
inline constexpr int max_extension_headers = 6;

// TCP flag bits (RFC 9293 section 3.1).
namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01;
inline constexpr std::uint8_t syn = 0x02;
inline constexpr std::uint8_t rst = 0x04;
inline constexpr std::uint8_t psh = 0x08;
inline constexpr std::uint8_t ack = 0x10;
inline constexpr std::uint8_t urg = 0x20;
}  // namespace tcp_flag

// What sort of packet it is; decides which room handles it.
enum class PacketKind : std::uint8_t {
  dropped,  // `drop` says why
  l4,       // TCP or UDP, every length checked
  icmp,     // ICMP or ICMPv6, at least 8 bytes of it
  arp,
  other_ip,  // IP with another protocol
  fragment,  // a piece of an IP packet; l4 is where its data begin, see fragment.h
};

// Points into the packet's first segment, which the packet's owner keeps alive. Worker only.
struct PacketView {
  std::uint8_t* l3 = nullptr;
  std::uint8_t* l4 = nullptr;
  std::uint16_t l4_length = 0;    // header and payload of layer 4, from the IP header
  std::uint16_t tcp_payload = 0;  // payload bytes of a TCP segment
  std::uint16_t l3_length = 0;    // the IP packet's whole length
  PacketKind kind = PacketKind::dropped;
  DropReason drop = DropReason::frame_too_short;
  bool is_v6 = false;
  std::uint8_t protocol = 0;
  std::uint8_t tcp_flags = 0;
  std::uint16_t contiguous = 0;  // bytes from the IP header on in the first segment; not set by parse_plain_tcp()

  template <class Family>
  [[nodiscard]] typename Family::Address source() const {
    return load<typename Family::Address>(l3 + Family::source_offset);
  }
  template <class Family>
  [[nodiscard]] typename Family::Address destination() const {
    return load<typename Family::Address>(l3 + Family::destination_offset);
  }
  // Of kind l4 only.
  template <class Family>
  [[nodiscard]] Tuple<Family> tuple() const {
    return {source<Family>(), destination<Family>(), load<std::uint16_t>(l4), load<std::uint16_t>(l4 + 2), protocol};
  }
};

struct ParseOptions {
  bool ip_checksum_verified = false;  // the NIC has done it
};

// Parses the contiguous first segment of a frame into `view`, whatever that held. `frame_length` is the length over all
// segments. Never reads beyond `first_segment`, never writes to it.
void parse(std::span<std::uint8_t> first_segment, std::size_t frame_length, ParseOptions options, PacketView& view);

[[nodiscard]] inline PacketView parse(std::span<std::uint8_t> first_segment, std::size_t frame_length,
                                      ParseOptions options) {
  PacketView view;
  parse(first_segment, frame_length, options, view);
  return view;
}

}  // namespace steelyard::packet
