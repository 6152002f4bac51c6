// Segments that belong to no connection: RFC 9293 sections 3.10.7.1 (CLOSED) and 3.10.7.2 (LISTEN), half-open
// connections in a table or in cookies (RFC 4987), and TIME_WAIT (RFC 1337, RFC 6191).
#include <algorithm>

#include "dataplane/tcp/stack.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

namespace {

constexpr ListenerIndex no_listener = 0xffff;
constexpr Duration cookie_lifetime = std::chrono::seconds{128};  // syn_cookie.h: two secrets of 64 s

// Never scaled (RFC 7323 section 2.2).
std::uint32_t syn_window(const Settings& settings) {
  return std::min({settings.receive_buffer, settings.receive_start, 0xffffU});
}

// RFC 6191 section 2: may this SYN begin a new incarnation of a connection in TIME_WAIT? (We use timestamps whenever
// the peer offers them.)
bool reopens(const TimeWaitSlot& waiting, const Segment& syn) {
  const bool later_number = !after(waiting.receive_next, syn.sequence);
  if (!syn.options.has_timestamps) {
    return later_number;
  }
  const auto newer = static_cast<std::int32_t>(syn.options.timestamp - waiting.peer_timestamp);
  return !waiting.timestamps || newer > 0 || (newer == 0 && later_number);
}

}  // namespace

// An acknowledgment from SYN-RECEIVED. Its window is the SYN-ACK's in units of the scale, rounded up so that it does
// not seem to have shrunk.
void Stack::acknowledge_half_open(const Endpoints& endpoints, const Handshake& handshake, const Settings& settings,
                                  Time now) {
  const unsigned scale = handshake.scaled ? ReceiveWindow::scale_for(settings.receive_buffer) : 0U;
  Outgoing segment;
  segment.sequence = handshake.initial + 1;
  segment.acknowledgment = handshake.peer_initial + 1;
  segment.flags = flag::ack;
  segment.window = static_cast<std::uint16_t>((syn_window(settings) + (1U << scale) - 1) >> scale);
  segment.options.has_timestamps = handshake.timestamps;
  segment.options.timestamp = milliseconds_of(now) + timestamp_offset(secrets_.numbers, endpoints);
  segment.options.timestamp_echo = handshake.timestamp;
  output_.transmit(endpoints, segment);
}

// RFC 9293 section 3.10.7.1. The timestamp goes back (RFC 7323 section 5.2).
void Stack::reset(const Endpoints& endpoints, const Segment& segment, Time now) {
  if (segment.has(flag::rst)) {
    return;
  }
  if (!resets_.take(now, limits_.resets_per_second)) {
    ++counters_.dropped_rate;
    return;
  }
  ++counters_.resets_sent;
  Outgoing answer;
  if (segment.has(flag::ack)) {
    answer.sequence = segment.acknowledgment;
    answer.flags = flag::rst;
  } else {
    answer.acknowledgment = segment.end();
    answer.flags = flag::rst | flag::ack;
  }
  answer.options.has_timestamps = segment.options.has_timestamps;
  answer.options.timestamp_echo = segment.options.timestamp;
  output_.transmit(endpoints, answer);
}

void Stack::send_syn_ack(const Endpoints& endpoints, const Handshake& handshake, const Settings& settings,
                         std::uint32_t timestamp) {
  Outgoing segment;
  segment.sequence = handshake.initial;
  segment.acknowledgment = handshake.peer_initial + 1;
  segment.flags = flag::syn | flag::ack;
  segment.window = static_cast<std::uint16_t>(std::min(syn_window(settings), memory_.pressure().share()));
  segment.options.segment_size = settings.announced_segment(endpoints.headers());
  segment.options.has_window_scale = handshake.scaled;
  segment.options.window_scale = ReceiveWindow::scale_for(settings.receive_buffer);
  segment.options.sack_permitted = handshake.sack;
  segment.options.has_timestamps = handshake.timestamps;
  segment.options.timestamp = timestamp;
  segment.options.timestamp_echo = handshake.timestamp;
  output_.transmit(endpoints, segment);
}

bool Stack::AnswerCount::take(Time now, std::uint32_t most) {
  const std::int64_t current = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (current != second) {
    second = current;
    count = 0;
  }
  if (count >= most) {
    return false;
  }
  ++count;
  return true;
}

bool Stack::may_answer(Listener& listener, Time now) {
  if (listener.answered.take(now, limits_.answers_per_second)) {
    return true;
  }
  ++counters_.dropped_rate;
  return false;
}

// Cookies from half a table on, until it has fallen to a quarter: so the regime does not change with every SYN.
bool Stack::uses_cookies(Listener& listener, Time now) {
  const std::size_t used = half_open_.used();
  if (used >= half_open_.capacity() / 2) {
    listener.cookies = true;
  } else if (used < half_open_.capacity() / 4) {
    listener.cookies = false;
  }
  if (listener.cookies) {
    listener.cookies_until = now + cookie_lifetime;
  }
  return listener.cookies;
}

void Stack::on_no_match(const Endpoints& endpoints, const Segment& segment, std::uint64_t hash, Time now) {
  const ListenerIndex listener = listener_of(endpoints);
  bool taken = false;
  if (listener == no_listener) {
    reset(endpoints, segment, now);
  } else if (segment.has(flag::rst)) {
    // Nothing here can be reset.
  } else if (segment.has(flag::ack)) {
    taken = !segment.has(flag::syn) && on_cookie(endpoints, segment, listener, hash, now);
    // While cookies are out, data may have overtaken the segment that brings one back: their sender repeats both.
    const bool early = !segment.has(flag::syn) && segment.length() != 0 && listeners_[listener].cookies_until > now;
    if (!taken && !early) {
      reset(endpoints, segment, now);
    }
  } else if (segment.has(flag::syn)) {
    on_syn(endpoints, segment, listener, hash, initial_sequence(secrets_.numbers, endpoints, now), now);
  }
  // Payload of a SYN is not kept: its sender repeats it.
  if (!taken && segment.payload.buffer != nullptr) {
    memory_.release(segment.payload);
  }
}

void Stack::on_syn(const Endpoints& endpoints, const Segment& segment, ListenerIndex listener, std::uint64_t hash,
                   Sequence initial, Time now) {
  Listener& listening = listeners_[listener];
  if (!may_answer(listening, now)) {
    return;
  }
  if (free_.empty()) {
    ++counters_.dropped_full;
    return;
  }
  if (memory_.pressure().scarce()) {
    ++counters_.syns_refused;
    return;
  }
  Handshake handshake = Handshake::of(segment.options, segment.sequence, endpoints.default_segment_size());
  handshake.initial = initial;
  const std::uint32_t timestamp = milliseconds_of(now) + timestamp_offset(secrets_.numbers, endpoints);
  if (!uses_cookies(listening, now)) {
    if (const SlotIndex slot = half_open_.add(endpoints, handshake, now); slot != no_slot) {
      lookup_.insert(hash, slot | static_cast<std::uint32_t>(Kind::half_open));
      send_syn_ack(endpoints, handshake, *listening.settings, timestamp);
      return;
    }
  }
  ++counters_.cookies_sent;
  if (!handshake.timestamps) {
    handshake.scaled = handshake.sack = false;  // a cookie without timestamps keeps neither
  }
  handshake.initial = cookies_.make(endpoints, handshake, now);
  send_syn_ack(endpoints, handshake, *listening.settings, SynCookies::make_timestamp(handshake, timestamp));
}

bool Stack::on_cookie(const Endpoints& endpoints, const Segment& segment, ListenerIndex listener, std::uint64_t hash,
                      Time now) {
  if (listeners_[listener].cookies_until <= now) {
    return false;
  }
  const auto handshake =
      cookies_.check(endpoints, segment.acknowledgment - 1, segment.sequence - 1, segment.options, now);
  if (!handshake) {
    ++counters_.cookies_rejected;
    return false;
  }
  ++counters_.cookies_accepted;
  return complete(endpoints, segment, *handshake, listener, hash, {}, now);
}

// The third segment of a handshake has come; `half` is its slot, or an empty one after a cookie. False when there is no
// room: the segment is then the caller's.
bool Stack::complete(const Endpoints& endpoints, const Segment& segment, const Handshake& handshake,
                     ListenerIndex listener, std::uint64_t hash, const SynSlot& half, Time now) {
  const std::uint32_t index = allocate(endpoints, *listeners_[listener].settings, hash);
  if (index == Lookup::none) {
    return false;
  }
  ++counters_.accepted;
  output_.accepted({index, entries_.all[index].generation}, listener);
  Origin origin = origin_of(endpoints, handshake.initial);
  origin.syn_repetitions = half.repetitions;
  if (half.due_ms != 0 && !half.ambiguous()) {
    const Duration waited = std::chrono::milliseconds{milliseconds_of(now) - (half.due_ms - SynTable::first_wait_ms)};
    origin.round_trip = std::max(waited, Duration{1});
  }
  start_accepted(index, origin, handshake, segment, now);
  return true;
}

// RFC 9293 section 3.10.7.4 for SYN-RECEIVED after a passive open; takes over nothing of the segment unless it returns
// true. A SYN with another number is asked about (RFC 5961 section 4.2) instead of being believed: a peer that has
// begun anew resets, and its next SYN finds a listener.
bool Stack::on_half_open(SlotIndex slot, const Endpoints& endpoints, const Segment& segment, std::uint64_t hash,
                         Time now) {
  const SynSlot half = half_open_[slot];
  const Handshake handshake = half.handshake();
  const std::uint32_t offset = distance(half.peer_initial + 1, segment.sequence);
  const ListenerIndex index = listener_of(endpoints);
  const auto forget = [&] {
    lookup_.erase(hash, slot | static_cast<std::uint32_t>(Kind::half_open));
    half_open_.remove(slot);
  };
  if (index == no_listener) {
    forget();
    reset(endpoints, segment, now);
    return false;
  }
  Listener& listener = listeners_[index];
  const std::uint32_t window = syn_window(*listener.settings);
  const auto acknowledge = [&] {
    if (may_answer(listener, now)) {
      acknowledge_half_open(endpoints, handshake, *listener.settings, now);
    }
  };
  if (segment.has(flag::rst)) {
    if (offset == 0) {
      forget();  // back to LISTEN
    } else if (offset < window) {
      acknowledge();  // RFC 5961 section 3.2
    }
  } else if (segment.has(flag::syn)) {
    if (segment.sequence != half.peer_initial || segment.has(flag::ack)) {
      acknowledge();
    } else if (may_answer(listener, now)) {
      half_open_.refresh(slot, segment.options.timestamp);  // repeated: our answer was lost
      Handshake again = handshake;
      again.timestamp = segment.options.timestamp;
      send_syn_ack(endpoints, again, *listener.settings,
                   milliseconds_of(now) + timestamp_offset(secrets_.numbers, endpoints));
    }
  } else if (handshake.timestamps && !segment.options.has_timestamps) {
    // RFC 7323 section 3.2: dropped in silence.
  } else if (offset > window ||
             (handshake.timestamps && static_cast<std::int32_t>(segment.options.timestamp - handshake.timestamp) < 0)) {
    acknowledge();
  } else if (segment.has(flag::ack)) {
    if (segment.acknowledgment != half.initial + 1) {
      reset(endpoints, segment, now);
    } else if (free_.empty()) {
      ++counters_.dropped_full;
    } else {
      forget();
      return complete(endpoints, segment, handshake, index, hash, half, now);
    }
  }
  return false;
}

void Stack::forget_time_wait(SlotIndex slot, std::uint64_t hash) {
  lookup_.erase(hash, slot | static_cast<std::uint32_t>(Kind::time_wait));
  time_wait_.remove(slot);
}

void Stack::on_time_wait(SlotIndex slot, const Endpoints& endpoints, const Segment& segment, std::uint64_t hash,
                         Time now) {
  const TimeWaitSlot waiting = time_wait_[slot];
  if (segment.payload.buffer != nullptr) {
    memory_.release(segment.payload);
  }
  if (segment.has(flag::rst)) {
    return;  // RFC 1337: a reset must not end TIME_WAIT
  }
  const ListenerIndex listener = listener_of(endpoints);
  const bool newer_timestamp = waiting.timestamps && segment.options.has_timestamps &&
                               static_cast<std::int32_t>(segment.options.timestamp - waiting.peer_timestamp) > 0;
  if (segment.has(flag::syn) && !segment.has(flag::ack) && listener != no_listener) {
    if (reopens(waiting, segment)) {
      // RFC 9293 section 3.6.1: a new incarnation, with later numbers than the old one's.
      const Sequence initial =
          packet::later_of(initial_sequence(secrets_.numbers, endpoints, now), waiting.send_next + 1);
      forget_time_wait(slot, hash);
      on_syn(endpoints, segment, listener, hash, initial, now);
      return;
    }
    if (segment.options.has_timestamps) {
      return;  // RFC 6191 section 2: dropped in silence
    }
  }
  if (segment.length() == 0) {
    return;
  }
  if (segment.has(flag::fin) && segment.end() == waiting.receive_next) {
    time_wait_.restart(slot, newer_timestamp ? segment.options.timestamp : waiting.peer_timestamp, now);
  }
  Outgoing answer;
  answer.sequence = waiting.send_next;
  answer.acknowledgment = waiting.receive_next;
  answer.window = waiting.window;
  answer.flags = flag::ack;
  answer.options.has_timestamps = waiting.timestamps;
  answer.options.timestamp = milliseconds_of(now) + timestamp_offset(secrets_.numbers, endpoints);
  answer.options.timestamp_echo = newer_timestamp ? segment.options.timestamp : waiting.peer_timestamp;
  output_.transmit(endpoints, answer);
}

}  // namespace steelyard::tcp
