// What a forwarder must know of a TCP connection: whether it is opening, open, closing or over, and the numbers with
// which both kernels would accept a reset (RFC 9293 section 3.3.2 seen from the middle; RFC 5961 section 3.2 for
// resets). Pure: no clock, no table.
#pragma once

#include <cstdint>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/one_sided.h"
#include "dataplane/l4/proxy_header.h"
#include "dataplane/l4/segment.h"

namespace steelyard::l4 {

// Of a segment from the server before its SYN-ACK has passed: does it acknowledge the client's SYN? Only then does the
// client take it (RFC 9293 section 3.10.7.3); an old connection's answer is not one, nor is a blind guess. Either the
// first SYN, or the last if the client has tried anew with another number - or somebody else has, in its name.
template <class Family>
[[nodiscard]] inline bool acknowledges_syn(const Flow<Family>& flow, const Segment& segment) {
  return segment.has(packet::tcp_flag::ack) &&
         (distance(flow.server_acknowledgment + 1, segment.acknowledgment) < most_syn_data ||
          segment.acknowledgment == flow.client_sequence_end + flow.sequence_delta);
}

// Could the receiver of this reset accept it? A blind reset must not end our view of a connection that goes on.
template <class Family>
[[nodiscard]] inline bool reset_is_credible(const Flow<Family>& flow, Side from, const Segment& segment) {
  if (flow.state() == FlowState::syn_sent) {
    // What the server would take is not known yet, and what the client resets may be an old connection there.
    return from == Side::server && acknowledges_syn(flow, segment);
  }
  // What the receiver expects lies between what it last acknowledged and the end of what we last passed on to it.
  const packet::Sequence server_acknowledged =
      flow.state() == FlowState::header_sent ? header_end(flow) : flow.server_acknowledgment;
  const packet::Sequence acknowledged =
      from == Side::client ? server_acknowledged - flow.sequence_delta : flow.client_acknowledgment;
  const packet::Sequence end = from == Side::client ? flow.client_sequence_end : flow.server_sequence_end;
  return !after(acknowledged, segment.sequence) && !after(segment.sequence, end);
}

// What a side has acknowledged when `known` was its word before this segment: the number only grows, and not beyond
// what its peer has sent (RFC 9293 section 3.10.7.4), whoever claims it.
[[nodiscard]] constexpr packet::Sequence acknowledged_after(packet::Sequence known, const Segment& segment,
                                                            packet::Sequence peer_end) {
  const bool news = segment.has(packet::tcp_flag::ack) && after(segment.acknowledgment, known) &&
                    !after(segment.acknowledgment, peer_end);
  return news ? segment.acknowledgment : known;
}

// The value of Flow::first_fin for a side.
[[nodiscard]] constexpr std::uint32_t first_fin_of(Side side) {
  return side == Side::client ? 1U : 2U;
}

// Which side's packet a flow was adopted by. Only of an adopted flow.
template <class Family>
[[nodiscard]] inline Side adopter(const Flow<Family>& flow) {
  return flow.state() == FlowState::adopted_from_client ? Side::client : Side::server;
}

// Could the segment belong to the connection, as far as its sequence number goes?
template <class Family>
[[nodiscard]] inline bool is_plausible(const Flow<Family>& flow, Side from, const Segment& segment) {
  return is_near(from == Side::client ? flow.client_sequence_end : flow.server_sequence_end, segment.sequence);
}

// Does the other side speak about what the side has said that the flow was adopted from? A peer that knows the
// connection does; one that does not sends a reset.
template <class Family>
[[nodiscard]] inline bool confirms_adoption(const Flow<Family>& flow, Side from, const Segment& segment) {
  const packet::Sequence peer_end = from == Side::client ? flow.server_sequence_end : flow.client_sequence_end;
  return from != adopter(flow) && segment.has(packet::tcp_flag::ack) && !segment.has(packet::tcp_flag::syn) &&
         is_plausible(flow, from, segment) && is_near(peer_end, segment.acknowledgment);
}

// The state with `segment` after both sides have closed: over when both ends of data are acknowledged.
template <class Family>
[[nodiscard]] inline FlowState state_once_closed(const Flow<Family>& flow, Side from, const Segment& segment) {
  packet::Sequence client_acked = flow.client_acknowledgment;
  packet::Sequence server_acked = flow.server_acknowledgment;
  const packet::Sequence client_end = flow.client_sequence_end + flow.sequence_delta;
  if (from == Side::client) {
    client_acked = acknowledged_after(client_acked, segment, flow.server_sequence_end);
  } else {
    server_acked = acknowledged_after(server_acked, segment, client_end);
  }
  const bool over = !after(flow.server_sequence_end, client_acked) && !after(client_end, server_acked);
  return over ? FlowState::lingering : FlowState::closing;
}

// The state with the server's `segment` that says that it knows the client's address: by who has closed meanwhile.
template <class Family>
[[nodiscard]] inline FlowState state_once_told(const Flow<Family>& flow, const Segment& segment) {
  const bool closes = segment.has(packet::tcp_flag::fin);
  const std::uint32_t closed = flow.first_fin() | (closes ? first_fin_of(Side::server) : 0U);
  if (closed != (first_fin_of(Side::client) | first_fin_of(Side::server))) {
    return closed == 0 ? FlowState::established : FlowState::half_closed;
  }
  return closes ? FlowState::closing : state_once_closed(flow, Side::server, segment);
}

// The state after `segment`, which is not forwarded yet and whose numbers are still as they came. Updates nothing.
template <class Family>
[[nodiscard]] inline FlowState next_state(const Flow<Family>& flow, Side from, const Segment& segment) {
  if (flow.one_sided()) {
    return next_state_one_sided(flow, segment);
  }
  using namespace packet::tcp_flag;
  const FlowState state = flow.state();
  if (segment.has(rst)) {
    return reset_is_credible(flow, from, segment) ? FlowState::lingering : state;
  }
  switch (state) {
    case FlowState::syn_sent:
      return from == Side::server && segment.has(syn) && acknowledges_syn(flow, segment) ? FlowState::syn_received
                                                                                         : state;
    case FlowState::syn_received:
      // The server's SYN at least; not always all that it has sent, since data may follow its SYN at once (RFC 7413).
      if (from == Side::client && segment.has(ack) && !segment.has(syn) &&
          after(segment.acknowledgment, flow.client_acknowledgment) &&
          !after(segment.acknowledgment, flow.server_sequence_end)) {
        if (flow.owed_address() != service::ClientAddress::none) {
          return flow.owed_address() == service::ClientAddress::proxy_v2 ? FlowState::header_sent
                                                                         : FlowState::option_sent;
        }
        return segment.has(fin) ? FlowState::half_closed : FlowState::established;
      }
      return state;
    case FlowState::header_sent:
    case FlowState::option_sent:
      return from == Side::server && acknowledges_address(flow, segment) ? state_once_told(flow, segment) : state;
    case FlowState::established:
      return segment.has(fin) ? FlowState::half_closed : state;
    case FlowState::half_closed:
      // A FIN of the side that closed first is a retransmission.
      if (segment.has(fin) && flow.first_fin() != first_fin_of(from)) {
        return FlowState::closing;
      }
      return state;
    case FlowState::closing:
      return state_once_closed(flow, from, segment);
    case FlowState::adopted_from_client:
    case FlowState::adopted_from_server:
      if (!confirms_adoption(flow, from, segment)) {
        return state;
      }
      if (flow.first_fin() != 0) {
        return segment.has(fin) ? FlowState::closing : FlowState::half_closed;
      }
      return segment.has(fin) ? FlowState::half_closed : FlowState::established;
    case FlowState::free:
    case FlowState::udp:
    case FlowState::lingering:
    case FlowState::client_closed:
      break;
  }
  return state;
}

// The numbers of a segment without SYN and RST. Free of branches on the side, which nothing predicts.
template <class Family>
inline void remember_plain(Flow<Family>& flow, Side from, const Segment& segment) {
  packet::Sequence& end = flow.sequence_end(from);
  packet::Sequence& acknowledged = flow.acknowledgment(from);
  // The server acknowledges in its own numbers.
  const auto delta = flow.sequence_delta & (0U - static_cast<std::uint32_t>(number(from)));
  const packet::Sequence peer_end = flow.sequence_end(opposite(from)) + delta;
  if (distance(end, segment.end()) <= plausible_distance) {
    end = segment.end();
  }
  acknowledged = acknowledged_after(acknowledged, segment, peer_end);
}

// The numbers of the SYN that opens a flow.
template <class Family>
inline void remember_first(Flow<Family>& flow, const Segment& segment) {
  flow.client_sequence_end = segment.end();
  flow.server_acknowledgment = segment.sequence + flow.sequence_delta;
}

// The numbers of a segment before the server's SYN-ACK, and of that. It sets them all: it says which SYN it answers.
template <class Family>
inline void remember_opening(Flow<Family>& flow, Side from, const Segment& segment) {
  if (!segment.has(packet::tcp_flag::syn)) {
    return;
  }
  if (from == Side::client) {
    flow.client_sequence_end = segment.end();
  } else if (acknowledges_syn(flow, segment)) {
    flow.client_sequence_end = segment.acknowledgment - flow.sequence_delta;
    flow.client_acknowledgment = segment.sequence;
    flow.server_sequence_end = segment.end();
    flow.server_acknowledgment = segment.acknowledgment;
  }
}

// The numbers of a segment in the middle of a connection of which nothing is known: what the other side has sent and
// taken is what this side believes.
template <class Family>
inline void remember_first_seen(Flow<Family>& flow, Side from, const Segment& segment) {
  flow.sequence_end(from) = segment.end();
  flow.acknowledgment(from) = segment.acknowledgment;
  flow.sequence_end(opposite(from)) = segment.acknowledgment;
  flow.acknowledgment(opposite(from)) = segment.sequence;
  flow.set_first_fin(segment.has(packet::tcp_flag::fin) ? first_fin_of(from) : 0U);
}

// The numbers of further segments of an adopted flow, until it is confirmed and with the one that confirms it.
template <class Family>
inline void remember_adopted(Flow<Family>& flow, Side from, const Segment& segment) {
  if (segment.has(packet::tcp_flag::syn) || !segment.has(packet::tcp_flag::ack)) {
    return;
  }
  if (from == adopter(flow)) {
    if (!is_plausible(flow, from, segment)) {
      remember_first_seen(flow, from, segment);  // one of the two is forged: the answer will tell
      return;
    }
    remember_plain(flow, from, segment);
    if (segment.has(packet::tcp_flag::fin)) {
      flow.set_first_fin(first_fin_of(from));
    }
    return;
  }
  if (confirms_adoption(flow, from, segment)) {
    // What adopted it may have been old data or a keep-alive, which ends before what was sent (RFC 9293 section 3.8.4).
    flow.sequence_end(opposite(from)) = later_of(flow.sequence_end(opposite(from)), segment.acknowledgment);
    flow.sequence_end(from) = later_of(flow.sequence_end(from), segment.end());
    flow.acknowledgment(from) = segment.acknowledgment;
  }
}

// The numbers while the server owes an acknowledgment of the client's address: its word stays where the header begins,
// or the client's first data, until it has all of that. Who has closed, too: the state cannot say it.
template <class Family>
inline void remember_told(Flow<Family>& flow, Side from, const Segment& segment) {
  const packet::Sequence begin = flow.server_acknowledgment;
  const bool whole = from == Side::client || acknowledges_address(flow, segment);
  remember_plain(flow, from, segment);
  if (!whole) {
    flow.server_acknowledgment = begin;
  }
  if (segment.has(packet::tcp_flag::fin)) {
    flow.set_first_fin(flow.first_fin() | first_fin_of(from));
  }
}

// Remembers the segment's numbers. They only grow, except that the SYNs of an opening connection set them. A SYN later
// on is a forgery or a mistake (RFC 5961 section 4) and sets nothing.
template <class Family>
inline void remember(Flow<Family>& flow, Side from, const Segment& segment) {
  if (segment.has(packet::tcp_flag::rst)) {
    return;
  }
  if (flow.one_sided()) {
    remember_one_sided(flow, segment);
  } else if (flow.state() == FlowState::syn_sent) {
    remember_opening(flow, from, segment);
  } else if (flow.adopted()) {
    remember_adopted(flow, from, segment);
  } else if (flow.told()) {
    remember_told(flow, from, segment);
  } else {
    remember_plain(flow, from, segment);
  }
}

}  // namespace steelyard::l4
