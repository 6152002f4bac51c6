// Taking a response to losses back that nothing had been lost for (undo.h).
#include <algorithm>

#include "dataplane/tcp/progress.h"

namespace steelyard::tcp {

using packet::after;

// Before the window is reduced. RFC 4015 section 3.1, step 0: after a timeout what was in flight was safe.
void Connection::remember_window(std::uint32_t outstanding, bool by_timeout) {
  Cubic::Saved saved = cubic_.saved();
  if (by_timeout) {
    saved.threshold = std::max(saved.threshold, outstanding);
  }
  undo_.begin(saved, send_unacknowledged_, by_timeout);
}

// Has it turned out that the last response was a mistake? Then it is taken back, and the acknowledgment that says so
// moves the window no further (RFC 4015 section 3.4).
bool Connection::judge_response(const Context& context, const Segment& segment, const Progress& progress) {
  if ((phase_ == Phase::open && !progress.duplicate_reported) || !undo_.possible()) {
    return false;
  }
  bool mistaken = progress.duplicate_reported && undo_.all_reported(progress.duplicate, payload_room());
  if (phase_ != Phase::open && progress.acknowledged != 0 && timestamps_) {
    // RFC 3522 section 3.2, step 5: what acknowledges everything may only say that all acknowledgments were lost.
    const bool original = undo_.original_echoed(segment.options.timestamp_echo);
    mistaken |= original && !progress.duplicate_reported && after(send_next_, send_unacknowledged_);
  }
  if (phase_ == Phase::loss) {
    mistaken |= forward_shows_original(progress);
  }
  if (mistaken) {
    take_back(context, progress);
  }
  return mistaken;
}

// F-RTO (RFC 5682 section 3.1; without SACK section 2.1): after a timeout, what was never sent again and is
// acknowledged all the same had been under way.
bool Connection::forward_shows_original(const Progress& progress) {
  if (undo_.forward() == Undo::Forward::off) {
    return false;
  }
  // Without SACK an acknowledgment of something repeated may cover what had arrived long before.
  if (progress.original_acknowledged && (sack_ || !progress.repetition_acknowledged)) {
    return true;
  }
  if (undo_.forward() == Undo::Forward::probes) {
    if (progress.delivered != 0 || progress.is_duplicate) {
      // Step 3a: the loss was real, and its repair begins with one segment beside the two new ones.
      undo_.set_forward(Undo::Forward::off);
      cubic_.set_window(3 * payload_room());
    }
  } else if (progress.acknowledged != 0) {
    // Step 2: new data, if there are any, ask whether the rest is under way.
    const bool may_probe =
        after(recovery_end_, send_unacknowledged_) && queue_.unsent() != 0 && after(send_edge(), send_next_);
    undo_.set_forward(may_probe ? Undo::Forward::probes : Undo::Forward::off);
  } else if (progress.is_duplicate && !sack_) {
    undo_.set_forward(Undo::Forward::off);
  }
  return false;
}

void Connection::take_back(const Context& context, const Progress& progress) {
  queue_.recall_lost(context.memory);
  Cubic::Saved restored = undo_.saved();
  if (undo_.by_timeout()) {
    // RFC 4015 section 3.1, steps 9 and 11: no burst, and a timer that has learned of the delay.
    restored.window = flight() + std::min(progress.acknowledged, initial_window(payload_room()));
    trip_.timeout_was_spurious();
    sample_from_ = send_next_;
  }
  cubic_.restore(restored);
  undo_.forget(send_unacknowledged_);
  if (phase_ != Phase::open) {
    phase_ = Phase::open;
    rack_.recovered();
  }
  duplicates_ = 0;
}

}  // namespace steelyard::tcp
