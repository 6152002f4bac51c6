// Which SYNs are not even looked at when a worker cannot keep up: under a flood beyond what it can answer, the receive
// queue would overflow and lose segments of established connections as well as SYNs. So SYNs give way first, as many as
// it takes, spread evenly and not the last ones of each second: a client that tries again gets through. While the
// worker keeps up, all are answered; so they are when it is other packets that it cannot keep up with, since SYNs that
// give way would not help. Pure; no clock: a turn is the unit. Worker only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace steelyard::tcp {

class SynShedding {
 public:
  // Once a turn of the worker, after its packets. `behind`: it has received as much as a turn takes, so that more may
  // be waiting.
  void turn(bool behind) {
    recent_ += asked_ - recent_ / window;
    asked_ = 0;
    behind_ = behind ? behind_ + 1 : 0;
    const bool by_syns = recent_ >= material * window;
    share_ =
        behind_ > tolerated && by_syns ? std::max(share_ - share_ / 16, least) : std::min(share_ + recovery, whole);
  }

  // May the next SYN be answered?
  [[nodiscard]] bool admit() {
    ++asked_;
    credit_ += share_;
    if (credit_ < whole) {
      return false;
    }
    credit_ -= whole;
    return true;
  }
  [[nodiscard]] bool active() const { return share_ != whole; }
  // Or has the worker had more packets than it could take, whatever they were, for some turns?
  [[nodiscard]] bool keeps_up() const { return behind_ <= tolerated; }

 private:
  static constexpr std::uint32_t whole = 1U << 16U;
  // Some always come through, so that a listener is never closed altogether.
  static constexpr std::uint32_t least = whole / 64;
  // Turns of full bursts that mean nothing yet: 512 packets are half of a common receive queue.
  static constexpr std::uint32_t tolerated = 16;
  // Back to all of them within 256 turns: less than a millisecond of a busy worker.
  static constexpr std::uint32_t recovery = whole / 256;
  // SYNs a turn, an eighth of a burst, from which on they are what keeps the worker behind; averaged over some turns.
  static constexpr std::uint32_t material = 4;
  static constexpr std::uint32_t window = 16;

  std::uint32_t share_ = whole;  // of the SYNs that are answered, in 65,536ths
  std::uint32_t credit_ = 0;
  std::uint32_t behind_ = 0;  // turns without a break
  std::uint32_t asked_ = 0;   // SYNs in this turn
  std::uint32_t recent_ = 0;  // of them in a turn, times `window`: a mean that forgets
};

}  // namespace steelyard::tcp
