// What goes out: RFC 9293 sections 3.8.6.2.1 and 3.10.2, RFC 5681 sections 3 and 4.1, RFC 6691 (segment size and
// options).
#include <algorithm>

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

std::uint32_t Connection::payload_room() const {
  return segment_size_ - (timestamps_ ? std::uint32_t{timestamps_size} : 0U);
}

std::uint16_t Connection::announced_size(const Context& context) const {
  return context.settings.announced_segment(headers_);
}

std::uint32_t Connection::writable(const Settings& settings) const {
  if (fin_queued_ || state_ == State::closed || state_ > State::close_wait) {
    return 0;
  }
  return settings.send_buffer - std::min(queue_.queued(), settings.send_buffer);
}

// As much as is in flight keeps a path full until the application is told that there is room; who takes nothing has
// nothing in flight.
std::uint32_t Connection::unsent_limit(const Context& context) const {
  return context.memory.pressure().ample() ? unlimited : std::max(context.settings.unsent, flight());
}

std::size_t Connection::send(const Context& context, std::span<const Slice> slices, bool last) {
  std::size_t taken = 0;
  // What is queued holds buffers as what is unread does, and has no more than the same share of them (pressure.h). Who
  // has nothing queued may always send something: so an acknowledgment comes, and with it Event::writable.
  const std::uint32_t share = context.memory.pressure().share();
  while (taken < slices.size() && writable(context.settings) != 0 &&
         (queue_.queued() == 0 || (queue_.queued() < share && queue_.unsent() < unsent_limit(context))) &&
         context.memory.available() > context.memory.reserve() && queue_.append(context.memory, slices[taken])) {
    ++taken;
  }
  wants_writable_ = taken < slices.size();
  last&& taken == slices.size() ? shutdown(context) : finish(context);
  return taken;
}

// After a segment, when what it lets go out has gone.
void Connection::tell_writable(const Context& context) {
  if (wants_writable_ && writable(context.settings) >= context.settings.send_buffer / 2 &&
      queue_.unsent() <= unsent_limit(context) / 2) {
    wants_writable_ = false;
    context.output.notify(Event::writable);
  }
}

// After anything that has happened: sends what may be sent, acknowledges what is due, sets timers.
void Connection::finish(const Context& context) {
  if (state_ == State::closed || state_ == State::time_wait) {
    return;
  }
  send_pending(context);
  if (acknowledging_.due_now() && state_ >= State::syn_received) {
    send_acknowledgment(context);
  }
  arm(context);
}

void Connection::send_pending(const Context& context) {
  if (!may_send_data()) {
    return;
  }
  // RFC 5681 section 4.1.
  if (!queue_.outstanding() && queue_.unsent() != 0 &&
      context.now - sent_at_ > trip_.timeout(context.settings.timeout, 0)) {
    cubic_.restart_after_idle(payload_room());
  }
  // RFC 5682, step 2: whether what is marked as lost is so, new data will tell.
  if (phase_ == Phase::loss && undo_.forward() == Undo::Forward::probes) {
    while (queue_.unsent() != 0 && send_next(context)) {
    }
    return;
  }
  while (queue_.lost() != 0 && retransmit_next(context, false)) {
  }
  while (queue_.lost() == 0 && queue_.unsent() != 0 && send_next(context)) {
  }
}

bool Connection::retransmit_next(const Context& context, bool forced) {
  const Run run = queue_.next_lost(context.memory, payload_room());
  if (run.length == 0) {
    return false;
  }
  if (!forced && flight() != 0 && flight() + run.length > cubic_.window()) {
    return false;
  }
  // A window that has shrunk (RFC 9293 section 3.8.6, RFC 7323 section 2.4): what lies behind its end waits.
  if (!forced && !after(send_edge(), run.begin)) {
    return false;
  }
  transmit_run(context, run);
  return true;
}

bool Connection::send_next(const Context& context) {
  const std::uint32_t window = after(send_edge(), send_next_) ? distance(send_next_, send_edge()) : 0;
  const std::uint32_t available = queue_.unsent() - (fin_queued_ ? 1U : 0U);
  const std::uint32_t payload = std::min({payload_room(), available, window});
  if (window == 0 || flight() >= std::max(cubic_.window(), 1U) || !worth_sending(context, payload, window)) {
    return false;
  }
  // Of small slices a segment may be shorter than it could be.
  const Run run = queue_.next_unsent(context.memory, payload, window);
  if (run.length == 0 || (flight() != 0 && flight() + run.payload > cubic_.window())) {
    return false;
  }
  transmit_run(context, run);
  return true;
}

// Silly window avoidance (RFC 9293 section 3.8.6.2.1), Nagle's rule (section 3.7.4) and the cork.
bool Connection::worth_sending(const Context& context, std::uint32_t payload, std::uint32_t window) const {
  const std::uint32_t available = queue_.unsent();
  if (payload >= payload_room()) {
    return true;
  }
  if (available <= window) {
    if (context.settings.cork && !fin_queued_) {
      return false;
    }
    return !context.settings.nagle || fin_queued_ || !queue_.outstanding();
  }
  return payload >= largest_window_ / 2 && payload != 0;
}

void Connection::transmit_run(const Context& context, const Run& run) {
  Outgoing segment;
  segment.sequence = run.begin;
  segment.flags = flag::ack;
  segment.payload = run.slices();
  if (run.has_fin) {
    segment.flags |= flag::fin;
  }
  if (run.payload != 0 && (run.end() == queue_.end() || run.end() + 1 == queue_.end())) {
    segment.flags |= flag::psh;
  }
  fill_header(context, segment);
  // RFC 6691: the segment size includes options. Reports that find no room beside the payload need a segment of their
  // own.
  const bool reports = segment.options.sack_count != 0;
  const bool room = size_of(segment.options) + run.payload <= segment_size_;
  if (!room) {
    segment.options.sack_count = 0;
  }
  const bool repetition = !after(run.end(), send_next_);
  if (!queue_.outstanding()) {
    cubic_.pause(context.now - progress_at_);
    timer_base_ = progress_at_ = context.now;
  }
  context.output.transmit(segment);
  queue_.mark_sent(context.memory, run, context.now);
  send_next_ = packet::later_of(send_next_, run.end());
  sent_at_ = context.now;
  if (repetition) {
    ++retransmitted_;
  }
  if (phase_ == Phase::recovery) {
    reduction_.sent(run.length);
  }
  if (repetition && phase_ != Phase::open) {
    undo_.repeated(timestamp(context.now));
  }
  if (room || !reports) {
    acknowledging_.sent();
    duplicate_due_ = false;
  }
}

void Connection::send_acknowledgment(const Context& context) {
  send_bare(context, send_next_, flag::ack);
  acknowledging_.sent();
  duplicate_due_ = false;
}

// A segment without payload.
void Connection::send_bare(const Context& context, Sequence sequence, std::uint8_t flags) {
  Outgoing segment;
  segment.sequence = sequence;
  segment.flags = flags;
  if ((flags & flag::ack) != 0) {
    fill_header(context, segment);
  }
  context.output.transmit(segment);
}

// Everything but sequence number, flags and payload.
void Connection::fill_header(const Context& context, Outgoing& segment) {
  segment.acknowledgment = last_acknowledged_ = receive_.next();
  receive_.resize(std::min(context.settings.receive_buffer, context.memory.pressure().share()));
  segment.window = receive_.advertise(announced_size(context));
  Options& options = segment.options;
  if (timestamps_) {
    options.has_timestamps = true;
    options.timestamp = timestamp(context.now);
    options.timestamp_echo = peer_timestamp_;
  }
  if (!sack_ || segment.has(flag::rst) || (reassembly_.empty() && !duplicate_due_)) {
    return;
  }
  options.sack_count = reassembly_.blocks(context.memory, options.sacks);
  if (duplicate_due_) {
    std::shift_right(options.sacks.begin(), options.sacks.end(), 1);
    options.sacks[0] = duplicate_;
    options.sack_count = static_cast<std::uint8_t>(std::min<std::size_t>(options.sack_count + 1U, max_sack_blocks));
  }
}

}  // namespace steelyard::tcp
