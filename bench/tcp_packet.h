// Segments of a peer as packets of the one link that the stands have (traffic.h), and packets that were sent as what
// the peer hears. IPv4; checksums are the port's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "bench/tcp_peer.h"
#include "bench/traffic.h"
#include "dataplane/packet/build.h"
#include "dataplane/tcp/wire.h"

namespace steelyard::bench {

// Writes the headers in front of `payload` octets that are the caller's to write. `ours`: as the stack names its end.
inline void write_segment(rte_mbuf* packet, const tcp::Endpoints& ours, const tcp::Segment& segment,
                          std::size_t payload) {
  using packet::Ipv4;
  const tcp::Endpoints theirs{
      .remote = ours.local, .local = ours.remote, .remote_port = ours.local_port, .local_port = ours.remote_port};
  auto* frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
  std::uint8_t* l3 = frame + packet::ethernet_header_size;
  packet::store(frame + 12, __builtin_bswap16(Ipv4::ether_type));
  const std::size_t header = tcp::write_header(
      std::span<std::uint8_t, tcp::largest_tcp_header>(l3 + Ipv4::header_size, tcp::largest_tcp_header), theirs,
      segment);
  packet::write_ip_header<Ipv4>(l3, tcp::ipv4_of(theirs.local), tcp::ipv4_of(theirs.remote), packet::protocol_tcp,
                                header + payload);
  packet->data_len = static_cast<std::uint16_t>(packet::ethernet_header_size + Ipv4::header_size + header + payload);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

// A segment that the stack has sent, without options but the timestamps that all have.
struct SentSegment {
  tcp::Endpoints endpoints;  // as the stack names its end
  tcp::Sequence sequence;
  std::uint32_t timestamp;
  std::uint32_t payload;
  std::uint8_t flags;

  [[nodiscard]] bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
  // Behind it.
  [[nodiscard]] tcp::Sequence end() const {
    return sequence + (payload + (has(tcp::flag::syn) ? 1U : 0U) + (has(tcp::flag::fin) ? 1U : 0U));
  }
  // As the peer that knows the connection by this number.
  [[nodiscard]] TcpPeer::Heard heard_by(std::uint64_t n) const { return {n, end(), timestamp, payload, flags}; }
};

[[nodiscard]] inline SentSegment read_segment(const rte_mbuf* packet) {
  const auto* l3 = rte_pktmbuf_mtod(packet, const std::uint8_t*) + packet->l2_len;
  const std::uint8_t* l4 = l3 + packet->l3_len;
  const auto word = [](const std::uint8_t* from) { return __builtin_bswap32(packet::load<std::uint32_t>(from)); };
  const std::uint8_t flags = l4[13];
  return {.endpoints = {.remote = tcp::mapped(packet::load<packet::Ipv4Address>(l3 + 16)),
                        .local = tcp::mapped(packet::load<packet::Ipv4Address>(l3 + 12)),
                        .remote_port = packet::load_be16(l4 + 2),
                        .local_port = packet::load_be16(l4)},
          .sequence = {word(l4 + 4)},
          // They stand first, behind two no-operations, or behind the segment size of a SYN.
          .timestamp = word(l4 + ((flags & tcp::flag::syn) != 0 ? 28 : 24)),
          .payload = static_cast<std::uint32_t>(packet->pkt_len - packet->l2_len - packet->l3_len - packet->l4_len),
          .flags = flags};
}

}  // namespace steelyard::bench
