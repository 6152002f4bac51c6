// Packets that a worker makes itself: TCP resets, ICMP and ICMPv6 errors, echo replies. Everything is written from the
// IP header on; the Ethernet header comes from the next hop when the packet is sent. Nothing here allocates: the caller
// gives the room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/family.h"
#include "dataplane/packet/sequence.h"
#include "dataplane/packet/view.h"

namespace steelyard::packet {

// A TCP segment without options.
template <class Family>
struct TcpControl {
  Tuple<Family> tuple;
  Sequence sequence;
  Sequence acknowledgment;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  // as it stands in the header, host order
  std::span<const std::uint8_t> payload{};
};

// Room that any packet built here fits in: an ICMPv6 error fills the minimum MTU (RFC 4443 section 2.4 c).
inline constexpr std::size_t largest_built_packet = Ipv6::minimum_mtu;

// Writes the segment with its IP header into room for all of it; returns its length.
template <class Family>
std::size_t build_tcp_control(std::span<std::uint8_t> room, const TcpControl<Family>& segment);

// The reset that answers `offending`, which found no connection (RFC 9293 section 3.10.7.1): its sequence number is the
// offender's acknowledgment, or 0 with an acknowledgment of everything the offender sent. `offending` must not be a
// RST.
template <class Family>
[[nodiscard]] TcpControl<Family> reset_answer(const PacketView& offending);

// Writes "port unreachable" about `offending` (RFC 792, RFC 1812 section 4.3.2.3: at most 576 bytes; RFC 4443 section
// 3.1: at most 1,280 bytes), from the offender's destination address, with as much of the offender as fits and is
// contiguous. Returns the length.
template <class Family>
std::size_t build_port_unreachable(std::span<std::uint8_t> room, const PacketView& offending);

// Writes "fragmentation needed" (RFC 1191 section 4) or "packet too big" (RFC 4443 section 3.2) about `offending`, for
// a next hop that takes `mtu` bytes; the rest as above.
template <class Family>
std::size_t build_too_big(std::span<std::uint8_t> room, const PacketView& offending, std::uint16_t mtu);

// Is it an echo request (ICMP type 8, ICMPv6 type 128)?
[[nodiscard]] bool is_echo_request(const PacketView& view);

// Turns an echo request into its reply, in place (RFC 792, RFC 4443 section 4.2).
template <class Family>
void turn_into_echo_reply(const PacketView& view);

// Writes an IP header for `payload` bytes after it (hop limit 64; the checksum of IPv4 included).
template <class Family>
void write_ip_header(std::uint8_t* l3, const typename Family::Address& source,
                     const typename Family::Address& destination, std::uint8_t protocol, std::size_t payload,
                     std::uint8_t ttl = 64);

}  // namespace steelyard::packet
