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

}  // namespace

void Stack::send_bare(const Endpoints& endpoints, Sequence sequence, Sequence acknowledgment, std::uint8_t flags) {
  Outgoing segment;
  segment.sequence = sequence;
  segment.acknowledgment = acknowledgment;
  segment.flags = flags;
  output_.transmit(endpoints, segment);
}

// RFC 9293 section 3.10.7.1.
void Stack::reset(const Endpoints& endpoints, const Segment& segment) {
  if (segment.has(flag::rst)) {
    return;
  }
  ++counters_.resets_sent;
  if (segment.has(flag::ack)) {
    send_bare(endpoints, segment.acknowledgment, Sequence{0}, flag::rst);
  } else {
    send_bare(endpoints, Sequence{0}, segment.end(), flag::rst | flag::ack);
  }
}

void Stack::send_syn_ack(const Endpoints& endpoints, const Handshake& handshake, const Settings& settings,
                         std::uint32_t timestamp) {
  Outgoing segment;
  segment.sequence = handshake.initial;
  segment.acknowledgment = handshake.peer_initial + 1;
  segment.flags = flag::syn | flag::ack;
  segment.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(settings.receive_buffer, 0xffffU));
  segment.options.segment_size = settings.announced_segment(endpoints.headers());
  segment.options.has_window_scale = handshake.scaled;
  segment.options.window_scale = ReceiveWindow::scale_for(settings.receive_buffer);
  segment.options.sack_permitted = handshake.sack;
  segment.options.has_timestamps = handshake.timestamps;
  segment.options.timestamp = timestamp;
  segment.options.timestamp_echo = handshake.timestamp;
  output_.transmit(endpoints, segment);
}

bool Stack::may_answer(Listener& listener, Time now) {
  const std::int64_t second = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (second != listener.second) {
    listener.second = second;
    listener.answered = 0;
  }
  if (listener.answered >= limits_.answers_per_second) {
    ++counters_.dropped_rate;
    return false;
  }
  ++listener.answered;
  return true;
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
    reset(endpoints, segment);
  } else if (segment.has(flag::rst)) {
    // Nothing here can be reset.
  } else if (segment.has(flag::ack)) {
    taken = !segment.has(flag::syn) && on_cookie(endpoints, segment, listener, hash, now);
    if (!taken) {
      reset(endpoints, segment);
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
  return complete(endpoints, segment, *handshake, listener, hash, Duration{0}, now);
}

// The third segment of a handshake has come. False when there is no room: the segment is then the caller's.
bool Stack::complete(const Endpoints& endpoints, const Segment& segment, const Handshake& handshake,
                     ListenerIndex listener, std::uint64_t hash, Duration round_trip, Time now) {
  const std::uint32_t index = allocate(endpoints, *listeners_[listener].settings, hash);
  if (index == Lookup::none) {
    return false;
  }
  ++counters_.accepted;
  output_.accepted({index, entries_.all[index].generation}, listener);
  Origin origin = origin_of(endpoints, handshake.initial);
  origin.round_trip = round_trip;
  start_accepted(index, origin, handshake, segment, now);
  return true;
}

// RFC 9293 section 3.10.7.4 for SYN-RECEIVED after a passive open.
void Stack::on_half_open(SlotIndex slot, const Endpoints& endpoints, const Segment& segment, std::uint64_t hash,
                         Time now) {
  const SynSlot half = half_open_[slot];
  const Handshake handshake = half.handshake();
  const Sequence next = half.peer_initial + 1;
  const ListenerIndex listener = listener_of(endpoints);
  const auto forget = [&] {
    lookup_.erase(hash, slot | static_cast<std::uint32_t>(Kind::half_open));
    half_open_.remove(slot);
  };
  bool taken = false;
  if (listener == no_listener) {
    forget();
    reset(endpoints, segment);
  } else if (segment.has(flag::rst)) {
    if (segment.sequence == next) {
      forget();  // back to LISTEN
    } else if (distance(next, segment.sequence) < 0xffffU && may_answer(listeners_[listener], now)) {
      send_bare(endpoints, half.initial + 1, next, flag::ack);  // RFC 5961 section 3.2
    }
  } else if (segment.has(flag::syn)) {
    if (!may_answer(listeners_[listener], now)) {
      // Named by may_answer().
    } else if (segment.sequence == half.peer_initial && !segment.has(flag::ack)) {
      // Repeated: our answer was lost.
      half_open_.refresh(slot, segment.options.timestamp);
      Handshake again = handshake;
      again.timestamp = segment.options.timestamp;
      send_syn_ack(endpoints, again, *listeners_[listener].settings,
                   milliseconds_of(now) + timestamp_offset(secrets_.numbers, endpoints));
    } else {
      send_bare(endpoints, half.initial + 1, next, flag::ack);
    }
  } else if (segment.has(flag::ack) && distance(next, segment.sequence) <= 0xffffU &&
             (!handshake.timestamps ||
              (segment.options.has_timestamps &&
               static_cast<std::int32_t>(segment.options.timestamp - handshake.timestamp) >= 0))) {
    if (segment.acknowledgment != half.initial + 1) {
      reset(endpoints, segment);
    } else if (!free_.empty()) {
      const std::uint32_t sent_ms = half.due_ms - (1'000U << half.repetitions);
      const Duration waited = std::chrono::milliseconds{milliseconds_of(now) - sent_ms};
      forget();
      taken = complete(endpoints, segment, handshake, listener, hash,
                       half.repetitions == 0 ? std::max(waited, Duration{1}) : Duration{0}, now);
    } else {
      ++counters_.dropped_full;
    }
  }
  if (!taken && segment.payload.buffer != nullptr) {
    memory_.release(segment.payload);
  }
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
  if (segment.has(flag::syn) && !segment.has(flag::ack) && listener != no_listener &&
      (newer_timestamp || after(segment.sequence, waiting.receive_next))) {
    // RFC 6191 section 2, RFC 9293 section 3.6.1: a new incarnation, with later numbers than the old one's.
    const Sequence initial =
        packet::later_of(initial_sequence(secrets_.numbers, endpoints, now), waiting.send_next + 1);
    forget_time_wait(slot, hash);
    on_syn(endpoints, segment, listener, hash, initial, now);
    return;
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
