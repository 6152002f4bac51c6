#include "dataplane/packet/build.h"

#include <algorithm>

#include "dataplane/packet/checksum.h"

namespace steelyard::packet {
namespace {

std::uint16_t be16(std::size_t value) {
  return __builtin_bswap16(static_cast<std::uint16_t>(value));
}

struct ErrorHeader {
  std::uint8_t type;
  std::uint8_t code;
  std::uint32_t rest;
};

}  // namespace

template <class Family>
void write_ip_header(std::uint8_t* l3, const typename Family::Address& source,
                     const typename Family::Address& destination, std::uint8_t protocol, std::size_t payload,
                     std::uint8_t ttl) {
  std::fill_n(l3, Family::header_size, std::uint8_t{0});
  store(l3 + Family::source_offset, source);
  store(l3 + Family::destination_offset, destination);
  l3[Family::ttl_offset] = ttl;
  if constexpr (Family::is_v6) {
    l3[0] = 0x60;
    store(l3 + 4, be16(payload));
    l3[6] = protocol;
  } else {
    l3[0] = 0x45;
    store(l3 + 2, be16(Ipv4::header_size + payload));
    l3[6] = 0x40;  // don't fragment
    l3[9] = protocol;
    store(l3 + 10, ipv4_header_checksum({l3, Ipv4::header_size}));
  }
}

template <class Family>
std::size_t build_tcp_control(std::span<std::uint8_t> room, const TcpControl<Family>& segment) {
  std::uint8_t* l3 = room.data();
  std::uint8_t* l4 = l3 + Family::header_size;
  const std::size_t length = tcp_header_size + segment.payload.size();
  write_ip_header<Family>(l3, segment.tuple.source, segment.tuple.destination, protocol_tcp, length);
  std::fill_n(l4, tcp_header_size, std::uint8_t{0});
  store(l4, segment.tuple.source_port);
  store(l4 + 2, segment.tuple.destination_port);
  store(l4 + 4, __builtin_bswap32(segment.sequence.value));
  store(l4 + 8, __builtin_bswap32(segment.acknowledgment.value));
  l4[12] = 5 << 4;
  l4[13] = segment.flags;
  store(l4 + 14, be16(segment.window));
  std::ranges::copy(segment.payload, l4 + tcp_header_size);
  store(l4 + 16, l4_checksum<Family>(segment.tuple.source, segment.tuple.destination, protocol_tcp, {l4, length}));
  return Family::header_size + length;
}

template <class Family>
TcpControl<Family> reset_answer(const PacketView& offending) {
  TcpControl<Family> reset;
  reset.tuple = offending.tuple<Family>().reversed();
  const Sequence sequence{__builtin_bswap32(load<std::uint32_t>(offending.l4 + 4))};
  if ((offending.tcp_flags & tcp_flag::ack) != 0) {
    reset.sequence = {__builtin_bswap32(load<std::uint32_t>(offending.l4 + 8))};
    reset.flags = tcp_flag::rst;
    return reset;
  }
  const unsigned controls =
      ((offending.tcp_flags & tcp_flag::syn) != 0 ? 1U : 0U) + ((offending.tcp_flags & tcp_flag::fin) != 0 ? 1U : 0U);
  reset.acknowledgment = sequence + (offending.tcp_payload + controls);
  reset.flags = tcp_flag::rst | tcp_flag::ack;
  return reset;
}

template <class Family>
static std::size_t build_error(std::span<std::uint8_t> room, const PacketView& offending, ErrorHeader header) {
  const std::size_t headers = Family::header_size + icmp_header_size;
  const std::size_t quoted = std::min({std::size_t{offending.contiguous}, std::size_t{offending.l3_length},
                                       Family::minimum_mtu - headers, room.size() - headers});
  std::uint8_t* l3 = room.data();
  std::uint8_t* icmp = l3 + Family::header_size;
  const auto source = offending.destination<Family>();
  const auto destination = offending.source<Family>();
  const std::uint8_t protocol = Family::is_v6 ? protocol_icmpv6 : protocol_icmp;
  write_ip_header<Family>(l3, source, destination, protocol, icmp_header_size + quoted);
  std::fill_n(icmp, icmp_header_size, std::uint8_t{0});
  icmp[0] = header.type;
  icmp[1] = header.code;
  store(icmp + 4, __builtin_bswap32(header.rest));
  std::copy_n(offending.l3, quoted, icmp + icmp_header_size);
  const std::span<const std::uint8_t> message{icmp, icmp_header_size + quoted};
  if constexpr (Family::is_v6) {
    store(icmp + 2, l4_checksum<Family>(source, destination, protocol, message));
  } else {
    store(icmp + 2, static_cast<std::uint16_t>(~fold(sum_of(message))));
  }
  return headers + quoted;
}

template <class Family>
std::size_t build_port_unreachable(std::span<std::uint8_t> room, const PacketView& offending) {
  return build_error<Family>(room, offending, Family::is_v6 ? ErrorHeader{1, 4, 0} : ErrorHeader{3, 3, 0});
}

template <class Family>
std::size_t build_too_big(std::span<std::uint8_t> room, const PacketView& offending, std::uint16_t mtu) {
  // The lower half of four bytes in IPv4, all of them in IPv6: the same place.
  return build_error<Family>(room, offending, Family::is_v6 ? ErrorHeader{2, 0, mtu} : ErrorHeader{3, 4, mtu});
}

bool is_echo_request(const PacketView& view) {
  return view.kind == PacketKind::icmp && view.l4[0] == (view.is_v6 ? 128 : 8) && view.l4[1] == 0;
}

template <class Family>
void turn_into_echo_reply(const PacketView& view) {
  const auto source = view.source<Family>();
  const auto destination = view.destination<Family>();
  store(view.l3 + Family::source_offset, destination);
  store(view.l3 + Family::destination_offset, source);
  const auto before = load<std::uint16_t>(view.l4);
  view.l4[0] = Family::is_v6 ? 129 : 0;
  ChecksumDelta delta;
  delta.replace(before, load<std::uint16_t>(view.l4));
  store(view.l4 + 2, delta.apply(load<std::uint16_t>(view.l4 + 2)));
  const auto ttl_before = load<std::uint16_t>(view.l3 + (Family::ttl_offset & ~std::size_t{1}));
  view.l3[Family::ttl_offset] = 64;
  if constexpr (!Family::is_v6) {
    ChecksumDelta header;
    header.replace(ttl_before, load<std::uint16_t>(view.l3 + Family::ttl_offset));
    store(view.l3 + 10, header.apply(load<std::uint16_t>(view.l3 + 10)));
  }
}

template void write_ip_header<Ipv4>(std::uint8_t*, const Ipv4Address&, const Ipv4Address&, std::uint8_t, std::size_t,
                                    std::uint8_t);
template void write_ip_header<Ipv6>(std::uint8_t*, const Ipv6Address&, const Ipv6Address&, std::uint8_t, std::size_t,
                                    std::uint8_t);
template std::size_t build_tcp_control<Ipv4>(std::span<std::uint8_t>, const TcpControl<Ipv4>&);
template std::size_t build_tcp_control<Ipv6>(std::span<std::uint8_t>, const TcpControl<Ipv6>&);
template TcpControl<Ipv4> reset_answer<Ipv4>(const PacketView&);
template TcpControl<Ipv6> reset_answer<Ipv6>(const PacketView&);
template std::size_t build_port_unreachable<Ipv4>(std::span<std::uint8_t>, const PacketView&);
template std::size_t build_port_unreachable<Ipv6>(std::span<std::uint8_t>, const PacketView&);
template std::size_t build_too_big<Ipv4>(std::span<std::uint8_t>, const PacketView&, std::uint16_t);
template std::size_t build_too_big<Ipv6>(std::span<std::uint8_t>, const PacketView&, std::uint16_t);
template void turn_into_echo_reply<Ipv4>(const PacketView&);
template void turn_into_echo_reply<Ipv6>(const PacketView&);

}  // namespace steelyard::packet
