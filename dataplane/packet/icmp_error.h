// ICMP errors (RFC 792, RFC 4443 section 3) and the packets that they quote: the beginning of what somebody sent, as it
// arrived where the error was made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/packet/view.h"

namespace steelyard::packet {

// The quoted packet: TCP or UDP, at least its first eight bytes.
struct IcmpQuote {
  std::uint8_t* l3 = nullptr;
  std::uint8_t* l4 = nullptr;
  std::size_t l4_quoted = 0;  // bytes from l4 on that are there; 8 or more
  std::uint8_t protocol = 0;

  template <class Family>
  [[nodiscard]] Tuple<Family> tuple() const {
    return {load<typename Family::Address>(l3 + Family::source_offset),
            load<typename Family::Address>(l3 + Family::destination_offset), load<std::uint16_t>(l4),
            load<std::uint16_t>(l4 + 2), protocol};
  }
};

// Is it an error that concerns a packet on its way: unreachable, too big, time exceeded, a bad header field? Redirects
// are between neighbours, and source quench is no more (RFC 6633).
[[nodiscard]] bool is_icmp_error(const PacketView& view);

// The quote in an error whose checksum is right. Nothing: the checksum is wrong, the message is not whole in the first
// segment, or it quotes no TCP or UDP packet's beginning. IPv6 extension headers in front of it are passed over.
template <class Family>
[[nodiscard]] std::optional<IcmpQuote> quote_in(const PacketView& error);

// What fits on the path of the quoted packet, if that is what the error says (RFC 1191 section 4, RFC 4443
// section 3.2); 0 from routers that do not know (RFC 1191 section 5).
template <class Family>
[[nodiscard]] std::optional<std::uint32_t> too_big_mtu(const PacketView& error);

// Does an error (is_icmp_error()) say that a try again will fare no better: a protocol, a port or a policy is in the
// way (RFC 1122 section 3.2.2.1, RFC 4443 section 3)?
[[nodiscard]] bool is_hard_error(const PacketView& error);

// A quoted packet that has another IP packet in it: its outer header.
template <class Family>
struct QuotedTunnel {
  typename Family::Address source;
  typename Family::Address destination;
  std::uint16_t mtu = 0;  // what fits, if that is what the error says, and less than what did not; else 0
};

// The same for such a packet, of which a router may quote little more than the header (RFC 792).
template <class Family>
[[nodiscard]] std::optional<QuotedTunnel<Family>> quoted_tunnel(const PacketView& error);

// Writes the error's checksum anew, after changes to its addresses or to the quote.
template <class Family>
void write_icmp_checksum(const PacketView& error);

}  // namespace steelyard::packet
