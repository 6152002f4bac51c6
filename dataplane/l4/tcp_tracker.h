// What a forwarder must know of a TCP connection: whether it is opening, open, closing or over, and the numbers with
// which both kernels would accept a reset (RFC 9293 section 3.3.2 seen from the middle; RFC 5961 section 3.2 for
// resets). Pure: no clock, no table.
#pragma once

#include <cstdint>

#include "dataplane/l4/flow.h"
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
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  // The sequence number after the segment; SYN and FIN take one each.
  [[nodiscard]] packet::Sequence end() const {
    return sequence + (payload + (has(packet::tcp_flag::syn) ? 1U : 0U) + (has(packet::tcp_flag::fin) ? 1U : 0U));
  }
};

// Could the receiver of this reset accept it? A blind reset must not end our view of a connection that goes on.
template <class Family>
[[nodiscard]] inline bool reset_is_credible(const Flow<Family>& flow, Side from, const Segment& segment) {
  if (flow.half_open()) {
    return true;  // forging one needs the handshake's numbers; at worst a handshake is tried again
  }
  // What the receiver expects lies between what it last acknowledged and the end of what we last passed on to it.
  const packet::Sequence acknowledged =
      from == Side::client ? flow.server_acknowledgment - flow.sequence_delta : flow.client_acknowledgment;
  const packet::Sequence end = from == Side::client ? flow.client_sequence_end : flow.server_sequence_end;
  return !after(acknowledged, segment.sequence) && !after(segment.sequence, end);
}

// The value of Flow::first_fin for a side.
[[nodiscard]] constexpr std::uint32_t first_fin_of(Side side) {
  return side == Side::client ? 1U : 2U;
}

// The state after `segment`, which is not forwarded yet and whose numbers are still as they came. Updates nothing.
template <class Family>
[[nodiscard]] inline FlowState next_state(const Flow<Family>& flow, Side from, const Segment& segment) {
  using namespace packet::tcp_flag;
  const FlowState state = flow.state();
  if (segment.has(rst)) {
    return reset_is_credible(flow, from, segment) ? FlowState::lingering : state;
  }
  switch (state) {
    case FlowState::syn_sent:
      return from == Side::server && segment.has(syn) && segment.has(ack) ? FlowState::syn_received : state;
    case FlowState::syn_received:
      if (from == Side::client && segment.has(ack) && !segment.has(syn) &&
          segment.acknowledgment == flow.server_sequence_end) {
        return segment.has(fin) ? FlowState::half_closed : FlowState::established;
      }
      return state;
    case FlowState::established:
      return segment.has(fin) ? FlowState::half_closed : state;
    case FlowState::half_closed:
      // A FIN of the side that closed first is a retransmission.
      if (segment.has(fin) && flow.first_fin != first_fin_of(from)) {
        return FlowState::closing;
      }
      return state;
    case FlowState::closing: {
      // Over when both ends of data are acknowledged.
      packet::Sequence client_acked = flow.client_acknowledgment;
      packet::Sequence server_acked = flow.server_acknowledgment - flow.sequence_delta;
      if (segment.has(ack)) {
        if (from == Side::client) {
          client_acked = later_of(client_acked, segment.acknowledgment);
        } else {
          server_acked = later_of(server_acked, segment.acknowledgment - flow.sequence_delta);
        }
      }
      const bool over =
          !after(flow.server_sequence_end, client_acked) && !after(flow.client_sequence_end, server_acked);
      return over ? FlowState::lingering : state;
    }
    case FlowState::free:
    case FlowState::udp:
    case FlowState::lingering:
      break;
  }
  return state;
}

// Remembers the segment's numbers. They only grow, except on the segments that open the connection.
template <class Family>
inline void remember(Flow<Family>& flow, Side from, const Segment& segment) {
  const bool opens = segment.has(packet::tcp_flag::syn) && flow.half_open();
  if (segment.has(packet::tcp_flag::rst)) {
    return;
  }
  packet::Sequence& end = flow.sequence_end(from);
  packet::Sequence& acknowledged = flow.acknowledgment(from);
  if (opens || after(segment.end(), end)) {
    end = segment.end();
  }
  if (segment.has(packet::tcp_flag::ack) && (opens || after(segment.acknowledgment, acknowledged))) {
    acknowledged = segment.acknowledgment;
  }
  if (opens) {
    // Nothing of this side is acknowledged yet: without a start, half of all numbers would seem to lie in the past.
    if (from == Side::client) {
      flow.server_acknowledgment = segment.sequence + flow.sequence_delta;
    } else {
      flow.client_acknowledgment = segment.sequence;
    }
  }
}

}  // namespace steelyard::l4
