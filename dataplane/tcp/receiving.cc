// What comes in order and what does not: RFC 9293 section 3.10.7.4, seventh and eighth checks; RFC 2018, RFC 2883.
#include <algorithm>

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

// Takes over the payload's reference.
void Connection::on_text(const Context& context, const Segment& segment) {
  Slice slice = segment.payload;
  Sequence begin = segment.sequence;
  bool fin = segment.has(flag::fin);
  const auto drop = [&] {
    if (segment.payload.buffer != nullptr) {
      context.memory.release(segment.payload);
    }
  };
  if (!may_receive()) {  // the peer has said before that nothing more comes
    acknowledging_.at_once();
    drop();
    return;
  }
  if (after(receive_.next(), begin)) {
    const std::uint32_t known = distance(begin, receive_.next());
    const std::uint32_t cut = known < slice.length ? known : slice.length;
    duplicate_due_ = cut != 0;
    duplicate_ = {begin, begin + cut};
    slice = slice.from(cut);
    begin = begin + cut;
    acknowledging_.at_once();
  }
  const Sequence limit = fin_seen_ ? fin_at_ : receive_.edge();
  if (after(begin + slice.length, limit)) {
    slice = slice.first(after(limit, begin) ? distance(begin, limit) : 0);
    fin = false;
    acknowledging_.at_once();
  }
  if (fin && !fin_seen_) {
    fin_seen_ = true;
    fin_at_ = begin + slice.length;
  }
  if (slice.empty()) {
    drop();
  } else if (is_refused(context, begin)) {
    // As if it had been lost: the peer repeats it.
    context.memory.pressure().count_refused();
    drop();
    return;
  } else if (closed_) {
    // Nobody will read it, and the peer must not believe that somebody did.
    drop();
    reset_peer(context, Cause::unread_data);
    return;
  } else if (begin == receive_.next()) {
    if (reassembly_.empty()) {
      take_in_order(context, slice);
    } else {
      fill_gap(context, slice);
    }
  } else {
    take_out_of_order(context, begin, slice);
  }
  if (fin_seen_ && receive_.next() == fin_at_) {
    take_fin(context);
  } else if (fin) {
    acknowledging_.at_once();
  }
}

// What fills a gap makes what is held readable; what opens one only waits.
bool Connection::is_refused(const Context& context, Sequence begin) const {
  const std::uint32_t waiting = begin == receive_.next() ? 0 : reassembly_.octets_held();
  return receive_.unread() + waiting >= context.memory.pressure().share();
}

void Connection::take_in_order(const Context& context, const Slice& slice) {
  if (receive_.unread() == 0) {
    context.memory.pressure().begins_to_hold();
  }
  receive_.received(slice.length);
  acknowledging_.data_received(slice.length, announced_size(context), context.settings.delayed_acknowledgment,
                               context.now);
  context.output.deliver(slice);
}

void Connection::take_out_of_order(const Context& context, Sequence begin, const Slice& slice) {
  const Reassembly::Added added = reassembly_.add(context.memory, begin, slice, context.settings.most_held);
  if (!added.duplicate.empty() && !duplicate_due_) {
    duplicate_due_ = true;
    duplicate_ = added.duplicate;
  }
  acknowledging_.at_once();  // RFC 5681 section 4.2
}

// A segment begins where we wait, and something is held: both are delivered in turn, what is held first where both have
// it. Needs no nodes, so that it never fails.
void Connection::fill_gap(const Context& context, const Slice& segment) {
  Slice rest = segment;
  while (!rest.empty()) {
    const std::uint32_t octets = std::min(rest.length, reassembly_.room_before(context.memory, receive_.next()));
    context.memory.retain(rest);
    take_in_order(context, rest.first(octets));
    rest = rest.from(octets);
    const Sequence from = receive_.next();
    while (const auto piece = reassembly_.take(context.memory, receive_.next())) {
      take_in_order(context, *piece);
    }
    const std::uint32_t known = std::min(rest.length, distance(from, receive_.next()));
    if (known != 0 && !duplicate_due_) {
      duplicate_due_ = true;
      duplicate_ = {from, from + known};
    }
    rest = rest.from(known);
  }
  context.memory.release(segment);
  acknowledging_.at_once();
}

void Connection::take_fin(const Context& context) {
  receive_.received_fin();
  reassembly_.clear(context.memory);
  acknowledging_.at_once();
  context.output.notify(Event::peer_finished);
  switch (state_) {
    case State::established:
      state_ = State::close_wait;
      break;
    case State::fin_wait_1:
      state_ = State::closing;
      break;
    case State::fin_wait_2:
      enter_time_wait(context);
      break;
    case State::closed:
    case State::syn_sent:
    case State::syn_received:
    case State::close_wait:
    case State::closing:
    case State::last_ack:
    case State::time_wait:
      break;
  }
}

void Connection::consume(const Context& context, std::uint32_t octets) {
  if (receive_.unread() != 0) {
    receive_.consumed(octets);
    if (receive_.unread() == 0) {
      context.memory.pressure().holds_nothing();
    }
  }
  if (may_receive() && receive_.update_due(announced_size(context))) {
    acknowledging_.at_once();
    finish(context);
  }
}

}  // namespace steelyard::tcp
