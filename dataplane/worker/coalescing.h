// Receive coalescing, for ports where each burst sent is a system call (net_af_packet, net_tap): what a NIC's driver
// does by interrupt moderation (`ethtool -C`). A worker that takes every packet by itself pays a call, and the kernel's
// interrupts of the other side, for each; one that waits a little shares that between those that have gathered. So the
// busier a worker, the longer its turns wait, up to a limit; one that has time takes packets at once. Nor does whoever
// answers one packet with one wait: a pause that gathers nothing is not repeated for a while.
//
// A pure value of the worker's thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace steelyard::worker {

class Coalescing {
 public:
  static constexpr std::uint64_t window_ns = 10'000'000;  // over which a worker's share of work is measured
  static constexpr std::uint64_t whole = 1'000;           // shares are parts of this
  static constexpr std::uint64_t busy = 300;              // above which pauses grow
  static constexpr std::uint64_t idle = 200;              // below which they shrink
  static constexpr std::uint64_t steps = 16;              // windows from no pause to the longest
  static constexpr std::size_t worthwhile = 4;            // packets that make a pause pay
  static constexpr unsigned rest = 3;                     // windows without pauses after one that did not

  // `longest_ns`: from the beginning of one turn to that of the next; 0: never a pause.
  explicit Coalescing(std::uint64_t longest_ns) : longest_ns_(longest_ns) {}

  [[nodiscard]] bool is_on() const { return longest_ns_ != 0; }

  // A turn that began at `begun_ns` has handled `packets`; `full`: more were waiting. `busy_ns`: what turns with work
  // have taken in all. Returns when the next turn should begin, in ns; `begun_ns`: at once.
  [[nodiscard]] std::uint64_t next_turn(std::uint64_t begun_ns, std::size_t packets, bool full, std::uint64_t busy_ns) {
    measure(begun_ns, busy_ns);
    if (paused_ && packets < worthwhile) {
      resting_ = rest;
    }
    paused_ = pause_ns_ != 0 && packets != 0 && !full && resting_ == 0;
    return paused_ ? begun_ns + pause_ns_ : begun_ns;
  }

 private:
  void measure(std::uint64_t now_ns, std::uint64_t busy_ns) {
    const std::uint64_t passed = now_ns - window_begun_ns_;
    if (passed < window_ns) [[likely]] {
      return;
    }
    const std::uint64_t share = (busy_ns - busy_before_ns_) * whole / passed;
    const std::uint64_t step = longest_ns_ / steps;
    if (share > busy) {
      pause_ns_ = std::min(pause_ns_ + step, longest_ns_);
    } else if (share < idle) {
      pause_ns_ -= std::min(pause_ns_, step);
    }
    busy_before_ns_ = busy_ns;
    window_begun_ns_ = now_ns;
    resting_ -= resting_ != 0 ? 1 : 0;
  }

  std::uint64_t longest_ns_;
  std::uint64_t pause_ns_ = 0;  // by what the windows so far have been like
  std::uint64_t window_begun_ns_ = 0;
  std::uint64_t busy_before_ns_ = 0;  // at its beginning
  unsigned resting_ = 0;              // windows left without pauses
  bool paused_ = false;               // before the turn at hand
};

}  // namespace steelyard::worker
