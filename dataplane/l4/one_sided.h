// What a forwarder must know of a TCP connection of which it sees the client's half alone (mode `dr`): the part of
// tcp_tracker.h for one-sided flows. Pure: no clock, no table.
#pragma once

#include "dataplane/l4/flow.h"
#include "dataplane/l4/segment.h"

namespace steelyard::l4 {

// Does a client's segment in a one-sided flow follow its SYN? The first one, whose data (RFC 7413) may come again, or
// the last if it has tried anew with another number - or somebody else has, in its name.
template <class Family>
[[nodiscard]] inline bool follows_syn(const Flow<Family>& flow, const Segment& segment) {
  return segment.has(packet::tcp_flag::ack) &&
         (distance(flow.server_acknowledgment + 1, segment.sequence) < most_syn_data ||
          segment.sequence == flow.client_sequence_end);
}

// Does a client's segment go on with a connection that was taken over in its middle? A guess hits what the first one
// said once in 65,536 times.
template <class Family>
[[nodiscard]] inline bool goes_on(const Flow<Family>& flow, const Segment& segment) {
  return segment.has(packet::tcp_flag::ack) && is_near(flow.client_sequence_end, segment.sequence) &&
         is_near(flow.client_acknowledgment, segment.acknowledgment);
}

// The state after a client's `segment`; next_state() of tcp_tracker.h. A reset must be the one that the server takes
// (RFC 5961 section 3.2), since nobody sees whether it did.
template <class Family>
[[nodiscard]] inline FlowState next_state_one_sided(const Flow<Family>& flow, const Segment& segment) {
  using namespace packet::tcp_flag;
  const FlowState state = flow.state();
  if (segment.has(rst)) {
    return segment.sequence == flow.client_sequence_end ? FlowState::lingering : state;
  }
  if (segment.has(syn)) {
    return state;
  }
  if (state == FlowState::established || (state == FlowState::syn_sent && follows_syn(flow, segment)) ||
      (state == FlowState::adopted_from_client && goes_on(flow, segment))) {
    return segment.has(fin) ? FlowState::client_closed : FlowState::established;
  }
  return state;
}

// The numbers of a client's segment in a one-sided flow. Of the server's numbers is known what the client acknowledges,
// and of what the server has acknowledged nothing: all, then.
template <class Family>
inline void remember_one_sided_plain(Flow<Family>& flow, const Segment& segment) {
  // What the server has sent bounds no acknowledgment here, so that what comes with it must be plausible.
  const bool acknowledges = segment.has(packet::tcp_flag::ack) && is_near(flow.client_sequence_end, segment.sequence) &&
                            distance(flow.client_acknowledgment, segment.acknowledgment) <= plausible_distance;
  if (distance(flow.client_sequence_end, segment.end()) <= plausible_distance) {
    flow.client_sequence_end = segment.end();
    flow.server_acknowledgment = segment.end();
  }
  if (acknowledges) {
    flow.client_acknowledgment = segment.acknowledgment;
    flow.server_sequence_end = segment.acknowledgment;
  }
}

// The numbers of a segment in the middle of a connection of which nothing is known.
template <class Family>
inline void remember_one_sided_first_seen(Flow<Family>& flow, const Segment& segment) {
  flow.client_sequence_end = segment.end();
  flow.server_acknowledgment = segment.end();
  flow.client_acknowledgment = segment.acknowledgment;
  flow.server_sequence_end = segment.acknowledgment;
}

// The numbers of any client's segment but a reset.
template <class Family>
inline void remember_one_sided(Flow<Family>& flow, const Segment& segment) {
  using namespace packet::tcp_flag;
  if (flow.state() == FlowState::adopted_from_client && !goes_on(flow, segment)) {
    if (segment.has(ack) && !segment.has(syn)) {
      remember_one_sided_first_seen(flow, segment);  // one of the two is forged: the next will tell
    }
    return;
  }
  if (flow.state() != FlowState::syn_sent) {
    if (!segment.has(syn)) {
      remember_one_sided_plain(flow, segment);
    }
    return;
  }
  if (segment.has(syn)) {
    flow.client_sequence_end = segment.end();  // server_acknowledgment keeps the first number
  } else if (follows_syn(flow, segment)) {
    flow.client_sequence_end = segment.end();
    flow.server_acknowledgment = segment.end();
    flow.client_acknowledgment = segment.acknowledgment;
    flow.server_sequence_end = segment.acknowledgment;
  }
}

}  // namespace steelyard::l4
