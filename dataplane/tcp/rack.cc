#include "dataplane/tcp/rack.h"

#include <algorithm>

namespace steelyard::tcp {

using packet::after;

namespace {

constexpr std::uint8_t recoveries_to_persist = 16;  // RFC 8985 section 6.2, step 4
// RFC 8985 section 6.2, step 1 leaves the filter open: a path that has become longer is believed after this.
constexpr Duration least_is_valid_for = std::chrono::seconds{10};

std::uint32_t microseconds(Duration duration) {
  return static_cast<std::uint32_t>(std::clamp<Duration::rep>(duration.count(), 1, 0x7fffffff));
}

}  // namespace

void Rack::sample(Duration round_trip, Time now) {
  const std::uint32_t trip = microseconds(round_trip);
  if (least_ == 0 || trip <= least_ || now - least_at_ > least_is_valid_for) {
    least_ = trip;
    least_at_ = now;
  }
}

void Rack::delivered(const Node& node, Time now, bool echo_is_older) {
  const std::uint32_t trip = microseconds(now - node.sent_at);
  if (node.has(node_flag::retransmitted) && (echo_is_older || trip < least_)) {
    return;  // it was the original that has arrived
  }
  round_trip_ = nothing_delivered_ ? trip : std::min(round_trip_, trip);
  nothing_delivered_ = false;
  if (node.sent_at > delivered_at_ || (node.sent_at == delivered_at_ && after(node.end(), end_))) {
    delivered_at_ = node.sent_at;
    end_ = node.end();
  }
  if (after(node.end(), forward_)) {
    forward_ = node.end();
  } else if (node.end() != forward_ && !node.has(node_flag::retransmitted)) {
    reordering_seen_ = true;
  }
}

void Rack::duplicate_reported(Sequence una, Sequence next) {
  if (in_round_ && !after(round_end_, una)) {
    in_round_ = false;
  }
  if (!in_round_) {
    in_round_ = true;
    round_end_ = next;
    multiplier_ = static_cast<std::uint8_t>(std::min(multiplier_ + 1, 255));
    persist_ = recoveries_to_persist;
  }
}

void Rack::recovered() {
  if (persist_ > 0 && --persist_ == 0) {
    multiplier_ = 1;
  }
}

Duration Rack::reordering_window(const RoundTrip& trip, bool in_recovery, bool three_sacked) const {
  if (!reordering_seen_ && (in_recovery || three_sacked)) {
    return Duration{0};
  }
  return std::min(Duration{std::int64_t{multiplier_} * least_ / 4}, trip.smoothed());
}

std::optional<Duration> Rack::detect(Memory& memory, SendQueue& queue, Duration window, Time now) const {
  Duration wait{0};
  for (NodeIndex index = queue.first(); index != queue.first_unsent(); index = memory[index].next) {
    const Node& node = memory[index];
    if (node.has(node_flag::sacked | node_flag::lost) || !sent_before_delivered(node)) {
      continue;
    }
    const Duration remaining = node.sent_at + Duration{round_trip_} + window - now;
    if (remaining <= Duration{0}) {
      queue.mark_lost(memory, index);
    } else {
      wait = std::max(wait, remaining);
    }
  }
  return wait > Duration{0} ? std::optional{wait} : std::nullopt;
}

void Rack::mark_timed_out(Memory& memory, SendQueue& queue, Duration window, Time now) const {
  for (NodeIndex index = queue.first(); index != queue.first_unsent(); index = memory[index].next) {
    if (index == queue.first() || memory[index].sent_at + Duration{round_trip_} + window <= now) {
      queue.mark_lost(memory, index);
    }
  }
}

}  // namespace steelyard::tcp
