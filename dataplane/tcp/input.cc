// Which segments are believed: RFC 9293 section 3.10.7.4 as RFC 5961 (blind attacks) and RFC 7323 (old duplicates) have
// sharpened it.
#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

namespace {

// RFC 7323 section 5.5: a connection that has been idle for longer than half a round of the fastest clock that
// timestamps may have knows nothing of its peer's any more.
constexpr Duration timestamp_is_stale = std::chrono::hours{24 * 24};

}  // namespace

void Connection::on_segment(const Context& context, const Segment& segment) {
  if (synchronized()) [[likely]] {
    take(context, segment, state_ != State::time_wait && is_believed(context, segment));
  } else {
    on_segment_of_handshake(context, segment);
  }
}

// Before the handshake has ended what comes may carry a SYN, which takes a sequence number.
void Connection::on_segment_of_handshake(const Context& context, const Segment& received) {
  Segment segment = received;
  bool believed = false;
  if (state_ == State::syn_sent) {
    on_segment_in_syn_sent(context, segment);
    // Data that come with the SYN-ACK are behind the SYN.
    believed = synchronized() && segment.has(flag::syn);
    segment.sequence = segment.sequence + 1;
  } else if (state_ == State::syn_received) {
    if (segment.has(flag::syn) && segment.has(flag::ack) && segment.sequence == peer_initial_) {
      // Simultaneous open (RFC 9293 section 3.5, figure 7): the peer's SYN once more, with the acknowledgment of ours.
      segment.flags = static_cast<std::uint8_t>(segment.flags & ~flag::syn);
      segment.sequence = segment.sequence + 1;
      acknowledging_.at_once();
    }
    believed = is_believed(context, segment);
  }
  segment.flags = static_cast<std::uint8_t>(segment.flags & ~flag::syn);
  take(context, segment, believed);
}

// Everything before the segment's text.
bool Connection::is_believed(const Context& context, const Segment& segment) {
  if (!acceptable(context, segment)) {
    return false;
  }
  heard_at_ = context.now;
  keepalive_sent_ = 0;
  note_timestamp(context, segment);
  on_acknowledgment(context, segment);
  return true;
}

// The text of a segment that is believed, and what follows from all of it.
void Connection::take(const Context& context, const Segment& segment, bool believed) {
  if (believed && (segment.payload.length != 0 || segment.has(flag::fin)) && synchronized()) {
    on_text(context, segment);
  } else if (segment.payload.buffer != nullptr) {
    context.memory.release(segment.payload);
  }
  finish(context);
  tell_writable(context);
}

// May the segment change anything? If not, it is answered as the RFCs demand.
bool Connection::acceptable(const Context& context, const Segment& segment) {
  // RFC 7323 section 3.2: once agreed on, timestamps are in every segment but resets. A SYN may be a new connection's,
  // whose peer offers none.
  if (timestamps_ && !segment.options.has_timestamps && !segment.has(flag::rst) && !segment.has(flag::syn)) {
    return false;
  }
  if (segment.has(flag::rst)) {
    on_reset(context, segment);
    return false;
  }
  if (!passes_paws(context, segment)) {
    challenge(context);
    return false;
  }
  if (!in_window(segment)) {
    answer_old(context, segment);
    return false;
  }
  if (segment.has(flag::syn)) {
    challenge(context);  // RFC 5961 section 4.2
    return false;
  }
  return segment.has(flag::ack) && acknowledgment_acceptable(context, segment);
}

// Protection against wrapped sequence numbers (RFC 7323 section 5.3, R1); not asked for resets.
bool Connection::passes_paws(const Context& context, const Segment& segment) {
  if (!timestamps_ || !segment.options.has_timestamps) {
    return true;
  }
  return static_cast<std::int32_t>(segment.options.timestamp - peer_timestamp_) >= 0 ||
         context.now - peer_timestamp_at_ > timestamp_is_stale;
}

// RFC 9293 section 3.10.7.4, first check. Two allowances: a segment without length may stand at the window's edge,
// where a peer is that has filled it; and one that comes to a closed window is heard, though its data are not taken
// (on_text()).
bool Connection::in_window(const Segment& segment) const {
  const std::uint32_t window = receive_.size();
  const std::uint32_t offset = distance(receive_.next(), segment.sequence);
  if (segment.length() == 0) {
    return offset <= window;
  }
  if (window == 0) {
    return offset == 0;
  }
  return offset < window || distance(receive_.next(), segment.end() - 1) < window;
}

// RFC 9293 section 3.10.7.4, fifth check; RFC 5961 section 5.2.
bool Connection::acknowledgment_acceptable(const Context& context, const Segment& segment) {
  if (state_ == State::syn_received) {
    if (after(segment.acknowledgment, send_unacknowledged_) && !after(segment.acknowledgment, send_next_)) {
      return true;
    }
    reset_sender_of(context, segment);
    return false;
  }
  if (after(segment.acknowledgment, send_next_) ||
      after(send_unacknowledged_ - largest_window_, segment.acknowledgment)) {
    challenge(context);
    return false;
  }
  return true;
}

// RFC 5961 section 3.2: only the exact number resets; any other in the window is asked about, and what is outside of it
// is nobody's. Data that come with it mean nothing (RFC 9293 section 3.5.3).
void Connection::on_reset(const Context& context, const Segment& segment) {
  if (segment.sequence == receive_.next()) {
    // In CLOSING and LAST-ACK the peer has all but our FIN's acknowledgment for us, and may have forgotten it: no
    // error.
    const bool only_fin_left = (state_ == State::closing || state_ == State::last_ack) && queue_.queued() == 1;
    end(context, state_ == State::syn_received ? Cause::refused
                 : only_fin_left               ? Cause::finished
                                               : Cause::reset_by_peer);
  } else if (distance(receive_.next(), segment.sequence) < receive_.size()) {
    challenge(context);
  }
}

// A segment outside of the window: its sender must learn where we are. What takes sequence numbers is always answered,
// since it may be a retransmission whose acknowledgment was lost; the rest as rarely as challenges, so that two stacks
// that disagree do not answer each other for ever.
void Connection::answer_old(const Context& context, const Segment& segment) {
  if (state_ == State::syn_received && segment.has(flag::syn)) {
    if (challenges_.allow(context.now)) {
      send_syn(context);  // a peer that repeats its SYN has not had our SYN-ACK
    }
    return;
  }
  if (segment.length() == 0 || segment.has(flag::syn)) {
    challenge(context);
    return;
  }
  // The last segment once more, since its acknowledgment was lost: the answer must echo this transmission, or the peer
  // takes the time since the first one for its round trip. RFC 7323 section 4.3, rule 2, knows no window; here it must
  // be the last segment, so that nobody who guesses can set the clock.
  if (segment.end() == receive_.next()) {
    note_timestamp(context, segment);
  }
  if (segment.payload.length != 0 && !after(segment.end(), receive_.next())) {
    duplicate_due_ = true;
    duplicate_ = {segment.sequence, segment.sequence + segment.payload.length};
  }
  acknowledging_.at_once();
}

void Connection::challenge(const Context& context) {
  if (challenges_.allow(context.now)) {
    acknowledging_.at_once();
  }
}

// RFC 7323 section 4.3: the timestamp to be echoed is that of the segment which the last acknowledgment was waiting
// for.
void Connection::note_timestamp(const Context& context, const Segment& segment) {
  if (!timestamps_ || after(segment.sequence, last_acknowledged_)) {
    return;
  }
  if (static_cast<std::int32_t>(segment.options.timestamp - peer_timestamp_) >= 0 ||
      context.now - peer_timestamp_at_ > timestamp_is_stale) {
    peer_timestamp_ = segment.options.timestamp;
    peer_timestamp_at_ = context.now;
  }
}

}  // namespace steelyard::tcp
