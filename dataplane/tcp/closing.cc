// How connections end: RFC 9293 sections 3.6 and 3.10.4, 3.10.5.
#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

void Connection::queue_fin(const Context& context) {
  if (fin_queued_) {
    return;
  }
  if (!queue_.append_fin(context.memory)) {
    reset_peer(context, Cause::no_memory);
    return;
  }
  fin_queued_ = true;
  if (state_ == State::established) {
    state_ = State::fin_wait_1;
  } else if (state_ == State::close_wait) {
    state_ = State::last_ack;
  }
}

void Connection::shutdown(const Context& context) {
  if (state_ == State::syn_sent) {
    end(context, Cause::aborted);
  } else if (state_ != State::closed && state_ != State::time_wait) {
    queue_fin(context);
    finish(context);
  }
}

void Connection::close(const Context& context) {
  if (state_ == State::closed || state_ == State::time_wait) {
    return;
  }
  closed_ = true;
  // RFC 9293 section 3.6.1 (RFC 2525 section 2.17): the peer must learn that its data were not read.
  if (receive_.unread() != 0 || !reassembly_.empty()) {
    reset_peer(context, Cause::unread_data);
    return;
  }
  if (state_ == State::fin_wait_2) {
    idle_deadline_ = context.now + context.settings.finwait2_timeout;
  }
  shutdown(context);
}

void Connection::abort(const Context& context) {
  if (state_ == State::closed || state_ == State::time_wait) {
    return;
  }
  // RFC 9293 section 3.10.5: a peer that has not answered is told nothing, nor is one that has been sent everything and
  // has said that it sends no more.
  const bool all_sent = (state_ == State::closing || state_ == State::last_ack) && queue_.unsent() == 0;
  if (state_ == State::syn_sent || all_sent) {
    end(context, Cause::aborted);
  } else {
    reset_peer(context, Cause::aborted);
  }
}

void Connection::relieve(const Context& context) {
  if (state_ != State::closed && state_ != State::time_wait) {
    reset_peer(context, Cause::no_memory);
  }
}

bool Connection::is_stalled(Time now) const {
  constexpr Duration patience = std::chrono::seconds{2};
  return queue_.queued() != 0 && send_window_ < payload_room() && now - progress_at_ >= patience;
}

std::uint32_t Connection::held() const {
  return receive_.unread() + reassembly_.octets_held() + queue_.queued();
}

void Connection::reset_peer(const Context& context, Cause cause) {
  send_bare(context, send_next_, flag::rst | flag::ack);
  end(context, cause);
}

// To a segment that acknowledges what was never sent (RFC 9293 section 3.5.2, group 2). RFC 7323 section 5.2: its
// timestamp goes back.
void Connection::reset_sender_of(const Context& context, const Segment& segment) {
  Outgoing reset;
  reset.sequence = segment.acknowledgment;
  reset.flags = flag::rst;
  reset.options.has_timestamps = segment.options.has_timestamps;
  reset.options.timestamp_echo = segment.options.timestamp;
  context.output.transmit(reset);
}

void Connection::end(const Context& context, Cause cause) {
  if (receive_.unread() != 0) {
    receive_.consumed(receive_.unread());
    context.memory.pressure().holds_nothing();
  }
  queue_.clear(context.memory);
  reassembly_.clear(context.memory);
  acknowledging_ = {};
  loss_timer_ = LossTimer::off;
  loss_deadline_ = idle_deadline_ = reordering_at_ = never;
  state_ = State::closed;
  cause_ = cause;
  context.output.notify(Event::over);
}

void Connection::enter_time_wait(const Context& context) {
  send_acknowledgment(context);
  end(context, Cause::finished);
  state_ = State::time_wait;
}

Ending Connection::ending() const {
  return {.send_next = send_next_,
          .receive_next = receive_.next(),
          .peer_timestamp = peer_timestamp_,
          .window = static_cast<std::uint16_t>(receive_.size() >> receive_.scale()),
          .timestamps = timestamps_};
}

}  // namespace steelyard::tcp
