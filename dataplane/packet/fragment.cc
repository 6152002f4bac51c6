#include "dataplane/packet/fragment.h"

#include "dataplane/packet/plain_tcp.h"

namespace steelyard::packet {
namespace {

constexpr std::size_t ipv4_id_offset = 4;

void drop(PacketView& view, DropReason reason) {
  view.kind = PacketKind::dropped;
  view.drop = reason;
}

// The fragment header stands right before the data.
std::uint8_t* ipv6_header(const PacketView& view) {
  return view.l4 - fragment_header_size;
}

// Passes over the destination options that may stand before the ports. False: they do not fit.
bool skip_options(PacketView& view, std::size_t& room) {
  for (int count = 0; view.is_v6 && view.protocol == protocol_destination_options; ++count) {
    if (count == max_extension_headers || room < 8) {
      return false;
    }
    const std::size_t size = (std::size_t{view.l4[1]} + 1) << 3U;
    if (size > room || size > view.l4_length) {
      return false;
    }
    view.protocol = view.l4[0];
    view.l4 += size;
    view.l4_length = static_cast<std::uint16_t>(view.l4_length - size);
    room -= size;
  }
  return true;
}

}  // namespace

template <class Family>
std::optional<Fragment> fragment_of(const PacketView& view) {
  Fragment fragment;
  fragment.length = view.l4_length;
  std::size_t headers = 0;  // that count in the datagram's own length
  if constexpr (Family::is_v6) {
    const std::uint16_t field = load_be16(ipv6_header(view) + 2);
    fragment.offset = field & 0xfff8U;
    fragment.more = (field & 1U) != 0;
    headers = static_cast<std::size_t>(ipv6_header(view) - view.l3) - Ipv6::header_size;
  } else {
    const std::uint16_t field = load_be16(view.l3 + 6);
    fragment.offset = (field & 0x1fffU) << 3U;
    fragment.more = (field & 0x2000U) != 0;
    headers = static_cast<std::size_t>(view.l4 - view.l3);
  }
  const bool uneven = fragment.more && fragment.length % 8 != 0;
  if (fragment.length == 0 || uneven || headers + fragment.end() > largest_datagram) {
    return std::nullopt;
  }
  return fragment;
}

template <class Family>
Tuple<Family> datagram_of(const PacketView& view) {
  Tuple<Family> datagram{view.source<Family>(), view.destination<Family>(), 0, 0, 0};
  if constexpr (Family::is_v6) {
    datagram.source_port = load<std::uint16_t>(ipv6_header(view) + 4);
    datagram.destination_port = load<std::uint16_t>(ipv6_header(view) + 6);
  } else {
    datagram.source_port = load<std::uint16_t>(view.l3 + ipv4_id_offset);
    datagram.protocol = view.protocol;
  }
  return datagram;
}

void turn_into_first(PacketView& view) {
  std::size_t room = view.contiguous - static_cast<std::size_t>(view.l4 - view.l3);
  if (!skip_options(view, room)) {
    return drop(view, DropReason::fragment_too_small);
  }
  if (view.protocol == protocol_tcp) {
    if (view.l4_length < tcp_header_size || room < tcp_header_size) {
      return drop(view, DropReason::fragment_too_small);
    }
    const std::size_t header = std::size_t{view.l4[12]} >> 4U << 2U;
    if (header < tcp_header_size) {
      return drop(view, DropReason::l4_header_bad);
    }
    if (header > view.l4_length || header > room) {
      return drop(view, DropReason::fragment_too_small);
    }
    view.tcp_flags = view.l4[13];
    if ((possible_flags >> (view.tcp_flags & 0x1fU) & 1U) == 0) {
      return drop(view, DropReason::tcp_flags_impossible);
    }
    view.tcp_payload = static_cast<std::uint16_t>(view.l4_length - header);
  } else if (view.protocol == protocol_udp) {
    if (view.l4_length < udp_header_size || room < udp_header_size) {
      return drop(view, DropReason::fragment_too_small);
    }
    // The datagram goes on beyond this fragment.
    if (load_be16(view.l4 + 4) <= view.l4_length) {
      return drop(view, DropReason::l4_header_bad);
    }
  } else {
    view.kind = PacketKind::other_ip;
    return;
  }
  if (load<std::uint16_t>(view.l4) == 0 || load<std::uint16_t>(view.l4 + 2) == 0) {
    return drop(view, DropReason::port_zero);
  }
  view.kind = PacketKind::l4;
}

template <class Family>
void write_identification(const PacketView& fragment, std::uint32_t id, ChecksumDelta& header) {
  if constexpr (Family::is_v6) {
    store(ipv6_header(fragment) + 4, id);
  } else {
    const auto written = static_cast<std::uint16_t>(id);
    header.replace(load<std::uint16_t>(fragment.l3 + ipv4_id_offset), written);
    store(fragment.l3 + ipv4_id_offset, written);
  }
}

template std::optional<Fragment> fragment_of<Ipv4>(const PacketView&);
template std::optional<Fragment> fragment_of<Ipv6>(const PacketView&);
template Tuple<Ipv4> datagram_of<Ipv4>(const PacketView&);
template Tuple<Ipv6> datagram_of<Ipv6>(const PacketView&);
template void write_identification<Ipv4>(const PacketView&, std::uint32_t, ChecksumDelta&);
template void write_identification<Ipv6>(const PacketView&, std::uint32_t, ChecksumDelta&);

}  // namespace steelyard::packet
