// How connections begin: RFC 9293 section 3.10.1 and 3.10.7.3.
#include <algorithm>

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

void Connection::begin(const Context& context, const Origin& origin) {
  initial_ = origin.initial;
  timestamp_offset_ = origin.timestamp_offset;
  headers_ = origin.headers;
  minimum_mtu_ = origin.minimum_mtu;
  default_segment_size_ = origin.default_segment_size;
  send_unacknowledged_ = initial_;
  send_next_ = initial_ + 1;
  sample_from_ = initial_ + 1;
  recovery_end_ = initial_;
  queue_.reset(initial_ + 1);
  rack_.begin(initial_ + 1);
  heard_at_ = progress_at_ = timer_base_ = context.now;
}

void Connection::connect(const Context& context, const Origin& origin) {
  begin(context, origin);
  state_ = State::syn_sent;
  receive_.begin(Sequence{0}, context.settings.receive_buffer, context.settings.receive_start);
  send_syn(context);
  arm(context);
}

// A SYN, or in a simultaneous open a SYN-ACK; again when it is lost.
void Connection::send_syn(const Context& context) {
  const bool answer = state_ == State::syn_received;
  Outgoing segment;
  segment.sequence = initial_;
  segment.flags = flag::syn;
  segment.window = receive_.unscaled();
  segment.options.segment_size = announced_size(context);
  segment.options.has_window_scale = !answer || scaled_;
  segment.options.window_scale = ReceiveWindow::scale_for(context.settings.receive_buffer);
  segment.options.sack_permitted = !answer || sack_;
  segment.options.has_timestamps = !answer || timestamps_;
  segment.options.timestamp = timestamp(context.now);
  if (answer) {
    segment.flags |= flag::ack;
    segment.acknowledgment = last_acknowledged_ = receive_.next();
    segment.options.timestamp_echo = timestamps_ ? peer_timestamp_ : 0;
  }
  sent_at_ = timer_base_ = context.now;
  context.output.transmit(segment);
}

// What both SYNs have said.
void Connection::negotiate(const Context& context, const Handshake& handshake) {
  peer_initial_ = handshake.peer_initial;
  receive_.begin(peer_initial_ + 1, context.settings.receive_buffer, context.settings.receive_start);
  last_acknowledged_ = receive_.next();
  // RFC 7323 section 2.2: only if both scale, and never the window of a SYN.
  scaled_ = handshake.scaled;
  if (scaled_) {
    peer_scale_ = handshake.window_scale;
    receive_.set_scale(ReceiveWindow::scale_for(context.settings.receive_buffer));
  }
  sack_ = handshake.sack;
  timestamps_ = handshake.timestamps;
  peer_timestamp_ = handshake.timestamp;
  peer_timestamp_at_ = context.now;
  segment_size_ = std::min(handshake.segment_size, announced_size(context));
}

void Connection::on_segment_in_syn_sent(const Context& context, const Segment& segment) {
  const bool acknowledges =
      segment.has(flag::ack) && after(segment.acknowledgment, initial_) && !after(segment.acknowledgment, send_next_);
  if (segment.has(flag::ack) && !acknowledges) {
    if (!segment.has(flag::rst)) {
      reset_sender_of(context, segment);
    }
    return;
  }
  if (segment.has(flag::rst)) {
    if (acknowledges) {
      end(context, Cause::refused);
    }
    return;
  }
  if (!segment.has(flag::syn)) {
    return;
  }
  negotiate(context, Handshake::of(segment.options, segment.sequence, default_segment_size_));
  heard_at_ = context.now;
  send_window_ = largest_window_ = segment.window;
  window_sequence_ = segment.sequence;
  window_acknowledgment_ = segment.acknowledgment;
  if (!acknowledges) {
    state_ = State::syn_received;
    backoff_ = 0;
    send_syn(context);
    return;
  }
  send_unacknowledged_ = segment.acknowledgment;
  if (syn_repetitions_ == 0) {
    trip_.sample(context.now - sent_at_);
    rack_.sample(context.now - sent_at_, context.now);
    measured_since_probe_ = true;
  }
  establish(context);
  acknowledging_.at_once();
}

void Connection::establish(const Context& context) {
  state_ = fin_queued_ ? State::fin_wait_1 : State::established;
  if (syn_repetitions_ != 0) {
    trip_.syn_was_repeated();
  }
  if (syn_repetitions_ > 1) {
    cubic_.begin_after_lost_syn(payload_room());
  } else {
    cubic_.begin(payload_room());
  }
  backoff_ = 0;
  progress_at_ = timer_base_ = context.now;
  context.output.notify(Event::established);
}

void Connection::accept(const Context& context, const Origin& origin, const Handshake& handshake,
                        const Segment& acknowledgment) {
  begin(context, origin);
  syn_repetitions_ = origin.syn_repetitions;
  negotiate(context, handshake);
  send_unacknowledged_ = send_next_;
  send_window_ = largest_window_ = std::uint32_t{acknowledgment.window} << peer_scale_;
  window_sequence_ = acknowledgment.sequence;
  window_acknowledgment_ = acknowledgment.acknowledgment;
  if (origin.round_trip > Duration{0}) {
    trip_.sample(origin.round_trip);
    rack_.sample(origin.round_trip, context.now);
    measured_since_probe_ = true;
  }
  establish(context);
}

}  // namespace steelyard::tcp
