// What a response to losses has changed, and how it may turn out that nothing was lost: the original was only late.
// Then the window gets back what it had (RFC 9438 section 4.9). Three witnesses: the timestamp that the first
// acknowledgment echoes (Eifel, RFC 3522), what is acknowledged after a timeout before it was sent again (F-RTO, RFC
// 5682), and a D-SACK for each repetition (RFC 2883, RFC 3708). Pure; undo.cc asks it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/tcp/cubic.h"
#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/options.h"

namespace steelyard::tcp {

class Undo {
 public:
  // F-RTO (RFC 5682 sections 2.1 and 3.1): not at work, in step 2, in step 3.
  enum class Forward : std::uint8_t { off, waits, probes };

  [[nodiscard]] bool possible() const { return possible_; }
  [[nodiscard]] bool by_timeout() const { return by_timeout_; }
  [[nodiscard]] Forward forward() const { return forward_; }
  [[nodiscard]] Sequence from() const { return from_; }
  [[nodiscard]] const Cubic::Saved& saved() const { return saved_; }

  // A response begins, with what was before it; `una` is SND.UNA.
  void begin(const Cubic::Saved& saved, Sequence una, bool by_timeout) {
    saved_ = saved;
    from_ = una;
    repeated_ = 0;
    possible_ = true;
    by_timeout_ = by_timeout;
    echo_seen_ = false;
    forward_ = by_timeout ? Forward::waits : Forward::off;
  }
  // Nothing can be taken back any more; a timeout has come at `una`.
  void forget(Sequence una) {
    from_ = una;
    possible_ = false;
    forward_ = Forward::off;
  }
  void set_forward(Forward forward) { forward_ = forward; }

  // A segment has been sent again, with this timestamp.
  void repeated(std::uint32_t timestamp) {
    if (repeated_ == 0 && !echo_seen_) {
      first_at_ = timestamp;
    }
    repeated_ = static_cast<std::uint16_t>(std::min(repeated_ + 1, 0xffff));
  }

  // RFC 3522 section 3.2, steps 3 and 4: the first acknowledgment of something new. Does it echo the original?
  [[nodiscard]] bool original_echoed(std::uint32_t echo) {
    const bool first = !echo_seen_ && repeated_ != 0;
    echo_seen_ = true;
    return first && echo != 0 && static_cast<std::int32_t>(echo - first_at_) < 0;
  }

  // A D-SACK has come. Were all repetitions needless now?
  [[nodiscard]] bool all_reported(SackBlock duplicate, std::uint32_t segment) {
    if (repeated_ == 0 || packet::after(from_, duplicate.begin)) {
      return false;
    }
    const std::uint32_t octets = packet::distance(duplicate.begin, duplicate.end);
    const std::uint32_t segments = std::max((octets + segment - 1) / segment, 1U);
    repeated_ = static_cast<std::uint16_t>(repeated_ - std::min<std::uint32_t>(segments, repeated_));
    return repeated_ == 0;
  }

 private:
  Cubic::Saved saved_;
  Sequence from_;               // SND.UNA when the response began, or at the last timeout
  std::uint32_t first_at_ = 0;  // RFC 3522's RetransmitTS
  std::uint16_t repeated_ = 0;  // segments that no D-SACK has reported
  bool possible_ = false;
  bool by_timeout_ = false;
  bool echo_seen_ = false;
  Forward forward_ = Forward::off;
};
static_assert(sizeof(Undo) == 32);

}  // namespace steelyard::tcp
