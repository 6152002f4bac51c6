#include "dataplane/packet/icmp_error.h"

#include <span>

#include "dataplane/packet/checksum.h"

namespace steelyard::packet {
namespace {

constexpr std::size_t least_quoted = 8;  // of layer 4 (RFC 792)
constexpr std::uint8_t protocol_hop_by_hop = 0;
constexpr std::uint8_t icmp_unreachable = 3;
constexpr std::uint8_t icmp_code_fragmentation_needed = 4;
constexpr std::uint8_t icmpv6_too_big = 2;

template <class Family>
std::uint16_t checksum_of(const PacketView& error) {
  const std::span<const std::uint8_t> message{error.l4, error.l4_length};
  if constexpr (Family::is_v6) {
    return l4_checksum<Family>(error.source<Family>(), error.destination<Family>(), protocol_icmpv6, message);
  } else {
    return static_cast<std::uint16_t>(~fold(sum_of(message)));
  }
}

// Where layer 4 begins in a quoted IPv4 packet, and what it is; 0 when it does not begin there.
std::size_t find_l4(const Ipv4& /*family*/, std::span<const std::uint8_t> quote, std::uint8_t& protocol) {
  if (quote.size() < Ipv4::header_size || quote[0] >> 4U != 4 || (load_be16(&quote[6]) & 0x1fffU) != 0) {
    return 0;  // a later fragment has no ports
  }
  const std::size_t header = std::size_t{quote[0] & 0x0fU} << 2U;
  protocol = quote[9];
  return header < Ipv4::header_size ? 0 : header;
}

std::size_t find_l4(const Ipv6& /*family*/, std::span<const std::uint8_t> quote, std::uint8_t& protocol) {
  if (quote.size() < Ipv6::header_size || quote[0] >> 4U != 6) {
    return 0;
  }
  protocol = quote[6];
  std::size_t at = Ipv6::header_size;
  for (int count = 0;
       protocol == protocol_hop_by_hop || protocol == protocol_destination_options || protocol == protocol_fragment;
       ++count) {
    if (count == max_extension_headers || at + 8 > quote.size()) {
      return 0;
    }
    const bool is_fragment = protocol == protocol_fragment;
    if (is_fragment && (load_be16(&quote[at + 2]) & 0xfff8U) != 0) {
      return 0;
    }
    protocol = quote[at];
    at += is_fragment ? fragment_header_size : (std::size_t{quote[at + 1]} + 1) << 3U;
  }
  return at;
}

}  // namespace

bool is_icmp_error(const PacketView& view) {
  if (view.kind != PacketKind::icmp) {
    return false;
  }
  const std::uint8_t type = view.l4[0];
  return view.is_v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

bool is_hard_error(const PacketView& error) {
  const std::uint8_t type = error.l4[0];
  const std::uint8_t code = error.l4[1];
  if (error.is_v6) {
    // Administratively prohibited, port unreachable, failed policy, route rejected; an unrecognised next header.
    return (type == 1 && (code == 1 || code >= 4)) || (type == 4 && code == 1);
  }
  // Protocol and port unreachable; prohibited: network, host, communication.
  return type == icmp_unreachable && (code == 2 || code == 3 || code == 9 || code == 10 || code == 13);
}

template <class Family>
std::optional<IcmpQuote> quote_in(const PacketView& error) {
  if (error.contiguous < error.l3_length || checksum_of<Family>(error) != 0) {
    return std::nullopt;
  }
  const std::span<std::uint8_t> quote(error.l4 + icmp_header_size, error.l4_length - icmp_header_size);
  std::uint8_t protocol = 0;
  const std::size_t l4 = find_l4(Family{}, quote, protocol);
  if (l4 == 0 || l4 + least_quoted > quote.size() || (protocol != protocol_tcp && protocol != protocol_udp)) {
    return std::nullopt;
  }
  return IcmpQuote{quote.data(), quote.data() + l4, quote.size() - l4, protocol};
}

template <class Family>
std::optional<std::uint32_t> too_big_mtu(const PacketView& error) {
  if constexpr (Family::is_v6) {
    return error.l4[0] == icmpv6_too_big ? std::optional{__builtin_bswap32(load<std::uint32_t>(error.l4 + 4))}
                                         : std::nullopt;
  } else {
    return error.l4[0] == icmp_unreachable && error.l4[1] == icmp_code_fragmentation_needed
               ? std::optional<std::uint32_t>{load_be16(error.l4 + 6)}
               : std::nullopt;
  }
}

template <class Family>
std::optional<QuotedTunnel<Family>> quoted_tunnel(const PacketView& error) {
  if (error.contiguous < error.l3_length || error.l4_length < icmp_header_size + Family::header_size ||
      checksum_of<Family>(error) != 0) {
    return std::nullopt;
  }
  const std::uint8_t* quote = error.l4 + icmp_header_size;
  const std::uint8_t protocol = quote[Family::is_v6 ? 6 : 9];
  if (quote[0] >> 4U != (Family::is_v6 ? 6 : 4) || (protocol != protocol_ipv4 && protocol != protocol_ipv6)) {
    return std::nullopt;
  }
  QuotedTunnel<Family> found{load<typename Family::Address>(quote + Family::source_offset),
                             load<typename Family::Address>(quote + Family::destination_offset)};
  const std::size_t length =
      Family::is_v6 ? Family::header_size + std::size_t{load_be16(quote + 4)} : std::size_t{load_be16(quote + 2)};
  if (const auto mtu = too_big_mtu<Family>(error); mtu && *mtu < length) {
    found.mtu = static_cast<std::uint16_t>(*mtu);
  }
  return found;
}

template <class Family>
void write_icmp_checksum(const PacketView& error) {
  store(error.l4 + 2, std::uint16_t{0});
  store(error.l4 + 2, checksum_of<Family>(error));
}

template std::optional<IcmpQuote> quote_in<Ipv4>(const PacketView&);
template std::optional<IcmpQuote> quote_in<Ipv6>(const PacketView&);
template std::optional<QuotedTunnel<Ipv4>> quoted_tunnel<Ipv4>(const PacketView&);
template std::optional<QuotedTunnel<Ipv6>> quoted_tunnel<Ipv6>(const PacketView&);
template std::optional<std::uint32_t> too_big_mtu<Ipv4>(const PacketView&);
template std::optional<std::uint32_t> too_big_mtu<Ipv6>(const PacketView&);
template void write_icmp_checksum<Ipv4>(const PacketView&);
template void write_icmp_checksum<Ipv6>(const PacketView&);

}  // namespace steelyard::packet
