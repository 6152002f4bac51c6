// What happens when nothing comes: RFC 6298 section 5, RFC 8985 sections 6.3 and 7, RFC 9293 sections 3.8.3, 3.8.4 and
// 3.8.6.1. A connection has three deadlines: of losses (one of five kinds at a time), of a delayed acknowledgment, and
// of idleness.
#include <algorithm>

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

Time Connection::deadline() const {
  return std::min({loss_deadline_, acknowledging_.deadline(), idle_deadline_});
}

void Connection::on_timer(const Context& context) {
  if (acknowledging_.deadline() <= context.now) {
    acknowledging_.at_once();
  }
  if (loss_deadline_ <= context.now) {
    on_loss_timer(context);
  }
  if (idle_deadline_ <= context.now) {
    on_idle_timer(context);
  }
  finish(context);
}

// Which timer runs, and until when.
void Connection::arm(const Context& context) {
  const TimeoutLimits& limits = context.settings.timeout;
  if (state_ == State::syn_sent || state_ == State::syn_received) {
    loss_timer_ = LossTimer::retransmission;
    loss_deadline_ =
        std::min(timer_base_ + trip_.timeout(limits, backoff_), progress_at_ + context.settings.syn_timeout);
    return;
  }
  if (queue_.outstanding()) {
    loss_timer_ = LossTimer::retransmission;
    const Duration timeout = send_window_ == 0 ? persist_timeout(context) : trip_.timeout(limits, backoff_);
    loss_deadline_ = std::min(timer_base_ + timeout, progress_at_ + context.settings.user_timeout);
    if (reordering_at_ < loss_deadline_) {
      loss_timer_ = LossTimer::reordering;
      loss_deadline_ = reordering_at_;
    } else if (may_probe()) {
      // Not later than the retransmission, in whose stead it goes out.
      const Time probe = std::min(std::max(sent_at_, timer_base_) + probe_timeout(), timer_base_ + timeout);
      if (probe <= loss_deadline_) {
        loss_timer_ = LossTimer::probe;
        loss_deadline_ = probe;
      }
    }
  } else if (queue_.unsent() != 0) {
    if (loss_timer_ != LossTimer::persist) {
      loss_timer_ = LossTimer::persist;
      timer_base_ = context.now;
      backoff_ = 0;
    }
    // What overrides silly window avoidance must be below a second (RFC 9293 section 3.8.6.2.1).
    constexpr Duration most_override = std::chrono::seconds{1};
    const bool overrides = after(send_edge(), send_next_);
    loss_deadline_ =
        timer_base_ + (overrides ? std::min(persist_timeout(context), most_override) : persist_timeout(context));
  } else {
    loss_timer_ = LossTimer::off;
    loss_deadline_ = never;
  }
  // RFC 9293 section 3.8.4: only when nothing else asks the peer.
  const bool waits_for_fin = state_ == State::fin_wait_2 && closed_;
  if (context.settings.keepalive_idle > Duration{0} && !waits_for_fin && synchronized()) {
    idle_deadline_ = queue_.empty() ? heard_at_ + context.settings.keepalive_idle +
                                          keepalive_sent_ * context.settings.keepalive_interval
                                    : never;
  }
}

// RFC 9293 section 3.8.6.1: as the retransmission timeout, and so often that a peer has several chances to show that it
// is alive before it is given up.
Duration Connection::persist_timeout(const Context& context) const {
  return std::min(trip_.timeout(context.settings.timeout, backoff_), context.settings.user_timeout / 4);
}

// RFC 8985 sections 7.2 and 7.3: one probe at a time, and one for each sample of the round trip.
bool Connection::may_probe() const {
  return sack_ && phase_ == Phase::open && !probe_outstanding_ && measured_since_probe_ && queue_.sacked() == 0 &&
         queue_.lost() == 0 && send_window_ != 0;
}

// RFC 8985 section 7.2.
Duration Connection::probe_timeout() const {
  if (!trip_.measured()) {
    return std::chrono::seconds{1};
  }
  const Duration timeout = 2 * trip_.smoothed();
  // A single segment's acknowledgment may be delayed.
  constexpr Duration most_delayed = std::chrono::milliseconds{200};
  return queue_.in_flight() <= payload_room() ? timeout + most_delayed : timeout;
}

void Connection::on_loss_timer(const Context& context) {
  switch (loss_timer_) {
    case LossTimer::off:
      break;
    case LossTimer::retransmission:
      if (state_ == State::syn_sent || state_ == State::syn_received) {
        on_syn_timeout(context);
      } else {
        on_retransmission_timeout(context);
      }
      break;
    case LossTimer::probe:
      on_probe_timeout(context);
      break;
    case LossTimer::reordering:
      detect_losses(context);
      break;
    case LossTimer::persist:
      on_persist_timeout(context);
      break;
  }
}

// RFC 6298 section 5, rule 5.5; R1 of RFC 9293 section 3.8.3.
void Connection::note_timeout(const Context& context) {
  constexpr std::uint8_t timeouts_to_tell = 3;
  backoff_ = static_cast<std::uint8_t>(std::min(backoff_ + 1, 255));
  if (backoff_ == timeouts_to_tell) {
    context.output.notify(Event::in_trouble);
  }
}

void Connection::on_syn_timeout(const Context& context) {
  if (context.now - progress_at_ >= context.settings.syn_timeout) {
    end(context, Cause::timed_out);
    return;
  }
  note_timeout(context);
  syn_repetitions_ = static_cast<std::uint8_t>(std::min(syn_repetitions_ + 1, 255));
  send_syn(context);
}

// RFC 6298 section 5, rules 5.4 to 5.6.
void Connection::on_retransmission_timeout(const Context& context) {
  if (context.now - progress_at_ >= context.settings.user_timeout) {
    end(context, Cause::timed_out);
    return;
  }
  const std::uint32_t outstanding = distance(send_unacknowledged_, send_next_);
  if (sack_ && context.memory[queue_.first()].has(node_flag::sacked)) {
    // The peer has given up what it said that it held (RFC 2018 section 8).
    queue_.forget_sacks(context.memory);
    queue_.mark_all_lost(context.memory);
  } else if (sack_) {
    const Duration window = rack_.reordering_window(trip_, true, true);
    rack_.mark_timed_out(context.memory, queue_, window, context.now);
  } else {
    queue_.mark_all_lost(context.memory);
  }
  // A closed window says nothing of the path.
  if (send_window_ != 0) {
    begin_loss_recovery(outstanding);
  }
  phase_ = Phase::loss;
  recovery_end_ = send_next_;
  duplicates_ = 0;
  probe_outstanding_ = false;
  reordering_at_ = never;
  note_timeout(context);
  timer_base_ = context.now;
  (void)retransmit_next(context, true);
}

// RFC 5681 section 3.1: the threshold falls when a segment times out for the first time. Only that can be taken back.
void Connection::begin_loss_recovery(std::uint32_t outstanding) {
  const bool again = phase_ == Phase::loss && undo_.from() == send_unacknowledged_;
  if (phase_ == Phase::open) {
    remember_window(outstanding, true);
  } else if (again) {
    undo_.set_forward(undo_.possible() ? Undo::Forward::waits : Undo::Forward::off);
  } else {
    undo_.forget(send_unacknowledged_);
  }
  cubic_.timed_out(outstanding, payload_room(), again);
}

// RFC 8985 section 7.3: new data if there are any, else the last segment again.
void Connection::on_probe_timeout(const Context& context) {
  const std::uint32_t window = after(send_edge(), send_next_) ? distance(send_next_, send_edge()) : 0;
  const std::uint32_t payload = std::min(payload_room(), queue_.unsent());
  Run run;
  if (payload != 0 && payload <= window) {
    run = queue_.next_unsent(context.memory, payload, window);
  }
  measured_since_probe_ = false;
  probe_was_repetition_ = run.length == 0;
  if (probe_was_repetition_) {
    run = queue_.last_segment(context.memory, payload_room());
  }
  transmit_run(context, run);
  probe_outstanding_ = true;
  probe_end_ = send_next_;
  timer_base_ = context.now;
}

// RFC 9293 section 3.8.6.1. The probe is an octet's number that the peer has: it must answer, and nothing beyond its
// window is ever sent. The timer also overrides silly window avoidance (section 3.8.6.2.1).
void Connection::on_persist_timeout(const Context& context) {
  if (context.now - (closed_ ? progress_at_ : std::max(heard_at_, progress_at_)) >= context.settings.user_timeout) {
    end(context, Cause::timed_out);
    return;
  }
  backoff_ = static_cast<std::uint8_t>(std::min(backoff_ + 1, 255));
  timer_base_ = context.now;
  if (after(send_edge(), send_next_)) {
    const std::uint32_t window = distance(send_next_, send_edge());
    const Run run = queue_.next_unsent(context.memory, std::min(payload_room(), window), window);
    if (run.length != 0) {
      transmit_run(context, run);
    }
  } else {
    send_bare(context, send_unacknowledged_ - 1, flag::ack);
  }
}

// Keepalive, or nobody waits for the peer's FIN any more.
void Connection::on_idle_timer(const Context& context) {
  if (state_ == State::fin_wait_2 && closed_) {
    end(context, Cause::timed_out);
    return;
  }
  if (keepalive_sent_ >= context.settings.keepalive_probes) {
    reset_peer(context, Cause::keepalive_failed);
    return;
  }
  ++keepalive_sent_;
  send_bare(context, send_unacknowledged_ - 1, flag::ack);
}

void Connection::settings_changed(const Context& context) {
  receive_.resize(context.settings.receive_buffer);
  const bool waits_for_fin = state_ == State::fin_wait_2 && closed_;
  if (context.settings.keepalive_idle == Duration{0} && !waits_for_fin) {
    idle_deadline_ = never;
    keepalive_sent_ = 0;
  }
  finish(context);
}

ConnectionReport Connection::report(const Settings& settings) const {
  return {.state = state_,
          .window = cubic_.window(),
          .threshold = cubic_.threshold(),
          .in_flight = flight(),
          .unacknowledged = distance(send_unacknowledged_, send_next_),
          .unsent = queue_.unsent(),
          .unread = receive_.unread(),
          .largest_window = largest_window_,
          .send_window = send_window_,
          .segment = payload_room(),
          .retransmitted = retransmitted_,
          .held = static_cast<std::uint32_t>(reassembly_.held()),
          .round_trip = trip_.smoothed(),
          .timeout = trip_.timeout(settings.timeout, backoff_),
          .send_unacknowledged = send_unacknowledged_,
          .send_next = send_next_,
          .receive_next = receive_.next(),
          .receive_edge = receive_.edge(),
          .active_at = std::max(heard_at_, sent_at_),
          .reordering_seen = rack_.reordering_seen(),
          .timer_armed = deadline() != never};
}

}  // namespace steelyard::tcp
