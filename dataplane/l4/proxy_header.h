// PROXY protocol version 2 (haproxy's doc/proxy-protocol.txt, section 2.2): the header that tells a server of full NAT
// who the client is, and what its place before the client's first byte means for numbers. Pure: no table, no clock.
//
// The header is a segment of our own. It takes the numbers that the server expects the client's first bytes to have, so
// everything that the client sends is moved behind it, and while the server has not acknowledged all of the header it
// has acknowledged nothing that the client knows of.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/segment.h"
#include "dataplane/l4/tcp_options.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"

namespace steelyard::l4 {

// Signature, version and command, family, length; then both addresses and both ports.
template <class Family>
inline constexpr std::uint32_t proxy_header_size = 16 + 2 * sizeof(typename Family::Address) + 4;
static_assert(proxy_header_size<packet::Ipv4> == 28 && proxy_header_size<packet::Ipv6> == 52);

// A header is repeated 0.25, 0.75, 1.75, 3.75 and 7.75 seconds after it was first sent: sooner than a second (RFC 6298
// section 2.1), for servers are near. One that has answered the SYN and then says nothing to six of them is lost.
inline constexpr std::uint32_t first_repetition_ticks = 4;
inline constexpr std::uint32_t header_patience_ticks = 252;

// Version 2, command PROXY, TCP: `flow`'s client has connected to `flow`'s VIP.
template <class Family>
[[nodiscard]] inline std::array<std::uint8_t, proxy_header_size<Family>> proxy_header(const Flow<Family>& flow) {
  constexpr std::array<std::uint8_t, 16> begin{0x0d, 0x0a,
                                               0x0d, 0x0a,
                                               0x00, 0x0d,
                                               0x0a, 0x51,
                                               0x55, 0x49,
                                               0x54, 0x0a,
                                               0x21, Family::is_v6 ? 0x21 : 0x11,
                                               0,    proxy_header_size<Family> - 16};
  constexpr std::size_t address = sizeof(typename Family::Address);
  std::array<std::uint8_t, proxy_header_size<Family>> header;
  std::ranges::copy(begin, header.begin());
  packet::store(&header[16], flow.client);
  packet::store(&header[16 + address], flow.vip);
  packet::store(&header[16 + 2 * address], flow.client_port);
  packet::store(&header[18 + 2 * address], flow.vip_port);
  return header;
}

// Of a flow in header_sent: where the client's first byte stands in the server's numbers. What the server has
// acknowledged stays at the header's beginning until it acknowledges all of it.
template <class Family>
[[nodiscard]] inline packet::Sequence header_end(const Flow<Family>& flow) {
  return flow.server_acknowledgment + proxy_header_size<Family>;
}

// Does a server's segment acknowledge what has told it the client's address - all of the header, or data of the segment
// that had the option - and nothing that was not sent?
template <class Family>
[[nodiscard]] inline bool acknowledges_address(const Flow<Family>& flow, const Segment& segment) {
  const packet::Sequence least =
      flow.state() == FlowState::header_sent ? header_end(flow) : flow.server_acknowledgment + 1;
  return segment.has(packet::tcp_flag::ack) && !after(least, segment.acknowledgment) &&
         !after(segment.acknowledgment, flow.client_sequence_end + flow.sequence_delta);
}

// Could the server take a client's segment for the header, or a part of it? Nothing of the client's goes to the server
// before the header is sent, and nothing with numbers of it: a header that was lost would leave its place to whatever
// the client writes there. Not a reset, which carries nothing, nor a SYN before the handshake, whose data are cut off.
template <class Family>
[[nodiscard]] inline bool precedes_header(const Flow<Family>& flow, const Segment& segment) {
  using namespace packet::tcp_flag;
  if (segment.has(rst)) {
    return false;
  }
  if (flow.state() == FlowState::header_sent) {
    return after(header_end(flow), segment.sequence + flow.sequence_delta);
  }
  return flow.owed_address() == service::ClientAddress::proxy_v2 && !segment.has(syn);
}

// Lowers the window that a server offers by the bytes of ours that still go into it. It counts in units of up to 2^14
// bytes (RFC 7323 section 2.2) that nobody remembers, except in a SYN-ACK: too small a window is right, too, and for a
// round trip only.
inline void lower_window(std::uint8_t* tcp, std::uint32_t bytes, packet::ChecksumDelta& checksum) {
  const auto before = packet::load<std::uint16_t>(tcp + 14);
  const std::uint32_t window = __builtin_bswap16(before);
  const auto after = __builtin_bswap16(static_cast<std::uint16_t>(window - std::min(window, bytes)));
  packet::store(tcp + 14, after);
  checksum.replace(before, after);
}

// A server's segment that acknowledges less than the header, which ends at `end`: for the client it acknowledges the
// SYN, which the client knows to be acknowledged, and lets it send as far as before. What such a server holds beyond
// the gap (RFC 2018) would be numbers beside the acknowledgment; it says so again when the gap is closed.
inline void hide_header(std::uint8_t* tcp, packet::Sequence end, packet::ChecksumDelta& checksum) {
  const auto before = packet::load<std::uint32_t>(tcp + 8);
  const packet::Sequence acknowledged{__builtin_bswap32(before)};
  if (!after(end, acknowledged)) {
    return;
  }
  const std::uint32_t hidden = __builtin_bswap32(end.value);
  packet::store(tcp + 8, hidden);
  checksum.replace(before, hidden);
  lower_window(tcp, distance(acknowledged, end), checksum);
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind == tcp_option::sack) {
      erase_option(tcp, option, checksum);
    }
  });
}

// Cuts the data off a SYN, and the options that let a server take them before the handshake is complete (RFC 7413, and
// the experiment before it): they would come before the header. The client sends them again after the handshake. What
// is cut stays in the frame, behind the packet's end. Multipath TCP goes, too: it counts its data from the SYN on (RFC
// 8684 section 3.3), and knows of no header.
template <class Family>
inline void cut_syn_data(packet::PacketView& view) {
  std::uint8_t* tcp = view.l4;
  packet::ChecksumDelta options;
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind == tcp_option::fast_open || kind == tcp_option::experiment || kind == tcp_option::multipath) {
      erase_option(tcp, option, options);
    }
  });
  if (view.tcp_payload == 0) {
    packet::store(tcp + 16, options.apply(packet::load<std::uint16_t>(tcp + 16)));
    return;
  }
  view.l3_length = static_cast<std::uint16_t>(view.l3_length - view.tcp_payload);
  view.l4_length = static_cast<std::uint16_t>(view.l4_length - view.tcp_payload);
  view.tcp_payload = 0;
  if constexpr (Family::is_v6) {
    const std::size_t payload = view.l3_length - Family::header_size;
    packet::store(view.l3 + 4, __builtin_bswap16(static_cast<std::uint16_t>(payload)));
  } else {
    const auto before = packet::load<std::uint16_t>(view.l3 + 2);
    const std::uint16_t length = __builtin_bswap16(view.l3_length);
    packet::ChecksumDelta header;
    header.replace(before, length);
    packet::store(view.l3 + 2, length);
    packet::store(view.l3 + 10, header.apply(packet::load<std::uint16_t>(view.l3 + 10)));
  }
  packet::store(tcp + 16, std::uint16_t{0});
  packet::store(tcp + 16, packet::l4_checksum<Family>(view.source<Family>(), view.destination<Family>(),
                                                      packet::protocol_tcp, {tcp, view.l4_length}));
}

}  // namespace steelyard::l4
