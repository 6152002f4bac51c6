#include "dataplane/packet/view.h"

#include "dataplane/packet/checksum.h"

namespace steelyard::packet {
namespace {

// Results are written in place: a view that is returned and copied costs more than the parsing.
void drop(PacketView& view, DropReason reason) {
  view.kind = PacketKind::dropped;
  view.drop = reason;
}

// RFC 9293 section 3.10 knows no segment with these flags; scanners and bugs make them.
bool impossible(std::uint8_t flags) {
  using namespace tcp_flag;
  const bool opens_and_ends = (flags & syn) != 0 && (flags & (fin | rst)) != 0;
  const bool without_ack = (flags & (syn | rst | ack)) == 0;
  const bool fin_and_rst = (flags & (fin | rst)) == (fin | rst);
  return opens_and_ends || without_ack || fin_and_rst;
}

// Finishes a view whose l3, l4, l4_length and protocol are set; `room` is what the first segment holds from l4 on.
void parse_l4(PacketView& view, std::size_t room) {
  const auto fail = [&view](DropReason reason) { drop(view, reason); };
  switch (view.protocol) {
    case protocol_tcp: {
      if (view.l4_length < tcp_header_size || room < tcp_header_size) {
        return fail(DropReason::l4_header_bad);
      }
      const std::size_t header = std::size_t{view.l4[12]} >> 4U << 2U;
      if (header < tcp_header_size || header > view.l4_length || header > room) {
        return fail(DropReason::l4_header_bad);
      }
      view.tcp_flags = view.l4[13];
      if (impossible(view.tcp_flags)) {
        return fail(DropReason::tcp_flags_impossible);
      }
      view.tcp_payload = static_cast<std::uint16_t>(view.l4_length - header);
      break;
    }
    case protocol_udp: {
      if (view.l4_length < udp_header_size || room < udp_header_size) {
        return fail(DropReason::l4_header_bad);
      }
      const std::size_t length = load_be16(view.l4 + 4);
      if (length < udp_header_size || length > view.l4_length) {
        return fail(DropReason::l4_header_bad);
      }
      break;
    }
    case protocol_icmp:
    case protocol_icmpv6:
      if (view.l4_length < icmp_header_size || room < icmp_header_size) {
        return fail(DropReason::l4_header_bad);
      }
      view.kind = PacketKind::icmp;
      return;
    default:
      view.kind = PacketKind::other_ip;
      return;
  }
  if (load<std::uint16_t>(view.l4) == 0 || load<std::uint16_t>(view.l4 + 2) == 0) {
    return fail(DropReason::port_zero);
  }
  view.kind = PacketKind::l4;
}

bool bad_v4_source(const std::uint8_t* source) {
  const bool all_ones = load<std::uint32_t>(source) == 0xffffffffU;
  return source[0] == 0 || source[0] == 127 || (source[0] & 0xf0) == 0xe0 || all_ones;
}

bool has_source_route(std::span<const std::uint8_t> options) {
  std::size_t at = 0;
  while (at < options.size()) {
    const std::uint8_t type = options[at];
    if (type == 0) {
      return false;
    }
    if (type == 1) {
      ++at;
      continue;
    }
    if (type == 131 || type == 137) {  // loose and strict source route, RFC 791 section 3.1
      return true;
    }
    if (at + 1 >= options.size() || options[at + 1] < 2) {
      return true;  // malformed options are treated alike
    }
    at += options[at + 1];
  }
  return false;
}

void parse_v4(std::span<std::uint8_t> l3, std::size_t length, ParseOptions options, PacketView& view) {
  if (l3.size() < Ipv4::header_size) {
    return drop(view, DropReason::ip_header_bad);
  }
  const std::size_t header = std::size_t{l3[0] & 0x0fU} << 2U;
  const std::size_t total = load_be16(l3.data() + 2);
  if (l3[0] >> 4U != 4 || header < Ipv4::header_size || header > l3.size() || total < header || total > length) {
    return drop(view, DropReason::ip_header_bad);
  }
  if (!options.ip_checksum_verified && ipv4_header_checksum(l3.first(header)) != 0) {
    return drop(view, DropReason::ip_checksum_bad);
  }
  const std::uint8_t* source = l3.data() + Ipv4::source_offset;
  if (bad_v4_source(source)) {
    return drop(view, DropReason::ip_source_bad);
  }
  if (load<std::uint32_t>(source) == load<std::uint32_t>(l3.data() + Ipv4::destination_offset)) {
    return drop(view, DropReason::land_attack);
  }
  if (header > Ipv4::header_size && has_source_route(l3.subspan(Ipv4::header_size, header - Ipv4::header_size))) {
    return drop(view, DropReason::ip_options_forbidden);
  }
  view.l3 = l3.data();
  view.l4 = l3.data() + header;
  view.l3_length = static_cast<std::uint16_t>(total);
  view.l4_length = static_cast<std::uint16_t>(total - header);
  view.protocol = l3[9];
  if ((load_be16(l3.data() + 6) & 0x3fffU) != 0) {  // more fragments, or an offset
    view.kind = PacketKind::fragment;
    return;
  }
  if (view.protocol == protocol_icmpv6) {
    view.kind = PacketKind::other_ip;  // ICMPv6 has no meaning over IPv4
    return;
  }
  parse_l4(view, l3.size() - header);
}

// ::ffff:0:0/96 never stands on a wire (RFC 4942 section 2.2): let in, it would pass for the IPv4 address.
bool is_mapped_v4(const Ipv6Address& address) {
  return address.raw[0] == 0 && static_cast<std::uint32_t>(address.raw[1]) == __builtin_bswap32(0xffffU);
}

// Router and neighbour solicitations and advertisements, and redirects (RFC 4861 section 4).
bool is_neighbor_discovery_type(std::uint8_t type) {
  return type >= 133 && type <= 137;
}

bool bad_v6_source(const Ipv6Address& source) {
  const auto bytes = source.bytes();
  const bool loopback = source.raw[0] == 0 && source.raw[1] == __builtin_bswap64(1);
  return bytes[0] == 0xff || loopback;
}

struct FragmentPlace {
  std::size_t data;  // behind the fragment header
  std::size_t end;
  std::uint8_t next;
};

void set_fragment(PacketView& view, std::span<std::uint8_t> l3, FragmentPlace place) {
  view.is_v6 = true;
  view.l3 = l3.data();
  view.l4 = l3.data() + place.data;
  view.l3_length = static_cast<std::uint16_t>(place.end);
  view.l4_length = static_cast<std::uint16_t>(place.end - place.data);
  view.protocol = place.next;
  view.kind = PacketKind::fragment;
}

void parse_v6(std::span<std::uint8_t> l3, std::size_t length, PacketView& view) {
  if (l3.size() < Ipv6::header_size || l3[0] >> 4U != 6) {
    return drop(view, DropReason::ip_header_bad);
  }
  const std::size_t payload = load_be16(l3.data() + 4);
  if (Ipv6::header_size + payload > length) {
    return drop(view, DropReason::ip_header_bad);
  }
  const auto source = load<Ipv6Address>(l3.data() + Ipv6::source_offset);
  const auto destination = load<Ipv6Address>(l3.data() + Ipv6::destination_offset);
  if (bad_v6_source(source) || is_mapped_v4(source) || is_mapped_v4(destination)) {
    return drop(view, DropReason::ip_source_bad);
  }
  if (source == destination) {
    return drop(view, DropReason::land_attack);
  }
  std::uint8_t next = l3[6];
  std::size_t at = Ipv6::header_size;
  const std::size_t end = Ipv6::header_size + payload;
  for (int count = 0;; ++count) {
    if (next == protocol_fragment) [[unlikely]] {
      if (count == max_extension_headers || at + fragment_header_size > end || at + fragment_header_size > l3.size()) {
        return drop(view, DropReason::ip_header_bad);
      }
      next = l3[at];
      const bool atomic = (load_be16(&l3[at + 2]) & 0xfff9U) == 0;
      at += fragment_header_size;
      if (!atomic) {
        return source == Ipv6Address{} ? drop(view, DropReason::ip_source_bad)
                                       : set_fragment(view, l3, {.data = at, .end = end, .next = next});
      }
      // RFC 6946: a fragment that is the whole packet is treated as one. RFC 6980 section 5: but for neighbour
      // discovery.
      if (next == protocol_icmpv6 && at < l3.size() && is_neighbor_discovery_type(l3[at])) {
        return drop(view, DropReason::ndp_malformed);
      }
      continue;
    }
    if (next == 43) {  // routing header: RFC 5095 and common sense
      return drop(view, DropReason::ip_options_forbidden);
    }
    if (next != 0 && next != protocol_destination_options) {  // 0: hop-by-hop options
      break;
    }
    if (count == max_extension_headers || at + 8 > end || at + 8 > l3.size()) {
      return drop(view, DropReason::ip_header_bad);
    }
    const std::size_t size = (std::size_t{l3[at + 1]} + 1) << 3U;
    if (at + size > end || at + size > l3.size()) {
      return drop(view, DropReason::ip_header_bad);
    }
    next = l3[at];
    at += size;
  }
  view.is_v6 = true;
  view.l3 = l3.data();
  view.l4 = l3.data() + at;
  view.l3_length = static_cast<std::uint16_t>(end);
  view.l4_length = static_cast<std::uint16_t>(end - at);
  view.protocol = next;
  if (next == protocol_icmp) {
    view.kind = PacketKind::other_ip;
    return;
  }
  parse_l4(view, l3.size() - at);
  if (view.kind == PacketKind::l4 && source == Ipv6Address{}) {
    return drop(view, DropReason::ip_source_bad);  // "::" is legal in neighbour discovery only
  }
}

}  // namespace

void parse(std::span<std::uint8_t> first_segment, std::size_t frame_length, ParseOptions options, PacketView& view) {
  view = PacketView{};
  if (first_segment.size() < ethernet_header_size) {
    return drop(view, DropReason::frame_too_short);
  }
  const auto l3 = first_segment.subspan(ethernet_header_size);
  const std::size_t length = frame_length - ethernet_header_size;
  switch (load_be16(first_segment.data() + 12)) {
    case Ipv4::ether_type:
      parse_v4(l3, length, options, view);
      view.contiguous = static_cast<std::uint16_t>(l3.size());
      return;
    case Ipv6::ether_type:
      parse_v6(l3, length, view);
      view.contiguous = static_cast<std::uint16_t>(l3.size());
      return;
    case ether_type_arp:
      view.kind = PacketKind::arp;
      view.l3 = l3.data();
      view.l3_length = static_cast<std::uint16_t>(l3.size());
      return;
    case ether_type_vlan:
    case ether_type_service_vlan:
      return drop(view, DropReason::vlan_unknown);  // a worker takes off what it knows
    default:
      return drop(view, DropReason::ethertype_unsupported);
  }
}

}  // namespace steelyard::packet
