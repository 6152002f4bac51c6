// A TCP segment as tracking sees it. Pure: no clock, no table.
#pragma once

#include <cstdint>

#include "dataplane/packet/sequence.h"
#include "dataplane/packet/view.h"

namespace steelyard::l4 {

// The fields of a segment that tracking looks at.
struct Segment {
  packet::Sequence sequence;
  packet::Sequence acknowledgment;
  std::uint16_t payload = 0;
  std::uint8_t flags = 0;

  [[nodiscard]] static Segment of(const packet::PacketView& view) {
    return {{__builtin_bswap32(packet::load<std::uint32_t>(view.l4 + 4))},
            {__builtin_bswap32(packet::load<std::uint32_t>(view.l4 + 8))},
            view.tcp_payload,
            view.tcp_flags};
  }
  [[nodiscard]] constexpr bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  // The sequence number after the segment; SYN and FIN take one each.
  [[nodiscard]] packet::Sequence end() const {
    return sequence + (payload + (has(packet::tcp_flag::syn) ? 1U : 0U) + (has(packet::tcp_flag::fin) ? 1U : 0U));
  }
};

// May the packet begin something: of TCP a SYN, of others any?
[[nodiscard]] inline bool opens_connection(const packet::PacketView& view) {
  return view.protocol != packet::protocol_tcp ||
         (view.tcp_flags & (packet::tcp_flag::syn | packet::tcp_flag::ack)) == packet::tcp_flag::syn;
}

// More data than a SYN carries (RFC 7413). Not the data that ours carried: a client retransmits its SYN without.
inline constexpr std::uint32_t most_syn_data = 1U << 16U;

// How far a segment may lie from what is known of its connection: more than any window in use here, and a blind guess
// hits it once in 256 times (RFC 5961 section 1.2 counts in the same way).
inline constexpr std::uint32_t plausible_distance = 1U << 24U;

[[nodiscard]] constexpr bool is_near(packet::Sequence known, packet::Sequence number) {
  return distance(known - plausible_distance, number) <= 2 * plausible_distance;
}

}  // namespace steelyard::l4
