// What a segment says of what we have sent: acknowledged, held by the peer, lost; and what follows for the window. RFC
// 9293 section 3.10.7.4; RFC 5681, 6298, 6582 (without SACK), 6937, 8985.
#include <algorithm>

#include "dataplane/tcp/progress.h"

namespace steelyard::tcp {

using packet::after;
using packet::distance;

// Octets in flight. Without SACK each duplicate acknowledgment says that a segment has arrived.
std::uint32_t Connection::flight() const {
  const std::uint32_t arrived = sack_ ? 0 : std::uint32_t{duplicates_} * payload_room();
  return queue_.in_flight() - std::min(queue_.in_flight(), arrived);
}

void Connection::on_acknowledgment(const Context& context, const Segment& segment) {
  if (state_ == State::syn_received) {
    send_unacknowledged_ = initial_ + 1;
    establish(context);
    window_sequence_ = segment.sequence - 1;  // the window of this segment counts in any case
  }
  if (acknowledges_nothing(segment)) {
    update_send_window(context, segment);
    return;
  }
  rack_.begin_acknowledgment();
  Progress progress;
  progress.before = send_unacknowledged_;
  progress.flight_before = flight();
  count_duplicates(segment, progress);
  update_send_window(context, segment);
  take_delivered(context, segment, progress);
  if (sack_) {
    take_sack(context, segment, progress);
  }
  take_round_trip(context, segment, progress);
  judge_probe(segment, progress);
  const bool mistaken = judge_response(context, segment, progress);
  if (sack_) {
    detect_losses(context);
  } else {
    detect_losses_without_sack(context, progress);
  }
  if (!mistaken) {
    adjust_window(context, progress);
  }
  if (fin_queued_ && queue_.empty()) {
    on_fin_acknowledged(context);
  }
}

// Nothing of ours is under way, and nothing is reported: of the segment only the window can be news. Whoever sends us
// data and waits is met here without the lines of memory that sending needs.
bool Connection::acknowledges_nothing(const Segment& segment) const {
  return !queue_.outstanding() && phase_ == Phase::open && segment.options.sack_count == 0 && !probe_outstanding_ &&
         !fin_queued_ && reordering_at_ == never;
}

// RFC 5681 section 2, before the segment's window is taken.
void Connection::count_duplicates(const Segment& segment, Progress& progress) {
  progress.repeats = segment.acknowledgment == send_unacknowledged_ && segment.length() == 0 &&
                     std::uint32_t{segment.window} << peer_scale_ == send_window_;
  progress.is_duplicate = progress.repeats && queue_.outstanding();
  // After a timeout they only say that we repeat what the peer has.
  if (!sack_ && progress.is_duplicate && phase_ != Phase::loss && duplicates_ < 255) {
    ++duplicates_;
    progress.delivered += payload_room();
  }
}

void Connection::update_send_window(const Context& context, const Segment& segment) {
  if (after(send_unacknowledged_, segment.acknowledgment)) {
    return;
  }
  if (after(segment.sequence, window_sequence_) ||
      (segment.sequence == window_sequence_ && !after(window_acknowledgment_, segment.acknowledgment))) {
    if (send_window_ == 0 && segment.window != 0) {
      backoff_ = 0;  // what was doubled were probes of a closed window
    }
    send_window_ = std::uint32_t{segment.window} << peer_scale_;
    window_sequence_ = segment.sequence;
    window_acknowledgment_ = segment.acknowledgment;
    largest_window_ = std::max(largest_window_, send_window_);
  }
  // RFC 9293 section 3.8.6.1: a peer that keeps its window closed and answers is alive. But nobody waits for it for
  // ever who has closed the connection (the management of resources that the section leaves to us).
  if (send_window_ == 0 && !closed_) {
    cubic_.pause(context.now - progress_at_);
    progress_at_ = context.now;
  }
}

// After a timeout: sent before it, and not again since.
bool Connection::is_original(const Node& node) const {
  return phase_ == Phase::loss && !node.has(node_flag::retransmitted) && !after(node.end(), recovery_end_);
}

void Connection::take_delivered(const Context& context, const Segment& segment, Progress& progress) {
  if (!after(segment.acknowledgment, send_unacknowledged_)) {
    return;
  }
  const std::uint32_t sacked_before = queue_.sacked();
  queue_.acknowledge(context.memory, segment.acknowledgment, [&](const Node& node) {
    progress.repetition_acknowledged |= node.has(node_flag::retransmitted);
    if (node.has(node_flag::sacked)) {
      return;
    }
    progress.original_acknowledged |= is_original(node);
    if (!node.has(node_flag::retransmitted) && !after(sample_from_, node.begin)) {
      progress.sampled_at = std::min(progress.sampled_at, node.sent_at);
      progress.latest_at = node.sent_at;
    }
    const bool echo_is_older =
        timestamps_ && static_cast<std::int32_t>(segment.options.timestamp_echo - timestamp(node.sent_at)) < 0;
    if (sack_) {
      rack_.delivered(node, context.now, echo_is_older);
    }
  });
  progress.acknowledged = distance(send_unacknowledged_, segment.acknowledgment);
  progress.delivered += progress.acknowledged - (sacked_before - queue_.sacked());
  send_unacknowledged_ = segment.acknowledgment;
  if (duplicates_ != 0) {
    // Of the duplicates counted, those are over whose segments this acknowledges, all but the one that was missing.
    const std::uint32_t segments = (progress.acknowledged + payload_room() - 1) / payload_room();
    const std::uint32_t over = phase_ == Phase::recovery ? segments - 1 : duplicates_;
    progress.delivered -= std::min(progress.delivered, std::min<std::uint32_t>(over, duplicates_) * payload_room());
    duplicates_ = static_cast<std::uint8_t>(duplicates_ - std::min<std::uint32_t>(over, duplicates_));
  }
  // Not only with the next sample (RFC 6298 section 5): on a path that loses much, and without timestamps, all that is
  // acknowledged has been repeated, and a timer that stays doubled outlasts the peer's TIME_WAIT.
  backoff_ = 0;
  progress.since_before = context.now - progress_at_;
  progress_at_ = timer_base_ = context.now;
}

// RFC 2018 section 5, RFC 2883 section 4.
void Connection::take_sack(const Context& context, const Segment& segment, Progress& progress) {
  std::array<SackBlock, max_sack_blocks> blocks = segment.options.sacks;
  std::size_t first = 0;
  const std::size_t count = segment.options.sack_count;
  if (count == 0) {
    return;
  }
  const auto inside = [](const SackBlock& inner, const SackBlock& outer) {
    return !after(outer.begin, inner.begin) && !after(inner.end, outer.end);
  };
  if (!after(blocks[0].end, segment.acknowledgment) || (count > 1 && inside(blocks[0], blocks[1]))) {
    progress.duplicate_reported = true;
    progress.duplicate = blocks[0];
    rack_.duplicate_reported(send_unacknowledged_, send_next_);
    first = 1;
  }
  // In the order of sequence numbers, so that blocks do not look like reordering.
  std::sort(blocks.begin() + static_cast<std::ptrdiff_t>(first), blocks.begin() + static_cast<std::ptrdiff_t>(count),
            [](const SackBlock& left, const SackBlock& right) { return after(right.begin, left.begin); });
  for (std::size_t index = first; index < count; ++index) {
    const SackBlock& block = blocks[index];
    if (!after(block.begin, send_unacknowledged_) || !after(block.end, block.begin) || after(block.end, send_next_)) {
      continue;  // old or invented
    }
    queue_.mark_sacked(context.memory, block, [&](const Node& node) {
      progress.delivered += node.length;
      progress.original_acknowledged |= is_original(node);
      if (!node.has(node_flag::retransmitted) && !after(sample_from_, node.begin)) {
        progress.sampled_at = std::min(progress.sampled_at, node.sent_at);
        progress.latest_at = node.sent_at;
      }
      const bool echo_is_older =
          timestamps_ && static_cast<std::int32_t>(segment.options.timestamp_echo - timestamp(node.sent_at)) < 0;
      rack_.delivered(node, context.now, echo_is_older);
    });
  }
}

// One sample a round trip (RFC 6298 section 3); of what was repeated, and of what has waited for it at the peer, only
// by timestamps (Karn; RFC 7323 section 4.1). An acknowledgment that reports a duplicate answers a repetition, but may
// echo what came before: earlier acknowledgments were lost, and the time since then is no round trip.
void Connection::take_round_trip(const Context& context, const Segment& segment, Progress& progress) {
  if (progress.sampled_at != never && !progress.repetition_acknowledged) {
    trip_.sample(context.now - progress.sampled_at);
    rack_.sample(context.now - progress.latest_at, context.now);
    sample_from_ = send_next_;
    measured_since_probe_ = true;
    return;
  }
  if (progress.repetition_acknowledged && timestamps_ && progress.acknowledged != 0 && !progress.duplicate_reported &&
      segment.options.timestamp_echo != 0) {
    const auto milliseconds = static_cast<std::int32_t>(timestamp(context.now) - segment.options.timestamp_echo);
    if (milliseconds >= 0 && milliseconds < 60'000) {
      trip_.sample(std::max(Duration{std::chrono::milliseconds{milliseconds}}, Duration{1}));
      measured_since_probe_ = true;
    }
  }
}

// RFC 8985 section 7.4.2: had a tail loss probe repaired a loss that nobody else has seen?
void Connection::judge_probe(const Segment& segment, const Progress& progress) {
  if (!probe_outstanding_ || after(probe_end_, segment.acknowledgment)) {
    return;
  }
  if (!probe_was_repetition_ || (progress.duplicate_reported && progress.duplicate.end == probe_end_)) {
    probe_outstanding_ = false;
  } else if (after(segment.acknowledgment, probe_end_)) {
    probe_outstanding_ = false;
    if (phase_ == Phase::open) {
      cubic_.lost(progress.flight_before, payload_room());
      cubic_.set_window(std::min(cubic_.window(), cubic_.threshold()));
    }
  } else if (progress.repeats && segment.options.sack_count == 0) {
    probe_outstanding_ = false;
  }
}

bool Connection::three_sacked(const Context& context) const {
  int segments = 0;
  for (NodeIndex index = queue_.first(); index != queue_.first_unsent(); index = context.memory[index].next) {
    const Node& node = context.memory[index];
    segments += node.has(node_flag::sacked) && node.has(node_flag::leads) ? 1 : 0;
    if (segments == 3) {
      return true;
    }
  }
  return false;
}

// Losses by time (rack.h); also called when the reordering timer is due.
void Connection::detect_losses(const Context& context) {
  reordering_at_ = never;
  if (!queue_.outstanding() || (queue_.sacked() == 0 && phase_ == Phase::open)) {
    return;
  }
  const std::uint32_t lost_before = queue_.lost();
  const Duration window =
      rack_.reordering_window(trip_, phase_ != Phase::open, queue_.sacked() != 0 && three_sacked(context));
  if (const auto wait = rack_.detect(context.memory, queue_, window, context.now)) {
    reordering_at_ = context.now + *wait;
  }
  if (queue_.lost() > lost_before && phase_ == Phase::open) {
    enter_recovery(context);
  }
}

// RFC 5681 section 3.2 and RFC 6582: the third duplicate, and in recovery each acknowledgment of a part, says that the
// first segment is lost.
void Connection::detect_losses_without_sack(const Context& context, const Progress& progress) {
  const bool third =
      phase_ == Phase::open && duplicates_ >= 3 && progress.is_duplicate && after(send_unacknowledged_, recovery_end_);
  const bool partial =
      phase_ == Phase::recovery && progress.acknowledged != 0 && after(recovery_end_, send_unacknowledged_);
  if (!third && !partial) {
    return;
  }
  std::uint32_t octets = 0;
  for (NodeIndex index = queue_.first(); index != queue_.first_unsent() && octets < payload_room();
       index = context.memory[index].next) {
    octets += context.memory[index].length;
    queue_.mark_lost(context.memory, index);
  }
  if (third) {
    enter_recovery(context);
  } else {
    (void)retransmit_next(context, true);
  }
}

void Connection::enter_recovery(const Context& context) {
  phase_ = Phase::recovery;
  recovery_end_ = send_next_;
  probe_outstanding_ = false;
  const std::uint32_t outstanding = distance(send_unacknowledged_, send_next_);
  remember_window(outstanding, false);
  cubic_.lost(outstanding, payload_room());
  reduction_.begin(outstanding);
  // RFC 6937 section 3, RFC 5681 section 3.2: the first repetition goes out whatever the window says.
  (void)retransmit_next(context, true);
}

void Connection::adjust_window(const Context& context, const Progress& progress) {
  const std::uint32_t room = payload_room();
  if (phase_ != Phase::open && !after(recovery_end_, send_unacknowledged_)) {
    if (phase_ == Phase::recovery) {
      cubic_.set_window(cubic_.threshold());
      duplicates_ = 0;
    }
    phase_ = Phase::open;
    rack_.recovered();
    return;
  }
  if (phase_ == Phase::recovery) {
    if (progress.delivered != 0) {
      cubic_.set_window(std::max(reduction_.window(progress.delivered, flight(), cubic_.threshold(), room), room));
    }
    return;
  }
  if (progress.acknowledged == 0) {
    return;
  }
  // RFC 9438 sections 4.2 and 5.8: a window that was not used has proven nothing, and its time does not count.
  const std::uint32_t used = cubic_.in_slow_start() ? 2 * progress.flight_before : progress.flight_before + room;
  if (used >= cubic_.window()) {
    cubic_.acknowledged(progress.acknowledged, room, trip_.smoothed(), context.now);
  } else {
    cubic_.pause(progress.since_before);
  }
}

void Connection::on_fin_acknowledged(const Context& context) {
  switch (state_) {
    case State::fin_wait_1:
      state_ = State::fin_wait_2;
      idle_deadline_ = closed_ ? context.now + context.settings.finwait2_timeout : never;
      break;
    case State::closing:
      enter_time_wait(context);
      break;
    case State::last_ack:
      end(context, Cause::finished);
      break;
    case State::closed:
    case State::syn_sent:
    case State::syn_received:
    case State::established:
    case State::fin_wait_2:
    case State::close_wait:
    case State::time_wait:
      break;
  }
}

}  // namespace steelyard::tcp
